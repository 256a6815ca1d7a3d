"""Missing cells: where they are, the rows without them, and what fills them."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import read_numbers
from chainrule.data.escaping import listed
from chainrule.data.table import HostArray, Table
from chainrule.errors import DataError

Missing: TypeAlias = Literal["error", "mean", "median", "most_frequent", "drop"]
POLICIES = ("error", "mean", "median", "most_frequent", "drop")

Rows: TypeAlias = NDArray[np.int64] | None
"""Row indices into a table, or None for every row."""

IMPUTE = (
    "pass --missing mean (or median, most_frequent) to fill them, or --missing drop to leave "
    "those rows out"
)
DROP = "pass --missing drop to leave those rows out"


def pick(table: Table, name: str, rows: Rows) -> HostArray:
    """Return the column `name`, or its `rows` only."""
    column = table.column(name)
    return column if rows is None else column[rows]


def row_number(rows: Rows, position: int | np.integer) -> int:
    """Return the row of the table that stands at `position` among `rows`."""
    return int(position) if rows is None else int(rows[position])


def missing_error(
    table: Table, rows: Rows, masks: dict[str, NDArray[np.bool_]], way_out: str
) -> DataError:
    """Return the error for missing cells: how many, in which columns, the first five places.

    masks: for each column name which of `rows` are missing (n,); some cell must be.
    """
    names = [name for name, mask in masks.items() if mask.any()]
    count = sum(int(np.count_nonzero(masks[name])) for name in names)
    cells = [
        (row_number(rows, i), table.names.index(name), name)
        for name in names
        for i in np.flatnonzero(masks[name])[:5]
    ]
    cells.sort()
    row, _, name = cells[0]
    places = ", ".join(table.spot(row, name) for row, _, name in cells[:5])
    return DataError(
        f"{table.place(row, name)}: {count} missing cell{'s' if count > 1 else ''} in "
        f"{listed(names)}, first at {places} (line:column); expected none: {way_out}"
    )


def complete_rows(table: Table, names: Iterable[str], rows: Rows = None) -> NDArray[np.int64]:
    """Return the indices of the rows (of `rows`, in that order) with no missing cell in `names`."""
    index = np.arange(len(table), dtype=np.int64) if rows is None else np.asarray(rows, np.int64)
    complete = np.ones(len(index), dtype=np.bool_)
    for name in names:
        complete &= ~read_numbers(pick(table, name, rows)).missing
    return index[complete]


def fill_number(values: NDArray[np.float64], policy: Missing) -> float | None:
    """Return what fills a numeric column with the present `values`; ties go to the smallest."""
    if policy == "mean":
        _, exponent = np.frexp(np.max(np.abs(values)))
        return float(np.ldexp(np.mean(np.ldexp(values, -exponent)), exponent))
    if policy == "median":
        return float(np.median(values))
    if policy == "most_frequent":
        distinct, counts = np.unique(values, return_counts=True)
        return float(distinct[np.argmax(counts)])
    return None
