"""A trained network as files: safetensors and JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from chainrule import __version__
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from chainrule import tree
from chainrule.errors import DataError, InputError, choice
from chainrule.layers import spec
from chainrule.losses import LOSSES, Loss
from chainrule.optim import from_json as optimizer_from_json
from chainrule.optim import to_json as optimizer_to_json
from chainrule.train.files import read_arrays, read_json, write_arrays, write_json
from chainrule.train.history import History
from chainrule.train.settings import Penalties
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

FORMAT = 1
"""The version of ``model.json``; a newer one is refused."""

NETWORK = ("params", "running")


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
        "trainer": {"dtype": trainer.dtype, "seed": trainer.seed},
        "trained_on": f"{trainer.backend.name}:{trainer.backend.device}",
        "in_shape": list(trainer.in_shape or ()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    state = trainer.host_state()
    network, rest = {}, {}
    for path, array in state.items():
        part, _, name = path.partition(".")
        (network if part in NETWORK else rest)[name if part in NETWORK else path] = array
    write_arrays(folder / "model.safetensors", network)
    progress = json.dumps(trainer.progress_json())
    write_arrays(folder / "training.safetensors", rest, {"chainrule": progress})
    write_json(folder / "model.json", about)
    trainer.history.to_jsonl(folder / "history.jsonl")


def read_about(folder: Path, custom: Iterable[type]) -> dict[str, Any]:
    """Return what ``model.json`` says, the model, loss, optimizer and penalties as objects."""
    path = folder / "model.json"
    about = read_json(path)
    if about.get("format") != FORMAT:
        raise DataError(
            f"{path}: format {about.get('format')!r} of chainrule {about.get('chainrule')}, this is "
            f"chainrule {version('chainrule')}, which reads format {FORMAT}"
        )
    try:
        settings = dict(about["trainer"])
        return {
            "model": spec.from_json(about["model"], custom),
            "loss": _loss(about["loss"]),
            "optimizer": optimizer_from_json(about["optimizer"]),
            "penalties": Penalties(**about["penalties"]),
            "trainer": {name: settings[name] for name in ("dtype", "seed")},
            "in_shape": tuple(int(size) for size in about["in_shape"]),
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: incomplete or of wrong types ({error})") from None
    except InputError as error:
        raise DataError(f"{path}: {error}") from None


def load_into(trainer: "Trainer", folder: Path, about: dict[str, Any]) -> None:
    """Put the saved parameters, and if they are there the training state and history, into a trainer."""
    trainer.build(about["in_shape"])
    path = folder / "model.safetensors"
    arrays, _ = read_arrays(path)
    merged = {
        name: f"{part}.{name}" for part in NETWORK for name in tree.flatten(trainer.state[part])
    }
    trainer.load_state({merged.get(name, name): array for name, array in arrays.items()}, str(path), NETWORK)
    training = folder / "training.safetensors"
    if training.exists():
        rest, metadata = read_arrays(training)
        progress = _progress(training, metadata)
        others = [name for name in trainer.state if name not in NETWORK]
        trainer.load_state(rest, str(training), others)
        trainer.load_progress(progress)
    if (folder / "history.jsonl").exists():
        trainer.history = History.from_jsonl(folder / "history.jsonl")


def check_state(arrays: Tree, expected: Tree, path: str) -> None:
    """Raise `DataError` with a table of what is missing, unexpected or of another shape."""
    have, want = tree.flatten(arrays), tree.flatten(expected)
    lines = [f"missing {name} {tuple(want[name].shape)}" for name in want if name not in have]
    lines += [f"unexpected {name} {tuple(have[name].shape)}" for name in have if name not in want]
    lines += [
        f"{name} is {tuple(have[name].shape)}, expected {tuple(want[name].shape)}"
        for name in want
        if name in have and tuple(have[name].shape) != tuple(want[name].shape)
    ]
    if lines:
        more = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise DataError(f"{path}: not this network's parameters: {'; '.join(lines[:5])}{more}")


def _loss(given: dict[str, Any]) -> Loss:
    settings = dict(given)
    made: Any = LOSSES[choice("loss", settings.pop("name"), LOSSES)]
    return made(**settings)


def _progress(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(json.loads(metadata["chainrule"]))
    except (KeyError, ValueError, TypeError):
        raise DataError(f"{path}: its metadata is not chainrule's") from None
