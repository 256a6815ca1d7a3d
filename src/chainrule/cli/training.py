"""A run of ``chainrule train``: prepared, trained, scored, and written into its folder."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from chainrule import __version__
from chainrule.backends import get
from chainrule.cli.faults import say
from chainrule.cli.network import default_epochs, hidden_layers, l2, optimizer
from chainrule.cli.options import COMPILE, STREAM
from chainrule.cli.output import finite
from chainrule.cli.run_folder import METRICS, SCHEMA, SETTINGS
from chainrule.cli.settings import Settings, continued
from chainrule.cli.training_data import TrainingData, load_training_data
from chainrule.data.escaping import escape
from chainrule.data.target import NumberTarget
from chainrule.errors import InputError
from chainrule.layers import Dense, Sequential
from chainrule.train import saving
from chainrule.train.callbacks import EarlyStopping, TimeBudget
from chainrule.train.checkpoint import listed
from chainrule.train.files import read_json, write_bytes, write_json
from chainrule.train.trainer import Trainer
from chainrule.typing import Tree

BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Run:
    """What is trained: `settings` are decided to the last."""

    source: str
    settings: Settings
    data: TrainingData
    trainer: Trainer
    quiet: bool


class Patience(EarlyStopping):
    """Early stopping that a resumed run may begin with."""

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        """Take back what was kept, if the run had patience before."""
        if state:
            super().restore(state, arrays)


class Budget(TimeBudget):
    """A time budget for this process: what was spent before a resume does not count."""

    def state(self) -> dict[str, float | int | None]:
        """Nothing to keep."""
        return {}

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        """Nothing to take back."""


def prepare(source: str, settings: Settings, quiet: bool) -> Run:
    """Read the data and make the trainer; raise `InputError` for what cannot be used."""
    layers, rule = hidden_layers(settings), optimizer(settings)
    backend = get(
        settings.backend,
        settings.dtype,
        matmul_precision=settings.matmul_precision,
        deterministic=settings.deterministic,
    )
    if backend.choice and not quiet:
        say(f"backend: {backend.choice}")
    data = load_training_data(source, settings, quiet=quiet)
    trainer = Trainer(
        Sequential(*layers, Dense(data.classes or 1)),
        "softmax_cross_entropy" if data.classes else "squared_error",
        rule,
        backend=backend,
        seed=settings.seed,
        l2=l2(settings),
        clip_norm=settings.clip_norm,
        compile=cast(Any, COMPILE[settings.compile]),
    )
    rows = len(data.x)
    batch_size = settings.batch_size or min(BATCH_SIZE, rows)
    lr: Any = trainer.optimizer.lr
    settings = replace(
        settings,
        backend=f"{backend.name}:{backend.device}",
        batch_size=batch_size,
        epochs=settings.epochs or default_epochs(rows, batch_size),
        lr=float(lr),
    )
    return Run(source, settings, data, trainer, quiet)


def resumed(source: str, folder: Path, settings: Settings, given: set[str], quiet: bool) -> Run:
    """Return the run in `folder`, to be gone on with; `given` are the options that are meant.

    Raises `InputError` if it cannot be resumed: no checkpoint, other settings, other data.
    """
    if not listed(folder):
        raise InputError(
            f"--resume: {escape(str(folder))} holds no checkpoint; a run can be resumed if it was "
            "started with --checkpoint-every STEPS"
        )
    path = folder / SETTINGS
    kept = read_json(path)
    run = prepare(source, continued(kept.get("settings"), settings, given, path), quiet)
    if run.data.checksum() != kept.get("data_crc32"):
        raise InputError(
            f"--resume: {escape(source)} is not what the run in {escape(str(folder))} was started "
            f"with ({escape(str(kept.get('source')))}), or has changed since; start a new run"
        )
    return run


def train(run: Run, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train and write the run's folder; return what is to be reported."""
    settings, trainer, data = run.settings, run.trainer, run.data
    keeps = resume or settings.checkpoint_every is not None
    if keeps and not resume:
        _describe(run, folder)
    held = (data.held_x, data.held_y) if len(data.held_x) else None
    watchers = [
        _nothing
        if settings.patience is None
        else Patience("loss" if held is None else "val_loss", settings.patience),
        _nothing if settings.time_budget is None else Budget(settings.time_budget),
    ]
    try:
        trainer.fit(
            data.x,
            data.y,
            epochs=settings.epochs or 1,
            batch_size=settings.batch_size,
            validation=held,
            callbacks=watchers,
            stream=cast(Any, STREAM[settings.stream]),
            progress="off" if run.quiet else "bar" if _on_terminal() else "lines",
            checkpoint=folder if keeps else None,
            checkpoint_every=settings.checkpoint_every,
            resume=resume,
        )
    except KeyboardInterrupt:
        saved = listed(folder)
        way_on = f"; the last checkpoint is {saved[-1]}: go on with --resume" if saved else ""
        raise KeyboardInterrupt(f"interrupted{way_on}") from None
    if resume and trainer.position.epoch > (settings.epochs or 1):
        say(
            f"warning: the run had {trainer.position.epoch} epochs already; --epochs "
            f"{settings.epochs} added none"
        )
    result = _result(run, folder)
    saving.save(trainer, folder)
    _describe(run, folder)
    write_json(folder / METRICS, finite(result))
    return result


def _result(run: Run, folder: Path) -> dict[str, Any]:
    trainer, data = run.trainer, run.data
    held = len(data.held_x) > 0
    scores = trainer.evaluate(*((data.held_x, data.held_y) if held else (data.x, data.y)))
    goal, last = data.schema.goal, trainer.history.last
    nan = float("nan")
    if isinstance(goal, NumberTarget):
        found = {"r2": scores.get("r2", nan), "mae": scores.get("mae", nan) * goal.scale}
    else:
        found = {"accuracy": scores.get("accuracy", nan)}
    return {
        **found,
        "loss": scores["loss"],
        "epochs": last["epoch"],
        "steps": last["step"],
        "seconds": last["seconds"],
        "backend": trainer.backend.name,
        "device": trainer.backend.device,
        "compiled": trainer.compiled,
        "streamed": trainer.streamed,
        **trainer.numerics,
        "seed": trainer.seed,
        "run": str(folder),
        "data": run.source,
        "task": goal.task,
        "target": goal.name,
        "rows": len(data.x),
        "held_out_rows": len(data.held_x),
        "stopped": trainer.stopped or None,
    }


def _describe(run: Run, folder: Path) -> None:
    """Write what a resumed run and other files need to know."""
    about = {
        "format": 1,
        "chainrule": __version__,
        "source": run.source,
        "data_crc32": run.data.checksum(),
        "settings": run.settings.to_json(),
    }
    write_json(folder / SETTINGS, about)
    write_bytes(folder / SCHEMA, run.data.schema.to_json().encode())


def _nothing(record: Any) -> None:
    """Watch nothing; it keeps the place of a callback that a resumed run may have."""


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # pyright: ignore[reportUnnecessaryComparison]
