"""From DATASET or FILE to what is trained on and what is held out."""

import zlib
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.faults import say
from chainrule.cli.settings import Settings
from chainrule.cli.source import Arrays, checked, open_source, scaled
from chainrule.data.columns import NumericColumn, mean_and_scale
from chainrule.data.escaping import escape, listed, shown
from chainrule.data.missing import complete_rows
from chainrule.data.schema import Schema
from chainrule.data.splitting import split
from chainrule.data.table import Table
from chainrule.data.target import ClassTarget, Target, class_counts, fit_target
from chainrule.errors import DataError, InputError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Scaled features (n, features) and encoded targets (n,); held_x has 0 rows if none."""

    schema: Schema
    x: NDArray[Any]
    y: NDArray[Any]
    held_x: NDArray[Any]
    held_y: NDArray[Any]

    @property
    def classes(self) -> int:
        """The number of classes; 0 for a regression."""
        return len(self.schema.class_names or ())

    def checksum(self) -> int:
        """Return a checksum of every feature and target, by which a resumed run knows its data."""
        value = 0
        for array in (self.x, self.y, self.held_x, self.held_y):
            value = zlib.crc32(array.tobytes(), value)
        return value


def load_training_data(name: str, settings: Settings, *, quiet: bool) -> TrainingData:
    """Read, split and scale; says on standard error what was decided, unless `quiet`.

    Raises `InputError` for settings and `DataError` for faults in the file, with their place.
    """
    source = open_source(
        name,
        delimiter=settings.delimiter,
        no_header=settings.no_header,
        target=settings.target,
    )
    if isinstance(source, Table):
        data = _from_table(source, settings, quiet=quiet)
    else:
        data = _from_arrays(source, settings)
    if not quiet:
        goal = data.schema.goal
        kind = f" ({data.classes} classes)" if data.classes else ""
        say(
            f"{source.path}: {goal.task} of {shown(goal.name)}{kind}, {data.x.shape[1]} features; "
            f"{len(data.x)} rows to train on, {len(data.held_x)} held out"
        )
    return data


def _from_table(table: Table, settings: Settings, *, quiet: bool) -> TrainingData:
    target = settings.target
    if target is None:
        target = table.names[-1]
        if not quiet:
            say(f"target {shown(target)}, the last column; for another pass --target NAME")
    table.index(target, "--target")
    rows = np.arange(len(table))
    if settings.missing == "drop":
        rows = complete_rows(table, table.names)
        if not rows.size:
            raise DataError(f"{escape(table.path)}: --missing drop: every row has a missing cell")
        if not quiet and len(rows) < len(table):
            say(f"{len(table) - len(rows)} rows with a missing cell are left out")
    task = cast(Any, settings.task)
    goal = fit_target(table, target, task=task, rows=rows)
    train, held = (
        rows[part] for part in _split(table.path, goal, goal.read(table, rows), settings)
    )
    if not isinstance(goal, ClassTarget):
        goal = fit_target(table, target, task="regression", rows=train)
    missing = cast(Any, settings.missing)
    try:
        schema = Schema.fit(table, goal, missing=missing, rows=train)
        x = schema.transform(table, train)
        held_x = schema.transform(table, held, unseen="ignore")
    except DataError:
        Schema.fit(table, goal, missing=missing, rows=rows)  # names the faults of all rows
        raise
    y, held_y = (goal.encode(goal.read(table, part)) for part in (train, held))
    return TrainingData(schema, x, y, held_x, held_y)


def _from_arrays(arrays: Arrays, settings: Settings) -> TrainingData:
    label = escape(arrays.path)
    if settings.missing != "error":
        raise InputError(f"--missing {settings.missing}: {label} is no table; fill its cells first")
    table = arrays.targets()
    if arrays.class_names is None:
        goal = fit_target(table, table.names[0], task=cast(Any, settings.task))
        y = goal.read(table)
    else:
        if settings.task == "regression":
            raise InputError(f"--task regression: {label} holds classes; expected classification")
        numeric = all(name.isdecimal() for name in arrays.class_names)
        goal, y = ClassTarget(table.names[0], arrays.class_names, numeric), cast(Any, arrays.y)
    train, held = _split(arrays.path, goal, y, settings)
    if not isinstance(goal, ClassTarget):
        goal = fit_target(table, table.names[0], task="regression", rows=train)
    x = checked(arrays.X, label)
    mean, scale = _scaling(arrays, x[train], label)
    columns = tuple(
        NumericColumn(name, *pair)
        for name, *pair in zip(arrays.names, mean.tolist(), scale.tolist(), strict=True)
    )
    y = goal.encode(y)
    return TrainingData(
        Schema(columns, (), goal, "error"),
        scaled(x[train], mean, scale),
        y[train],
        scaled(x[held], mean, scale),
        y[held],
    )


def _scaling(arrays: Arrays, x: NDArray[Any], label: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the mean and scale of each feature (features,).

    Bytes of an image are divided by 255, features that lie in [0, 1] stay, others are standardised.
    """
    mean, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    if arrays.pixels:
        return mean, scale * 255
    if x.min() >= 0 and x.max() <= 1:
        return mean, scale
    for place in range(x.shape[1]):
        mean[place], scale[place] = mean_and_scale(x[:, place].astype(np.float64))
    constant = [arrays.names[i] for i in np.flatnonzero(np.ptp(x, axis=0) == 0)]
    if constant:
        say(f"warning: {label}: constant in the training rows, scaled by 1: {listed(constant)}")
    return mean, scale


def _split(path: str, goal: Target, y: NDArray[Any], settings: Settings) -> tuple[Rows, Rows]:
    """Return the rows to train on and those held out, of `y`; stratified by class."""
    if settings.validation == 0:
        return np.arange(len(y)), np.arange(0)
    if not isinstance(goal, ClassTarget):
        return split(len(y), settings.validation, seed=settings.seed)
    lone = [name for name, count in class_counts(goal.class_names, y).items() if count == 1]
    if lone:
        raise DataError(
            f"{escape(path)}: target {shown(goal.name)}: one row only of class {listed(lone)}; the "
            "held-out rows need one of each class and so do the others: add rows, or pass "
            "--validation 0"
        )
    return split(len(y), settings.validation, labels=y, seed=settings.seed)
