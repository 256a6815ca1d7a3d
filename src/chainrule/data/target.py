"""The column to predict: classes as integers, or numbers with the scale to train on."""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.cells import number_label, read_labels, read_numbers, refuse
from chainrule.data.columns import mean_and_scale, mostly_text, numeric, standardise
from chainrule.data.escaping import close_to, escape, listed, shown
from chainrule.data.missing import DROP, Rows, missing_error, pick, row_number
from chainrule.data.table import HostArray, Table
from chainrule.errors import DataError, InputError, choice

Task: TypeAlias = Literal["auto", "classification", "regression"]
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class ClassTarget:
    """A target of classes.

    class_names: sorted (numbers by value, texts by code point); class k is class_names[k].
    numeric: whether the classes are whole numbers in the file, so that 1 and 1.0 are one class.
    """

    name: str
    class_names: tuple[str, ...]
    numeric: bool
    task: ClassVar[Literal["classification"]] = "classification"

    def read(self, table: Table, rows: Rows = None) -> NDArray[np.int64]:
        """Return the labels of `rows` (n,) int64 in [0, classes).

        Raises `DataError` for missing cells and for a label never seen in training.
        """
        table.index(self.name, "target")
        cells = pick(table, self.name, rows)
        labels, missing = _labels(cells, self.numeric)
        if missing.any():
            raise missing_error(table, rows, {self.name: missing}, DROP)
        code_of = {name: code for code, name in enumerate(self.class_names)}
        codes = np.fromiter((code_of.get(label, -1) for label in labels), np.int64, len(labels))
        unseen = np.flatnonzero(codes < 0)
        if unseen.size:
            label = labels[int(unseen[0])]
            raise DataError(
                f"{table.place(row_number(rows, unseen[0]), self.name)}: target "
                f"{shown(self.name)}: label {shown(label)} was never seen in training"
                f"{close_to(label, self.class_names)}; expected {listed(self.class_names)}"
            )
        return codes

    def encode(self, y: HostArray) -> HostArray:
        """Return the labels as they are: they are what a loss for classes takes."""
        return y

    def decode(self, output: ArrayLike) -> list[str]:
        """Return the class names of labels (n,) of integers in [0, classes)."""
        labels = np.asarray(output)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise InputError(
                f"labels: got {labels.dtype} of shape {labels.shape}; expected integers of "
                "shape (n,), the index of each row's class"
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.class_names):
            raise InputError(
                f"labels: got {int(labels.min())} to {int(labels.max())}; expected 0 to "
                f"{len(self.class_names) - 1}"
            )
        return [self.class_names[label] for label in labels]


@dataclass(frozen=True)
class NumberTarget:
    """A target of numbers; mean and scale (biased standard deviation) are of the training rows."""

    name: str
    mean: float
    scale: float
    task: ClassVar[Literal["regression"]] = "regression"

    def read(self, table: Table, rows: Rows = None) -> NDArray[np.float64]:
        """Return the targets of `rows` (n,) float64 in the file's units.

        Raises `DataError` for missing cells and cells that are no number.
        """
        table.index(self.name, "target")
        numbers = numeric(table, self.name, rows, read_numbers(pick(table, self.name, rows)))
        if numbers.missing.any():
            raise missing_error(table, rows, {self.name: numbers.missing}, DROP)
        return numbers.values

    def encode(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return the standardised targets to train on, (y - mean) / scale, float64."""
        return standardise(np.asarray(y, dtype=np.float64), self.mean, self.scale)

    def decode(self, output: ArrayLike) -> NDArray[np.float64]:
        """Return a network's output in the file's units, output * scale + mean, float64."""
        return np.asarray(output, dtype=np.float64) * self.scale + self.mean


Target: TypeAlias = ClassTarget | NumberTarget


def fit_target(table: Table, name: str, *, task: Task = "auto", rows: Rows = None) -> Target:
    """Learn the target column `name` from `rows` (all when None).

    With task "auto" it is a classification when the column is text, boolean, or whole numbers with
    few values: two at most, or at most 20 that occur three times or more on average. Otherwise it
    is a regression.

    Raises `InputError` for an unknown column or task, `DataError` for missing cells, a single
    class, fractions as classes, or text as numbers.
    """
    choice("task", task, TASKS)
    table.index(name, "target")
    cells = pick(table, name, rows)
    if not len(cells):
        raise InputError(f"rows: got 0 rows of {escape(table.path)}; expected at least one")
    numbers = read_numbers(cells)
    if numbers.missing.any():
        raise missing_error(table, rows, {name: numbers.missing}, DROP)
    boolean = cells.dtype == np.bool_
    if task == "regression":
        row = row_number(rows, 0)
        if boolean:
            raise DataError(refuse(table.place(row, name), name, table.column(name)[row]))
        mean, scale = mean_and_scale(numeric(table, name, rows, numbers).values)
        return NumberTarget(name, mean, scale)
    if boolean or mostly_text(table, name, rows, numbers):
        return _class_target(table, name, sorted(set(read_labels(cells)[0])), False)
    values = numbers.values
    distinct = np.unique(values)
    whole = bool(np.all(distinct == np.floor(distinct)))
    few = len(distinct) <= 2 or (len(distinct) <= 20 and 3 * len(distinct) <= len(values))
    if task == "auto" and not (whole and few):
        return NumberTarget(name, *mean_and_scale(values))
    if not whole:
        row = row_number(rows, np.flatnonzero(values != np.floor(values))[0])
        raise DataError(
            f"{table.place(row, name)}: target {shown(name)}: {shown(str(table.column(name)[row]))}"
            " is no class; expected whole numbers or text, or pass --task regression"
        )
    return _class_target(table, name, [number_label(value) for value in distinct], True)


def class_counts(class_names: tuple[str, ...], labels: HostArray) -> dict[str, int]:
    """Return how many rows each class has, zeros included; labels (n,) integers in [0, classes)."""
    counts = np.bincount(labels, minlength=len(class_names))
    return {name: int(count) for name, count in zip(class_names, counts, strict=True)}


def _class_target(table: Table, name: str, names: list[str], numeric: bool) -> ClassTarget:
    if len(names) == 1:
        way_out = ", or pass --task regression" if numeric else ""
        raise DataError(
            f"{escape(table.path)}: target {shown(name)} has a single class, {shown(names[0])}; "
            f"expected two or more to tell apart{way_out}"
        )
    return ClassTarget(name, tuple(names), numeric)


def _labels(cells: HostArray, numeric: bool) -> tuple[list[str], NDArray[np.bool_]]:
    """Read labels; numbers in any spelling get one name, other texts stay as they are."""
    labels, missing = read_labels(cells)
    if numeric:
        values = read_numbers(cells).values
        labels = [
            label if np.isnan(value) else number_label(value)
            for label, value in zip(labels, values, strict=True)
        ]
    return labels, missing
