"""From a table to arrays and back: learnt once on the training rows, then the same for every file.

Typical use, with rows chosen by a split::

    table = open_table("data.csv")
    goal = fit_target(table, "species")            # labels for a stratified split
    schema = Schema.fit(table, "species", rows=train)
    X, y = schema.transform(table, train), schema.target(table, train)
    text = schema.to_json()
    X_new = Schema.from_json(text).transform(open_table("new.csv"))
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.columns import Dropped, FeatureColumn, fit_column
from chainrule.data.escaping import close_to, escape, listed, shown
from chainrule.data.missing import (
    IMPUTE,
    POLICIES,
    Missing,
    complete_rows,
    missing_error,
)
from chainrule.data.schema_json import read_schema, write_schema
from chainrule.data.table import DataWarning, HostArray, Table
from chainrule.data.target import ClassTarget, NumberTarget, Target, Task, fit_target
from chainrule.errors import DataError, InputError, choice


@dataclass(frozen=True)
class Schema:
    """How the columns of a table become features and a target.

    columns: the fitted feature columns in the training table's order.
    dropped: its other columns, and why each is no feature.
    goal: the fitted target.
    missing: the policy for missing cells.
    """

    columns: tuple[FeatureColumn, ...]
    dropped: tuple[Dropped, ...]
    goal: Target
    missing: Missing

    @classmethod
    def fit(
        cls,
        table: Table,
        target: str | Target,
        *,
        task: Task = "auto",
        missing: Missing = "error",
        rows: ArrayLike | None = None,
        drop: Iterable[str] = (),
        categorical: Iterable[str] = (),
        max_categories: int = 100,
    ) -> "Schema":
        """Learn a schema from the training rows of `table`.

        target: the column to predict, or one already fitted by `fit_target` (then `task` is not
            used), so that classes outside the training rows are known too.
        task: "auto" decides as `fit_target` says.
        missing: "error"; fill with the "mean", "median" or "most_frequent" of the column
            (categories always with the most frequent); or "drop" the rows with missing cells. A
            missing target is never filled.
        rows: indices of the training rows (n,); all when None.
        drop: columns that are no features.
        categorical: columns of numbers, such as codes, to treat as categories.
        max_categories: text columns with more categories are dropped, with a `DataWarning`.

        Constant columns are scaled by 1, with a `DataWarning`. Raises `InputError` for settings
        and `DataError` for faults in the file, with their place.
        """
        choice("missing", missing, POLICIES)
        name = target if isinstance(target, str) else target.name
        table.index(name, "target")
        drop, categorical = _names(drop), _names(categorical)
        for argument, names in (("drop", drop), ("categorical", categorical)):
            for column in names:
                table.index(column, argument)
        if name in drop:
            raise InputError(f"drop={shown(name)}: this column is the target")
        chosen = None if rows is None else _rows(table, rows)
        features = [column for column in table.names if column != name and column not in drop]
        if missing == "drop":
            chosen = complete_rows(table, (*features, name), chosen)
            if not chosen.size:
                raise DataError(
                    f"{escape(table.path)}: every row has a missing cell; expected complete rows: "
                    "drop the columns that are empty, or pass --missing mean"
                )
        goal = fit_target(table, name, task=task, rows=chosen) if target is name else target
        goal = cast(Target, goal)

        kept: list[FeatureColumn] = []
        dropped = [Dropped(column, "asked for") for column in drop]
        masks: dict[str, NDArray[np.bool_]] = {}
        constant: list[str] = []
        for column in features:
            fitted = fit_column(
                table,
                column,
                chosen,
                missing,
                categorical=column in categorical,
                max_categories=max_categories,
            )
            masks[column] = fitted.missing
            constant += [column] * fitted.constant
            if isinstance(fitted.column, Dropped):
                dropped.append(fitted.column)
            else:
                kept.append(fitted.column)
        if missing == "error" and any(mask.any() for mask in masks.values()):
            raise missing_error(table, chosen, masks, IMPUTE)
        if not kept:
            raise DataError(
                f"{escape(table.path)}: no feature columns besides the target {shown(name)}"
                + "".join(f"; {shown(d.name)}: {d.why}" for d in dropped[:5])
            )
        if isinstance(goal, NumberTarget) and np.ptp(goal.read(table, chosen)) == 0:
            constant.append(name)
        _warn(table, [column for column in dropped if column.name not in drop], constant)
        return cls(tuple(kept), tuple(dropped), goal, missing)

    def transform(
        self, table: Table, rows: ArrayLike | None = None, *, unseen: str = "error"
    ) -> NDArray[np.float64]:
        """Return the features of `rows` (all when None) as (n, features) float64.

        Columns are found by name in any order; others in the table are ignored, with a
        `DataWarning` unless they were in the training table.
        unseen: what a category never seen in training does: "error", or "ignore" for all zeros.

        Raises `DataError` for absent columns, cells that are no number, unseen categories, and
        missing cells that the policy does not fill.
        """
        choice("unseen", unseen, ("error", "ignore"))
        chosen = None if rows is None else _rows(table, rows)
        self._match(table)
        count = len(table) if chosen is None else len(chosen)
        features = np.empty((count, len(self.feature_names)))
        unfilled: dict[str, NDArray[np.bool_]] = {}
        start = 0
        for column in self.columns:
            stop = start + len(column.feature_names)
            mask = column.encode(table, chosen, features[:, start:stop], unseen == "ignore")
            if column.fill is None:
                unfilled[column.name] = mask
            start = stop
        if any(mask.any() for mask in unfilled.values()):
            way_out = (
                "take the rows of Schema.complete_rows"
                if self.missing == "drop"
                else "fill them in the file, or train with --missing mean"
            )
            raise missing_error(table, chosen, unfilled, way_out)
        return features

    def target(self, table: Table, rows: ArrayLike | None = None) -> HostArray:
        """Return y (n,): int64 labels, or float64 targets in the file's units."""
        return self.goal.read(table, None if rows is None else _rows(table, rows))

    def encode_target(self, y: HostArray) -> HostArray:
        """Return what to train on: labels as they are, targets standardised (float64)."""
        return self.goal.encode(y)

    def decode_target(self, output: ArrayLike) -> list[str] | NDArray[np.float64]:
        """Return class names of labels (n,), or a regression's output in the file's units."""
        return self.goal.decode(output)

    def complete_rows(
        self, table: Table, rows: ArrayLike | None = None, *, target: bool = True
    ) -> NDArray[np.int64]:
        """Return the indices of the rows with no missing cell in the columns this schema reads.

        target: also look at the target's column; False for a table to predict.
        """
        names = [column.name for column in self.columns] + [self.goal.name] * target
        return complete_rows(table, names, None if rows is None else _rows(table, rows))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features: the column, or ``column=category``."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.goal.task

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The name of each class, or None for a regression."""
        return self.goal.class_names if isinstance(self.goal, ClassTarget) else None

    def to_json(self) -> str:
        """Return the schema as JSON text that `from_json` reads back equal, bit for bit."""
        return write_schema(self.columns, self.dropped, self.goal, self.missing)

    @classmethod
    def from_json(cls, text: str, path: str = "schema.json") -> "Schema":
        """Return the schema written by `to_json`; `DataError` names `path` and the first fault."""
        columns, dropped, goal, missing = read_schema(text, escape(path))
        return cls(columns, dropped, goal, cast(Missing, missing))

    def _match(self, table: Table) -> None:
        wanted = [column.name for column in self.columns]
        absent = [name for name in wanted if name not in table.names]
        if absent:
            spare = [name for name in table.names if name not in wanted]
            named = ", ".join(f"{shown(name)}{close_to(name, spare)}" for name in absent[:5])
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            raise DataError(
                f"{escape(table.path)}:{table.first_line}: {len(absent)} of the {len(wanted)} "
                f"columns the model needs are absent: {named}{more}; columns are matched by name"
            )
        known = {*wanted, self.goal.name, *(column.name for column in self.dropped)}
        extra = [name for name in table.names if name not in known]
        if extra:
            warn(
                f"{escape(table.path)}: columns that the model does not know are ignored: "
                f"{listed(extra)}",
                DataWarning,
                stacklevel=3,
            )


def _warn(table: Table, dropped: list[Dropped], constant: list[str]) -> None:
    label = escape(table.path)
    if dropped:
        named = ", ".join(f"{shown(column.name)} ({column.why})" for column in dropped)
        warn(
            f"{label}: dropped {named}; pass drop= to leave columns out in silence, categorical= "
            "or max_categories= to keep them",
            DataWarning,
            stacklevel=3,
        )
    if constant:
        warn(
            f"{label}: constant in the training rows, scaled by 1: {listed(constant)}",
            DataWarning,
            stacklevel=3,
        )


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _rows(table: Table, rows: ArrayLike) -> NDArray[np.int64]:
    index = np.asarray(rows)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise InputError(
            f"rows: got {index.dtype} of shape {index.shape}; expected integers of shape (n,)"
        )
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < len(table):
        raise InputError(
            f"rows: got indices {int(index.min())} to {int(index.max())}; expected 0 to "
            f"{len(table) - 1}"
        )
    return index.astype(np.int64)
