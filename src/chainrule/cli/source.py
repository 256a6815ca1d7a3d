"""A command's DATASET or FILE: a table, or arrays with names for their columns."""

import os
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.builtin import NAMES, load
from chainrule.data.columns import NumericColumn
from chainrule.data.escaping import escape
from chainrule.data.schema import Schema
from chainrule.data.table import TEXT, HostArray, Table
from chainrule.errors import DataError, InputError, nearest

TARGET = "target"
"""What the target of a built-in data set or of arrays is called."""

XOR_COPIES = 50


@dataclass(frozen=True, eq=False)
class Arrays:
    """The features of a built-in data set or a file of arrays.

    X: (n, features) as stored. y: (n,), None if the file holds none; labels where `class_names`
    name them. names: one a feature. pixels: X held images of bytes.
    """

    path: str
    X: HostArray
    y: HostArray | None
    names: tuple[str, ...]
    class_names: tuple[str, ...] | None = None
    pixels: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    def targets(self) -> Table:
        """Return y as a table of one column; raise `InputError` if there is none."""
        if self.y is None:
            raise InputError(
                f"{escape(self.path)}: holds no y; expected an .npz with X and y, or pass "
                "--target FILE, an .npy or .idx with a target a row"
            )
        column: HostArray = self.y
        if self.class_names is not None:
            column = np.asarray(self.class_names, dtype=TEXT)[column]
        return Table((TARGET,), (column,), self.path, np.arange(1, len(column) + 1))


Source: TypeAlias = Table | Arrays


def open_source(
    source: str, *, delimiter: str | None = None, no_header: bool = False, target: str | None = None
) -> Source:
    """Read a built-in data set or a file.

    target: for arrays the file of y; for a table it is not used here. Raises `InputError` for an
    unknown name or an option that does not apply, `DataError` for a fault in the file.
    """
    for_csv = [f"--delimiter {delimiter!r}"] * (delimiter is not None) + ["--no-header"] * no_header
    if source in NAMES:
        if for_csv or target is not None:
            option = (*for_csv, f"--target {target!r}")[0]
            raise InputError(f"{option}: {source} is a built-in data set; leave the option out")
        found = load(source, copies=XOR_COPIES) if source == "xor" else load(source)
        return Arrays(source, found.X, found.y, found.feature_names, found.class_names)
    if not os.path.lexists(source) and "." not in source and not os.path.dirname(source):
        raise InputError(
            f"{source!r}: no such file, and no built-in data set of that name"
            f"{nearest(source, NAMES)}; built in are {', '.join(NAMES)}"
        )
    from chainrule.data.sources import file_kind, open_table

    if file_kind(source) in ("csv", "parquet"):
        mark = None if delimiter is None else delimiter.replace("\\t", "\t")
        return open_table(source, delimiter=mark, header=False if no_header else "auto")
    if for_csv:
        raise InputError(f"{for_csv[0]}: {escape(source)} holds arrays; leave the option out")
    return _read_arrays(source, target)


def features(
    source: Source, schema: Schema, rows: ArrayLike | None = None, *, unseen: str = "error"
) -> NDArray[Any]:
    """Return the scaled features of `rows` (all when None), (n, features).

    Raises `DataError` if the source does not have the columns that the schema was fitted on.
    """
    if isinstance(source, Table):
        return schema.transform(source, rows, unseen=unseen)
    label = escape(source.path)
    if not all(isinstance(column, NumericColumn) for column in schema.columns):
        raise DataError(f"{label}: holds arrays; the run was trained on a table with categories")
    columns = cast("tuple[NumericColumn, ...]", schema.columns)
    if len(columns) != len(source.names):
        raise DataError(
            f"{label}: {len(source.names)} features a row, the run was trained on {len(columns)}"
        )
    x = source.X if rows is None else source.X[np.asarray(rows)]
    mean = np.asarray([column.mean for column in columns])
    scale = np.asarray([column.scale for column in columns])
    return scaled(checked(x, label), mean, scale)


def scaled(x: NDArray[Any], mean: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
    """Return (x - mean) / scale in x's float dtype; mean and scale (features,)."""
    if not mean.any() and np.all(scale == 1):
        return x
    return (x - mean.astype(x.dtype)) / scale.astype(x.dtype)


def checked(x: HostArray, label: str) -> NDArray[Any]:
    """Return features as floats, float32 where that holds them exactly; refuse NaN and infinity."""
    from chainrule.backends import get
    from chainrule.train.inputs import prepare_x

    small = x.dtype.itemsize <= 2 or x.dtype == np.float32
    try:
        return prepare_x(get("numpy", "float32" if small else "float64"), x, None)
    except InputError as error:
        raise DataError(f"{label}: {error}") from None


def _read_arrays(source: str, target: str | None) -> Arrays:
    from chainrule.data.sources import load_arrays

    x, y = load_arrays(source, target)
    label = escape(source)
    if x.ndim < 2:
        raise DataError(f"{label}: X has shape {x.shape}; expected (rows, features)")
    if y is not None:
        if y.ndim > 2 or (y.ndim == 2 and y.shape[1] != 1):
            raise DataError(
                f"{label}: y has shape {y.shape}; the command line takes one target a row (for "
                "more use chainrule.Trainer in Python)"
            )
        y = y.reshape(-1)
    pixels = x.ndim > 2 and x.dtype == np.uint8
    x = x.reshape(len(x), -1)
    return Arrays(source, x, y, tuple(f"x{i}" for i in range(x.shape[1])), pixels=pixels)
