"""One door to every file format: `open_table` for tables, `load_arrays` for arrays."""

import os
import re
from typing import Literal, TypeAlias

from chainrule.data.csv_file import Header, read_csv
from chainrule.data.escaping import escape
from chainrule.data.files import check_file, describe, read_head
from chainrule.data.idx import read_idx, read_idx_pair
from chainrule.data.npy import read_npy, read_npz
from chainrule.data.parquet import read_parquet
from chainrule.data.table import DataWarning, HostArray, Table
from chainrule.errors import DataError, InputError

__all__ = ["DataWarning", "Kind", "Table", "file_kind", "load_arrays", "open_table"]

Kind: TypeAlias = Literal["csv", "parquet", "npy", "npz", "idx"]

_ENDINGS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".idx": "idx",
}
_IDX = re.compile(r"(idx\d?|ubyte)(\.gz)?")


def file_kind(path: str | os.PathLike[str]) -> Kind:
    """Return the format of a file by its ending: "csv" and "parquet" are tables, the rest arrays.

    ``.csv .tsv .tab .txt .data``; ``.parquet .pq``; ``.npy``; ``.npz``; ``.idx``, ``-idx3-ubyte``
    and such, with or without ``.gz``. Raises `DataError` for anything else, naming what it is.
    """
    name = check_file(path)
    base = os.path.basename(name).lower()
    ending = os.path.splitext(base)[1]
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if _IDX.search(base) and (ending == ".gz" or _IDX.search(ending) or "." not in base):
        return "idx"
    what = describe(read_head(name)) or f"of unknown format (ending {escape(ending) or 'absent'!r})"
    raise DataError(f"{escape(name)}: is {what}; expected .csv, .tsv, .parquet, .npy, .npz or .idx")


def open_table(
    path: str | os.PathLike[str], *, delimiter: str | None = None, header: Header = "auto"
) -> Table:
    """Read a CSV, TSV or Parquet file as a `Table`; see `read_csv` and `read_parquet`.

    Raises `InputError` for a file of arrays, and for `delimiter` or `header` with Parquet.
    """
    kind = file_kind(path)
    if kind == "csv":
        return read_csv(path, delimiter=delimiter, header=header)
    if kind != "parquet":
        raise InputError(
            f"{escape(os.fspath(path))}: holds arrays ({kind}), expected a table; use load_arrays"
        )
    if delimiter is not None or header != "auto":
        raise InputError(
            f"{escape(os.fspath(path))}: delimiter and header are for CSV; a Parquet file has its "
            "own column names: leave them out"
        )
    return read_parquet(path)


def load_arrays(
    path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> tuple[HostArray, HostArray | None]:
    """Return X (n, ...) and y (n, ...) or None of an NPY, NPZ or IDX file, dtypes as stored.

    labels: the file of y; by default an NPZ's own y, and for IDX images named as MNIST's the
    labels beside them. Raises `InputError` for a table, `DataError` when X and y do not fit.
    """
    kind = file_kind(path)
    label = escape(os.fspath(path))
    if kind in ("csv", "parquet"):
        raise InputError(f"{label}: holds a table ({kind}), expected arrays; use open_table")
    if kind == "idx":
        if labels is not None or "images" in os.path.basename(os.fspath(path)):
            return read_idx_pair(path, labels)
        return read_idx(path), None
    x, y = (read_npy(path), None) if kind == "npy" else read_npz(path)
    if labels is not None:
        if y is not None:
            raise InputError(f"labels={os.fspath(labels)!r}: {label} holds y already; leave it out")
        y = load_arrays(labels)[0]
    if x.ndim == 0 or (y is not None and (y.ndim == 0 or len(x) != len(y))):
        shapes = f"shape {x.shape}" if y is None else f"shapes {x.shape} and {y.shape}"
        raise DataError(f"{label}: X and y of {shapes}; expected one row of X a row of y")
    return x, y
