"""Run folders: where a new one goes, and what is found in one."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.data.escaping import close_to, escape
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.data.schema import Schema
    from chainrule.train.trainer import Trainer

PARENT = "runs"
SETTINGS, SCHEMA, METRICS = "run.json", "schema.json", "metrics.json"


def run_name(source: str) -> str:
    """Return what a run on a data set or file is called.

    >>> run_name("digits"), run_name("data/iris.v2.csv"), run_name("train-images-idx3-ubyte.gz")
    ('digits', 'iris.v2', 'train-images-idx3-ubyte')
    """
    name = os.path.splitext(os.path.basename(source))[0].strip(". ")
    return "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in name) or "run"


@contextmanager
def new_run(out: str | None, source: str) -> Generator[Path]:
    """Make and give a folder for a new run: `out`, or the first free of runs/NAME, runs/NAME-2, …

    It is removed again if it is empty at the end. Raises `InputError` if `out` holds something.
    """
    folder = _make(Path(out)) if out is not None else _make_numbered(Path(PARENT, run_name(source)))
    try:
        yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()


def last_run(out: str | None, source: str) -> Path:
    """Return the folder to resume in: `out`, or the newest of runs/NAME, runs/NAME-2, …"""
    if out is not None:
        return existing_run(out)
    last = first = Path(PARENT, run_name(source))
    for number in count(2):
        if not _numbered(first, number).is_dir():
            break
        last = _numbered(first, number)
    return existing_run(str(last))


def existing_run(run: str) -> Path:
    """Return a run's folder; raise `InputError`, with the nearest name, if there is none."""
    folder = Path(run)
    if not folder.is_dir():
        siblings = [path.name for path in _listed(folder.parent)]
        siblings = [] if folder.exists() else siblings
        what = "is a file" if folder.exists() else "no such folder"
        raise InputError(
            f"{escape(run)}: {what}{close_to(folder.name, siblings)}; expected the folder of a "
            "run, such as runs/digits"
        )
    return folder


def load_trainer(run: str, backend: str, dtype: str | None) -> "tuple[Trainer, Schema]":
    """Return a run's trainer and the schema of its data; raise `InputError` if it lacks either.

    It computes in `dtype`, or if that is None as it did in training.
    """
    folder = existing_run(run)
    _require(folder, "model.json")
    from chainrule.train.trainer import Trainer

    return Trainer.load(folder, backend=backend, dtype=dtype), load_schema(folder)


def load_schema(folder: Path) -> "Schema":
    """Return the schema in a run's folder."""
    path = folder / SCHEMA
    if not path.exists():
        raise InputError(
            f"{escape(str(folder))}: holds no {SCHEMA}, which says what a file's columns become; "
            "it was not made by `chainrule train`: use chainrule.Trainer.load in Python"
        )
    from chainrule.data.schema import Schema

    return Schema.from_json(path.read_text(encoding="utf-8"), str(path))


def read_model(run: str) -> dict[str, Any]:
    """Return what ``model.json`` says, the network as an object under "model"."""
    folder = existing_run(run)
    _require(folder, "model.json")
    from chainrule.train.saving import read_about

    return read_about(folder, ())


def _require(folder: Path, name: str) -> None:
    if not (folder / name).exists():
        raise InputError(
            f"{escape(str(folder))}: holds no {name}; expected the folder of a finished run"
            + (
                ": go on with `chainrule train … --resume`"
                if (folder / "checkpoints").is_dir()
                else ""
            )
        )


def _make(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {escape(str(folder))}: is a file; expected a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InputError(
            f"--out {escape(str(folder))}: this folder is not empty; choose another, or pass "
            "--resume to go on with the run it holds"
        )
    return folder


def _make_numbered(first: Path) -> Path:
    folder, number = first, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if folder.is_dir() and not any(folder.iterdir()):
                return folder
        number += 1
        folder = _numbered(first, number)


def _numbered(first: Path, number: int) -> Path:
    return first.with_name(f"{first.name}-{number}")


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
