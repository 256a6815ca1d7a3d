"""Parquet through pyarrow (extra ``parquet``): the columns as a `Table` of text and numbers."""

import importlib
import os
import re
from typing import Any

import numpy as np

from chainrule.data.escaping import escape, shown
from chainrule.data.files import check_file, check_memory, describe, read_head, unreadable
from chainrule.data.table import TEXT, HostArray, Table, check_names
from chainrule.errors import DataError, InputError

_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(path: str | os.PathLike[str]) -> Table:
    """Read a Parquet file as a `Table`; its lines are row numbers from 1.

    Integers, floats and booleans stay; with nulls integers become floats and booleans text.
    Decimals become floats; text, dates and times become text as in a CSV; nulls are missing
    cells. pandas' stored index is left out.

    Raises `InputError` when pyarrow is not installed; `DataError` for a damaged file, 0 rows,
    names that repeat, nested or binary columns, or more than fits in memory.
    """
    name = check_file(path)
    label = escape(name)
    head = read_head(name)
    if not head.startswith(b"PAR1"):
        raise DataError(f"{label}: is {describe(head) or 'no Parquet file'}; expected Parquet")
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            f'{label}: reading Parquet needs pyarrow: pip install "chainrule[parquet]"'
        ) from None
    try:
        with parquet.ParquetFile(name) as file:
            every = [str(field.name) for field in file.schema_arrow]
            positions = [i for i, field in enumerate(every) if not _INDEX.fullmatch(field)]
            names = tuple(every[i].strip() for i in positions)
            check_names(names, f"{label}:1")
            rows = int(file.metadata.num_rows)
            if not rows:
                raise DataError(f"{label}: 0 data rows; expected at least one")
            check_memory(name, rows * max(1, len(names)) * 40)
            table = file.read()
        columns = tuple(
            _column(arrow, table.column(i), f"{label}: column {shown(every[i])}") for i in positions
        )
    except arrow.ArrowException as error:
        reason = escape(str(error).partition("\n")[0])
        raise DataError(f"{label}: damaged Parquet file ({reason}); write it again") from None
    except OSError as error:
        raise unreadable(name, error) from None
    return Table(names, columns, name, np.arange(1, rows + 1, dtype=np.int64))


def _column(arrow: Any, column: Any, label: str) -> HostArray:
    kinds = arrow.types
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    nulls = int(column.null_count)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        if nulls or not kinds.is_integer(kind):
            column = column.cast(arrow.float64(), safe=False)
        return np.asarray(column.to_numpy())
    if kinds.is_boolean(kind):
        cells = column.to_pylist()
        return _text([str(cell) for cell in cells], cells) if nulls else np.array(cells, np.bool_)
    if kinds.is_temporal(kind) and not kinds.is_interval(kind):
        column = column.cast(arrow.string())
    elif not (kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_null(kind)):
        raise DataError(
            f"{label} holds {kind}; expected numbers, booleans, text or dates: convert it or leave "
            "it out of the file"
        )
    cells = column.to_pylist()
    return _text(cells, cells)


def _text(texts: list[Any], cells: list[Any]) -> HostArray:
    filled = ["" if cell is None else text for text, cell in zip(texts, cells, strict=True)]
    return np.array(filled, dtype=TEXT)
