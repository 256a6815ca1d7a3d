"""Checkpoints: everything a run needs to go on exactly where it was, one safetensors file each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule import tree
from chainrule.errors import DataError, InputError
from chainrule.train.callbacks import Callbacks
from chainrule.train.files import read_arrays, write_arrays
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

FORMAT = 1


@dataclass
class Checkpoints:
    """Writes ``FOLDER/checkpoints/step-N.safetensors`` every `every` steps; keeps the newest `keep`.

    `settings` says what the run was started with; a run resumes only with the same.
    """

    folder: Path
    every: int | None
    settings: Mapping[str, Any]
    keep: int = 2
    last: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.every is not None and (isinstance(self.every, bool) or self.every < 1):
            raise InputError(f"checkpoint_every={self.every!r}: expected a positive number of steps")
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)

    def due(self, step: int) -> bool:
        """Tell whether a checkpoint belongs at this step."""
        return self.every is not None and step % self.every == 0

    def until_due(self, step: int) -> int:
        """Return how many steps there are until the next checkpoint."""
        return 2**62 if self.every is None else self.every - step % self.every

    def write(self, trainer: "Trainer", callbacks: Callbacks) -> Path:
        """Write the run as it stands; the file is there whole or not at all."""
        saved = callbacks.saved()
        arrays = {f"trainer.{k}": v for k, v in trainer.host_state().items()}
        for place, (_, own) in enumerate(saved):
            for name, leaf in tree.flatten(own).items():
                arrays[f"callback.{place}.{name}"] = trainer.backend.to_numpy(leaf)
        about = {
            "format": FORMAT,
            "settings": dict(self.settings),
            "progress": trainer.progress_json(),
            "callbacks": [state for state, _ in saved],
        }
        path = self.folder / "checkpoints" / f"step-{trainer.position.step:09d}.safetensors"
        write_arrays(path, arrays, {"chainrule": json.dumps(about)})
        self.last = path
        for old in listed(self.folder)[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def resume(self, trainer: "Trainer") -> list[tuple[dict[str, Any], Tree]]:
        """Put the newest checkpoint into the trainer; return what the callbacks had kept.

        Raises `InputError` if there is none or the run was started with other settings.
        """
        found = listed(self.folder)
        if not found:
            raise InputError(f"resume=True, but {self.folder / 'checkpoints'} holds no checkpoint")
        self.last = found[-1]
        arrays, metadata = read_arrays(self.last)
        try:
            about: dict[str, Any] = json.loads(metadata["chainrule"])
            settings, progress, states = about["settings"], about["progress"], about["callbacks"]
        except (KeyError, ValueError, TypeError):
            raise DataError(f"{self.last}: not a chainrule checkpoint") from None
        for name, value in self.settings.items():
            if settings.get(name) != value:
                raise InputError(
                    f"{self.last}: the run was started with {name}={settings.get(name)!r}, now "
                    f"{name}={value!r}; resume with the same, or start a new run folder"
                )
        own = {k.removeprefix("trainer."): v for k, v in arrays.items() if k.startswith("trainer.")}
        trainer.restore_run(own, progress, str(self.last))
        kept: list[tuple[dict[str, Any], Tree]] = []
        for place, state in enumerate(states):
            prefix = f"callback.{place}."
            leaves = {
                k.removeprefix(prefix): trainer.backend.asarray(v)
                for k, v in arrays.items()
                if k.startswith(prefix)
            }
            kept.append((state, tree.unflatten(leaves)))
        return kept


def listed(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, oldest first."""
    return sorted((folder / "checkpoints").glob("step-*.safetensors"))
