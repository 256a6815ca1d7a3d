"""A trainer's state, a tree of arrays by part, and how it crosses between host and device."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.base import Backend
from chainrule.errors import DataError
from chainrule.train.history import History
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer


@dataclass
class Position:
    """How far a run is: whole epochs, batches of the next one, updates, and that epoch's sums."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    weight: float = 0.0
    skipped: int = 0
    seconds: float = 0.0

    def restart_epoch(self) -> None:
        """Forget the batches done of an epoch."""
        self.batch = self.skipped = 0
        self.loss = self.weight = 0.0


def on_device(backend: Backend, arrays: Tree) -> Tree:
    """Return copies of host arrays in the backend's float dtype."""
    return copied(backend, tree.map(lambda array: backend.asarray(array, "float"), arrays))


def copied(backend: Backend, arrays: Tree) -> Tree:
    """Return copies of the backend's own arrays."""
    return tree.map(lambda array: backend.xp.asarray(array, copy=True), arrays)


def host_state(trainer: "Trainer") -> dict[str, NDArray[Any]]:
    """Return the whole state by dotted names, as NumPy arrays."""
    with trainer.backend.scope():
        return {k: trainer.backend.to_numpy(v) for k, v in tree.flatten(trainer.state).items()}


def put_state(
    trainer: "Trainer", arrays: Mapping[str, NDArray[Any]], parts: Iterable[str], path: str
) -> None:
    """Replace parts of the state by arrays named as `host_state` names them.

    The scale of a float16 loss is left out where there is none, and begun anew where none was kept.
    Raises `DataError` naming the file if they are not exactly those this network has.
    """
    scaled = "scale" in trainer.state
    given = {k: v for k, v in arrays.items() if scaled or not k.startswith("scale.")}
    kept = {name.partition(".")[0] for name in given}
    expected = {part: trainer.state[part] for part in parts if part != "scale" or part in kept}
    check_state(given, expected, path)
    with trainer.backend.scope():
        own = tree.unflatten(on_device(trainer.backend, given))
    trainer.state |= {part: own.get(part, {}) for part in expected}


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


def progress_json(trainer: "Trainer") -> dict[str, Any]:
    """Return how far the run is, as plain JSON."""
    return {
        "position": asdict(trainer.position),
        "plateau": trainer.plateau,
        "history": trainer.history.records,
    }


def put_progress(trainer: "Trainer", progress: Mapping[str, Any], path: str) -> None:
    """Take back what `progress_json` returned; raise `DataError` naming the file if it is not."""
    try:
        trainer.position = Position(**progress["position"])
        if not all(
            isinstance(value, int | float) and value >= 0
            for value in asdict(trainer.position).values()
        ):
            raise ValueError("positions are numbers of at least 0")
        trainer.plateau = progress["plateau"] or trainer.plateau
        trainer.history = History(progress["history"], trainer.numerics)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its record of progress is broken ({error})") from None
