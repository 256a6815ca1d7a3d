"""The history of a run: one record an epoch, ordered by step; as a file, one JSON object a line."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

from chainrule.errors import DataError, InputError, nearest
from chainrule.train.files import write_bytes

Value: TypeAlias = int | float | str | bool | None
Record: TypeAlias = dict[str, Value]
"""What one epoch left: "epoch", "step", "loss", "learning_rate", "seconds", "samples_per_second",
"val_loss", "val_accuracy", …, and what it was computed in; "step" must be there."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class History:
    """An append-only list of epoch records whose steps increase.

    about: what every record that is appended gets to say as well, unless it does already.
    ``history["loss"]`` is a column: one number an epoch, nan where an epoch has none.

    >>> history = History([{"epoch": 1, "step": 40, "loss": 0.5}])
    >>> history.append({"epoch": 2, "step": 80, "loss": 0.25, "val_loss": 0.375})
    >>> history["loss"], history["val_loss"]
    ([0.5, 0.25], [nan, 0.375])
    >>> history
    History(2 epochs, step 80: loss 0.25, val_loss 0.375)
    """

    def __init__(
        self, records: Iterable[Mapping[str, Any]] = (), about: Mapping[str, Any] | None = None
    ) -> None:
        self._records: list[Record] = []
        self._about: Mapping[str, Any] = {}
        for record in records:
            self.append(record)
        self._about = about or {}

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a copy of `record`, whose step must exceed the last one's.

        NumPy scalars become Python's.
        """
        said = {**record, **{k: v for k, v in self._about.items() if k not in record}}
        own = {key: _plain(key, value) for key, value in said.items()}
        step = own.get("step")
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(f"record['step'] is {step!r}; expected an integer >= 0")
        if self._records and step <= self.step:
            raise InputError(
                f"record['step'] is {step}; expected more than {self.step}, the last one's"
            )
        self._records.append(own)

    @property
    def records(self) -> list[Record]:
        """Return copies of the records, oldest first."""
        return [dict(record) for record in self._records]

    @property
    def last(self) -> Record:
        """Return a copy of the newest record; empty if there is none."""
        return dict(self._records[-1]) if self._records else {}

    @property
    def step(self) -> int:
        """Return the step of the newest record; 0 if there is none."""
        return int(self._records[-1]["step"] or 0) if self._records else 0

    @property
    def names(self) -> list[str]:
        """Return every name that some record has, in order of appearance."""
        return list(dict.fromkeys(name for record in self._records for name in record))

    def __getitem__(self, name: str) -> list[float]:
        """Return the column of numbers called `name`; empty before the first epoch."""
        names = self.names
        if names and name not in names:
            raise InputError(
                f"history has no {name!r}{nearest(name, names)}; it has {', '.join(names)}"
            )
        return [_number(name, record.get(name)) for record in self._records]

    def __contains__(self, name: object) -> bool:
        return any(name in record for record in self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        if not self._records:
            return "History(no epochs)"
        shown = ", ".join(
            f"{name} {value:.4g}"
            for name, value in self._records[-1].items()
            if isinstance(value, float)
            and name not in ("learning_rate", "seconds", "samples_per_second")
        )
        epochs = "1 epoch" if len(self) == 1 else f"{len(self)} epochs"
        return f"History({epochs}, step {self.step}{': ' if shown else ''}{shown})"

    def until(self, step: int) -> "History":
        """Return the history that a checkpoint at `step` saw: the records up to it."""
        return History(record for record in self._records if int(record["step"] or 0) <= step)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write the records to `path`, one `line` each.

        The old file stands until the new one is whole and on disk.
        """
        write_bytes(Path(path), "".join(map(line, self._records)).encode())

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> "History":
        """Read what `to_jsonl`, or appending `line`s, wrote.

        A last line that cannot be read (a crash cut it short) is dropped, the rest kept. Records
        are ordered by step; of two lines for one step (a resumed run) the later in the file stands.
        Raises `DataError` naming the line for any other fault.
        """
        lines = Path(path).read_bytes().split(b"\n")
        written = [(number, text) for number, text in enumerate(lines, start=1) if text.strip()]
        by_step: dict[int, Record] = {}
        for number, text in written:
            try:
                record = _parse(text)
            except (ValueError, RecursionError) as error:
                if number == written[-1][0]:
                    break
                column = error.colno if isinstance(error, json.JSONDecodeError) else 1
                raise DataError(f"{os.fspath(path)}:{number}:{column}: {_reason(error)}") from None
            by_step[int(record["step"] or 0)] = record
        return cls(by_step[step] for step in sorted(by_step))


def line(record: Mapping[str, Any]) -> str:
    """Return `record` as one line of strict JSON, nan and infinities as quoted names.

    "NaN", "Infinity" and "-Infinity" are read back as numbers.

    >>> line({"step": 3, "loss": float("nan")})
    '{"step": 3, "loss": "NaN"}\\n'
    """
    plain = {key: _json_value(_plain(key, value)) for key, value in record.items()}
    return json.dumps(plain, allow_nan=False) + "\n"


def _parse(text: bytes) -> Record:
    loaded: Any = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    if not isinstance(loaded, dict):
        raise ValueError("expected a JSON object")
    fields = cast("dict[str, Any]", loaded)
    record = {
        key: _NON_FINITE.get(value, value) if isinstance(value, str) else _plain(key, value)
        for key, value in fields.items()
    }
    return History([record]).last


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not strict JSON; expected {name!r} in quotes")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}); remove the line to keep the rest"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8; remove the line to keep the rest"
    if isinstance(error, RecursionError):
        return "nested too deep; expected one flat JSON object"
    return str(error)


def _json_value(value: Value) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _plain(key: str, value: Any) -> Value:
    """Return `value` as a Python number, string, bool or None."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is not None and not isinstance(value, int | float | str):
        raise InputError(
            f"record[{key!r}] is a {type(value).__name__}; expected a number, text, a bool or None"
        )
    return value


def _number(name: str, value: Value) -> float:
    if isinstance(value, str):
        raise InputError(f"history[{name!r}] holds text; read it from history.records")
    return math.nan if value is None else float(value)
