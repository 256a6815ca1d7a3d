"""What a cell says: missing, a number, or text. The one stated policy for all tables.

- Blanks around a cell do not count.
- **Missing**: an empty cell, ``?``, ``NA``, ``N/A``, ``#N/A``, ``<NA>``, ``NaN`` (signed too),
  ``NULL`` and ``None``, in capitals or not; a null or NaN in Parquet.
- **Number**: what Python's ``float`` reads, finite, without underscores: ``1``, ``-1.5``,
  ``1e-3``, ``007``. Not numbers: ``1,5`` (a decimal comma), ``1_000``, ``0x10``, ``5%``;
  ``inf`` and ``1e400`` are refused as out of range.
- **Text**: the rest, ``True`` and ``False`` included.
- A column of numbers only is numeric, codes such as ZIP codes too (name them in `categorical` to
  change that). A column whose cells are mostly text is categorical. Anything between is a fault.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.data.escaping import shown
from chainrule.data.table import TEXT, HostArray

MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "<na>", "nan", "+nan", "-nan", "null", "none"))
"""The spellings of a missing cell, stripped and in lower case."""

_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column read as numbers.

    values: (n,) float64, NaN where the cell is missing or is no number.
    missing: (n,) bool.
    odd: positions of the cells that are neither missing nor a finite number, ascending.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_]
    odd: NDArray[np.int64]


def read_numbers(column: HostArray) -> Numbers:
    """Read a column (n,) of text, booleans (False 0, True 1), integers or floats as `Numbers`."""
    if column.dtype != TEXT:
        values = column.astype(np.float64)
        missing = np.isnan(values)
        odd = np.flatnonzero(np.isinf(values))
        values[odd] = np.nan
        return Numbers(values, missing, odd)
    try:
        values = column.astype(np.float64)
    except ValueError:
        return _read_cell_by_cell(column)
    if np.all(np.isfinite(values)) and not np.any(np.strings.find(column, "_") >= 0):
        none = np.zeros(0, dtype=np.int64)
        return Numbers(values, np.zeros(len(column), dtype=np.bool_), none)
    return _read_cell_by_cell(column)


def _read_cell_by_cell(column: HostArray) -> Numbers:
    values = np.full(len(column), np.nan)
    missing = np.zeros(len(column), dtype=np.bool_)
    odd: list[int] = []
    missing_texts: dict[str, bool] = {}
    for i, cell in enumerate(column.tolist()):
        if cell not in missing_texts:
            value = _number(cell)
            if value is not None:
                values[i] = value
                continue
            missing_texts[cell] = is_missing(cell)
        if missing_texts[cell]:
            missing[i] = True
        else:
            odd.append(i)
    return Numbers(values, missing, np.array(odd, dtype=np.int64))


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def is_missing(cell: str) -> bool:
    """Whether the text of a cell means that its value is missing."""
    return cell.strip().lower() in MISSING


def is_text(cell: object) -> bool:
    """Whether a cell that is no number is plain text, not a number spelled or sized wrongly."""
    return isinstance(cell, str) and fault(cell) == "not a number"


def fault(cell: object) -> str:
    """Return why a cell that is not missing is no number, with the way out."""
    text = str(cell).strip()
    if _DECIMAL_COMMA.fullmatch(text):
        return "not a number; a decimal comma? write 1.5, and thousands as 1000"
    try:
        value = float(text)
    except ValueError:
        return "not a number"
    if "_" in text:
        return "not a number; write it without underscores"
    return "out of range for a number" if math.isinf(value) else "not a number"


def refuse(place: str, name: str, cell: object) -> str:
    """Return the message for a cell of a numeric column that is no number."""
    return f"{place}: column {shown(name)}: {shown(str(cell))} is {fault(cell)}"


def read_labels(column: HostArray) -> tuple[list[str], NDArray[np.bool_]]:
    """Read a column as text: (n,) labels without the blanks around them, and which are missing.

    Numbers become text as `number_label` says; booleans become ``False`` and ``True``.
    """
    if column.dtype == TEXT:
        labels: list[str] = [cell.strip() for cell in column.tolist()]
        missing = np.fromiter((x.lower() in MISSING for x in labels), np.bool_, len(labels))
        return labels, missing
    if column.dtype == np.bool_:
        return [str(cell) for cell in column.tolist()], np.zeros(len(column), dtype=np.bool_)
    return [number_label(cell) for cell in column.tolist()], np.isnan(column.astype(np.float64))


def number_label(value: float) -> str:
    """Return the name of a class given as a number: ``1`` for 1 and 1.0, ``0.5`` for 0.5."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
