"""A trained network as files: safetensors and JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from chainrule import __version__
from chainrule.errors import DataError, InputError, choice
from chainrule.layers import spec
from chainrule.losses import LOSSES, Loss
from chainrule.optim import from_json as optimizer_from_json
from chainrule.optim import to_json as optimizer_to_json
from chainrule.train.files import read_arrays, read_json, write_arrays, write_json
from chainrule.train.history import History
from chainrule.train.settings import NUMERICS, Penalties, positive_integer
from chainrule.train.state import (
    Position,
    check_state,
    host_state,
    progress_json,
    put_progress,
    put_state,
)

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

__all__ = [
    "FORMAT",
    "check_state",
    "checked_folder",
    "load_into",
    "overriding",
    "read_about",
    "save",
]

FORMAT = 1
"""The version of ``model.json``; another one is refused."""

NETWORK = ("params", "running")
"""The parts of the state in ``model.safetensors``: parameters by their bare names."""


def checked_folder(folder: Path) -> Path:
    """Return the folder; raise `InputError` if it is a file, or holds a run of the command line."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"save: {folder} is a file; expected a folder")
    if (folder / "run.json").exists():
        raise InputError(
            f"save: {folder} holds a run of `chainrule train`, whose schema and metrics would no "
            "longer fit; choose another folder"
        )
    return folder


def settings(about: dict[str, Any], *, own_numerics: bool) -> dict[str, Any]:
    """Return a saved trainer's settings, without what it computed in if a backend brings that."""
    found = about["trainer"] | asdict(about["penalties"])
    return {name: found[name] for name in found if own_numerics or name not in NUMERICS}


def overriding(
    dtype: str | None, matmul_precision: str | None, deterministic: bool | None
) -> dict[str, Any]:
    """Return the settings given to replace the saved ones; a dtype brings float32 products."""
    if dtype is not None and matmul_precision is None:
        matmul_precision = "float32"
    given = {"dtype": dtype, "matmul_precision": matmul_precision, "deterministic": deterministic}
    return {name: value for name, value in given.items() if value is not None}


def save(trainer: "Trainer", folder: Path) -> None:
    """Write the trainer's files into `folder`, which is made if needed."""
    if LOSSES.get(trainer.loss.name) is not type(trainer.loss):
        raise InputError(f"loss {trainer.loss!r} is not one of chainrule's own: it cannot be saved")
    about = {
        "format": FORMAT,
        "chainrule": __version__,
        "model": spec.to_json(trainer.model),
        "loss": {"name": trainer.loss.name} | asdict(cast(Any, trainer.loss)),
        "optimizer": optimizer_to_json(trainer.optimizer),
        "penalties": asdict(trainer.penalties),
        "trainer": {**trainer.numerics, "seed": trainer.seed, "compile": trainer.compile},
        "trained_on": f"{trainer.backend.name}:{trainer.backend.device}",
        "in_shape": list(trainer.in_shape or ()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    state = host_state(trainer)
    network = {k.removeprefix("params."): v for k, v in state.items() if _part(k) in NETWORK}
    rest = {k: v for k, v in state.items() if _part(k) not in NETWORK}
    write_arrays(folder / "model.safetensors", network)
    progress = json.dumps(progress_json(trainer))
    write_arrays(folder / "training.safetensors", rest, {"chainrule": progress})
    write_json(folder / "model.json", about)
    trainer.history.to_jsonl(folder / "history.jsonl")


def read_about(folder: Path, custom: Iterable[type]) -> dict[str, Any]:
    """Return what ``model.json`` says, the model, loss, optimizer and penalties as objects."""
    path = folder / "model.json"
    about = read_json(path)
    if about.get("format") != FORMAT:
        raise DataError(
            f"{path}: format {about.get('format')!r} of chainrule {about.get('chainrule')}, this "
            f"is chainrule {__version__}, which reads format {FORMAT}"
        )
    try:
        settings = dict(about["trainer"])
        return {
            "model": spec.from_json(about["model"], custom),
            "loss": _loss(about["loss"]),
            "optimizer": optimizer_from_json(about["optimizer"]),
            "penalties": Penalties(**about["penalties"]),
            "trainer": {
                "dtype": settings["dtype"],
                "matmul_precision": settings.get("matmul_precision", "float32"),
                "deterministic": settings.get("deterministic", False),
                "seed": settings["seed"],
                "compile": settings.get("compile", "auto"),
            },
            "in_shape": tuple(positive_integer("in_shape", size) for size in about["in_shape"]),
        }
    except InputError as error:
        raise DataError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: incomplete or of wrong types ({error})") from None


def load_into(trainer: "Trainer", folder: Path, about: dict[str, Any]) -> None:
    """Put the saved parameters, and if they are there the training state, into a trainer."""
    try:
        trainer.build(about["in_shape"])
    except (InputError, MemoryError, OverflowError, ValueError) as error:
        raise DataError(f"{folder / 'model.json'}: no such network can be built: {error}") from None
    path = folder / "model.safetensors"
    arrays, _ = read_arrays(path)
    network = {k if _part(k) == "running" else f"params.{k}": v for k, v in arrays.items()}
    put_state(trainer, network, NETWORK, str(path))
    training, history = folder / "training.safetensors", folder / "history.jsonl"
    if training.exists():
        rest, metadata = read_arrays(training)
        others = [name for name in trainer.state if name not in NETWORK]
        put_state(trainer, rest, others, str(training))
        put_progress(trainer, _progress(training, metadata), str(training))
    elif history.exists():
        trainer.history = History(History.from_jsonl(history), trainer.numerics)
        epoch = trainer.history.last.get("epoch")
        trainer.position = Position(
            epoch=epoch if isinstance(epoch, int) else len(trainer.history),
            step=trainer.history.step,
        )


def _part(name: str) -> str:
    return name.partition(".")[0]


def _loss(given: dict[str, Any]) -> Loss:
    settings = dict(given)
    made: Any = LOSSES[choice("loss", settings.pop("name"), LOSSES)]
    return made(**settings)


def _progress(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(json.loads(metadata["chainrule"]))
    except (KeyError, ValueError, TypeError):
        raise DataError(f"{path}: its metadata is not chainrule's") from None
