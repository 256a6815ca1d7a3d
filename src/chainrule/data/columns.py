"""The two kinds of fitted feature column: numbers standardised, categories one-hot."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import Numbers, is_text, read_labels, read_numbers, refuse
from chainrule.data.escaping import close_to, listed, shown
from chainrule.data.missing import Missing, Rows, fill_number, pick, row_number
from chainrule.data.table import Table
from chainrule.errors import DataError

EMPTY = "every cell is missing"


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers, standardised to (x - mean) / scale.

    mean, scale: of the training rows; the scale is the biased standard deviation, 1 if constant.
    fill: what replaces a missing cell, in the column's units; None refuses it.
    """

    name: str
    mean: float
    scale: float
    fill: float | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features this column becomes: its own."""
        return (self.name,)

    def encode(
        self, table: Table, rows: Rows, out: NDArray[np.float64], ignore_unseen: bool
    ) -> NDArray[np.bool_]:
        """Write the features of `rows` to `out` (n, 1); return which cells are missing (n,)."""
        numbers = numeric(table, self.name, rows, read_numbers(pick(table, self.name, rows)))
        values = numbers.values
        if self.fill is not None:
            values = np.where(numbers.missing, self.fill, values)
        out[:, 0] = standardise(values, self.mean, self.scale)
        beyond = np.flatnonzero(np.isinf(out[:, 0]))
        if beyond.size:
            raise DataError(
                f"{table.place(row_number(rows, beyond[0]), self.name)}: column "
                f"{shown(self.name)}: {float(values[beyond[0]])!r} is out of range for a column of "
                f"mean {self.mean!r} and scale {self.scale!r}; change its units"
            )
        return numbers.missing


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of texts, one feature of 0 and 1 for each category seen in training.

    categories: sorted, without the blanks around them.
    fill: the category that replaces a missing cell; None refuses it.
    """

    name: str
    categories: tuple[str, ...]
    fill: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``column=category`` for each category."""
        return tuple(f"{self.name}={category}" for category in self.categories)

    def encode(
        self, table: Table, rows: Rows, out: NDArray[np.float64], ignore_unseen: bool
    ) -> NDArray[np.bool_]:
        """Write the features of `rows` to `out` (n, categories); return which cells are missing.

        A category not seen in training is a `DataError`, or all zeros with `ignore_unseen`.
        """
        labels, missing = read_labels(pick(table, self.name, rows))
        code_of = {category: code for code, category in enumerate(self.categories)}
        codes = np.fromiter((code_of.get(label, -1) for label in labels), np.int64, len(labels))
        codes[missing] = -1 if self.fill is None else code_of[self.fill]
        unseen = np.flatnonzero((codes < 0) & ~missing)
        if unseen.size and not ignore_unseen:
            label = labels[int(unseen[0])]
            raise DataError(
                f"{table.place(row_number(rows, unseen[0]), self.name)}: column "
                f"{shown(self.name)}: category {shown(label)} was never seen in training"
                f"{close_to(label, self.categories)}; expected {listed(self.categories)}, "
                "or pass unseen='ignore' to encode it as all zeros"
            )
        out[:] = 0.0
        known = np.flatnonzero(codes >= 0)
        out[known, codes[known]] = 1.0
        return missing


FeatureColumn = NumericColumn | CategoricalColumn


@dataclass(frozen=True)
class Dropped:
    """A column of the training table that is no feature, and why."""

    name: str
    why: str


class Fitted(NamedTuple):
    """A fitted column, which of the cells it was fitted on are missing, whether it is constant."""

    column: FeatureColumn | Dropped
    missing: NDArray[np.bool_]
    constant: bool = False


def fit_column(
    table: Table,
    name: str,
    rows: Rows,
    missing: Missing,
    *,
    categorical: bool,
    max_categories: int,
) -> Fitted:
    """Learn one feature column from `rows`.

    categorical: treat numbers as categories, however many there are. Otherwise a text column with
    more than `max_categories` different texts, or with more than 20 of which most occur once or
    twice (more than half as many texts as rows), names rows and is dropped.
    """
    cells = pick(table, name, rows)
    if not categorical and cells.dtype != np.bool_:
        numbers = read_numbers(cells)
        if not mostly_text(table, name, rows, numbers):
            return _fit_numbers(name, numbers, missing)
    labels, empty = read_labels(cells)
    counts = Counter(label for label, gone in zip(labels, empty, strict=True) if not gone)
    present = counts.total()
    if not present:
        return Fitted(Dropped(name, EMPTY), empty)
    many = len(counts) > max_categories or (len(counts) > 20 and 2 * len(counts) > present)
    if many and not categorical:
        return Fitted(Dropped(name, f"{len(counts)} different texts in {present} rows"), empty)
    categories = tuple(sorted(counts))
    impute = missing in ("mean", "median", "most_frequent")
    fill = max(categories, key=lambda label: counts[label]) if impute else None
    return Fitted(CategoricalColumn(name, categories, fill), empty)


def _fit_numbers(name: str, numbers: Numbers, missing: Missing) -> Fitted:
    present = numbers.values[~numbers.missing]
    if not present.size:
        return Fitted(Dropped(name, EMPTY), numbers.missing)
    fill = fill_number(present, missing)
    filled = present if fill is None else np.where(numbers.missing, fill, numbers.values)
    column = NumericColumn(name, *mean_and_scale(filled), fill)
    return Fitted(column, numbers.missing, bool(filled.max() == filled.min()))


def mostly_text(table: Table, name: str, rows: Rows, numbers: Numbers) -> bool:
    """Whether a column is text (True) or numbers (False); a mixture is a `DataError`.

    Text: more than half of the cells that are not missing are plain text.
    """
    if not numbers.odd.size:
        return False
    cells = pick(table, name, rows)
    odd: Counter[object] = Counter(cells[numbers.odd].tolist())
    texts = sum(count for cell, count in odd.items() if is_text(cell))
    if 2 * texts <= len(cells) - int(np.count_nonzero(numbers.missing)):
        numeric(table, name, rows, numbers)
    return True


def numeric(table: Table, name: str, rows: Rows, numbers: Numbers) -> Numbers:
    """Return `numbers`, or raise `DataError` for the first cell that is no number."""
    if numbers.odd.size:
        row = row_number(rows, numbers.odd[0])
        raise DataError(refuse(table.place(row, name), name, table.column(name)[row]))
    return numbers


def mean_and_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the biased standard deviation of `values` (n,); 1 if all are equal.

    Computed on values divided by a power of two, so that squares neither overflow nor vanish.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if low == high:
        return low, 1.0
    _, exponent = np.frexp(max(abs(low), abs(high)))
    scaled = np.ldexp(values, -exponent)
    mean = np.mean(scaled)
    scale = np.sqrt(np.mean((scaled - mean) ** 2))
    return float(np.ldexp(mean, exponent)), float(np.ldexp(scale, exponent)) or 1.0


def standardise(values: NDArray[np.float64], mean: float, scale: float) -> NDArray[np.float64]:
    """Return (values - mean) / scale; what overflows becomes inf without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (values - mean) / scale
