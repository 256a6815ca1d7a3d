"""Checkpoints: everything a run needs to go on exactly where it was, one safetensors file each."""

import json
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule import tree
from chainrule.backends.base import Backend
from chainrule.errors import DataError, InputError
from chainrule.train.callbacks import Callbacks
from chainrule.train.files import read_arrays, write_arrays
from chainrule.train.settings import positive_integer
from chainrule.train.state import host_state, progress_json, put_progress, put_state
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

BLOCK = 4096
"""Rows of the data that a checksum takes at a time."""

FORMAT = 1
"""The version of a checkpoint; another one is refused."""

BATCHES = frozenset(("rows", "batch_size", "accumulate", "shuffle", "drop_last", "balanced"))
"""The settings without which a batch's number means other rows."""

EARLIER = {"matmul_precision": "float32", "deterministic": False}
"""What runs were that were started before these settings could be chosen."""


@dataclass
class Checkpoints:
    """Writes ``FOLDER/checkpoints/step-N.safetensors`` every `every` steps.

    The newest `keep` are kept. `settings` says what the run was started with; a run resumes only
    with the same.
    """

    folder: Path
    every: int | None
    settings: Mapping[str, Any]
    keep: int = 2
    last: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.every is not None:
            positive_integer("checkpoint_every", self.every)

    def due(self, step: int) -> bool:
        """Tell whether a checkpoint belongs at this step."""
        return self.every is not None and step % self.every == 0

    def until_due(self, step: int) -> int:
        """Return how many steps there are until the next checkpoint."""
        return 2**62 if self.every is None else self.every - step % self.every

    def begin(self, step: int) -> None:
        """Make the folder; raise `InputError` if it holds the checkpoints of a longer run."""
        found = listed(self.folder)
        if found and _step(found[-1]) > step:
            raise InputError(
                f"{self.folder} holds an earlier run's checkpoints, up to {found[-1].name}; "
                "pass resume=True to go on with it, or choose another folder"
            )
        try:
            (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"checkpoint='{self.folder}': {reason}; choose another") from None

    def write(self, trainer: "Trainer", callbacks: Callbacks) -> Path:
        """Write the run as it stands; the file is there whole or not at all."""
        saved = callbacks.saved()
        arrays = {f"trainer.{k}": v for k, v in host_state(trainer).items()}
        for place, (_, own) in enumerate(saved):
            for name, leaf in tree.flatten(own).items():
                arrays[f"callback.{place}.{name}"] = trainer.backend.to_numpy(leaf)
        about = {
            "format": FORMAT,
            "settings": dict(self.settings),
            "progress": progress_json(trainer),
            "callbacks": [state for state, _ in saved],
        }
        path = self.folder / "checkpoints" / f"step-{trainer.position.step:09d}.safetensors"
        write_arrays(path, arrays, {"chainrule": json.dumps(about)})
        self.last = path
        for old in listed(self.folder)[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def resume(
        self, trainer: "Trainer", allowed: Collection[str]
    ) -> list[tuple[dict[str, Any], Tree]]:
        """Put the newest checkpoint into the trainer; return what the callbacks had kept.

        Where a setting that may differ (`allowed`) changes the batches, the epoch begins anew.
        Raises `InputError` if there is none or the run was started with other settings.
        """
        found = listed(self.folder)
        if not found:
            raise InputError(f"resume=True, but {self.folder / 'checkpoints'} holds no checkpoint")
        self.last = found[-1]
        try:
            arrays, about = _read(self.last)
        except DataError as error:
            way_out = "remove it to resume from" if len(found) > 1 else "there is none before it"
            before = f" {found[-2].name}" if len(found) > 1 else ""
            raise DataError(f"{error}; {way_out}{before}") from None
        changed = self._changed(about["settings"], allowed)
        own = {k.removeprefix("trainer."): v for k, v in arrays.items() if k.startswith("trainer.")}
        put_state(trainer, own, tuple(trainer.state), str(self.last))
        put_progress(trainer, about["progress"], str(self.last))
        if changed & BATCHES:
            trainer.position.restart_epoch()
        kept: list[tuple[dict[str, Any], Tree]] = []
        for place, state in enumerate(about["callbacks"]):
            prefix = f"callback.{place}."
            leaves = {
                k.removeprefix(prefix): trainer.backend.asarray(v, "float")
                for k, v in arrays.items()
                if k.startswith(prefix)
            }
            kept.append((state, tree.unflatten(leaves)))
        return kept

    def _changed(self, before: Mapping[str, Any], allowed: Collection[str]) -> set[str]:
        for name in allowed:
            if name not in self.settings:
                raise InputError(
                    f"allow_changed names {name!r}; expected any of {', '.join(self.settings)}"
                )
        before = EARLIER | dict(before)
        changed = {name for name, value in self.settings.items() if before.get(name) != value}
        for name in self.settings:
            if name in changed and name not in allowed:
                raise InputError(
                    f"{self.last}: the run was started with {name}={before.get(name)!r}, now "
                    f"{name}={self.settings[name]!r}; resume with the same, pass "
                    f"allow_changed=[{name!r}], or start a new run folder"
                )
        return changed


def run_settings(
    trainer: "Trainer",
    data: Tree,
    held: Tree | None,
    batch_size: int | None,
    accumulate: int,
    shuffle: bool,
    drop_last: bool,
    balanced: bool,
) -> dict[str, Any]:
    """Return what a run is started with: resuming with anything else would be another run."""
    return {
        "rows": int(data["x"].shape[0]),
        "batch_size": batch_size,
        "accumulate": accumulate,
        "shuffle": shuffle,
        "drop_last": drop_last,
        "balanced": balanced,
        "seed": trainer.seed,
        **trainer.numerics,
        "backend": f"{trainer.backend.name}:{trainer.backend.device}",
        "compiled": trainer.compiled,
        "model": _described(trainer.model),
        "loss": _described(trainer.loss),
        "optimizer": _described(trainer.optimizer),
        "penalties": _described(trainer.penalties),
        "data": _checksum(trainer.backend, data),
        "validation": None if held is None else _checksum(trainer.backend, held),
    }


def recorded(folder: Path) -> dict[str, Any]:
    """Return the settings that the newest checkpoint was written with; empty if it has none."""
    found = listed(folder)
    try:
        return dict(_read(found[-1])[1]["settings"]) if found else {}
    except DataError:
        return {}


def _described(setting: object) -> str:
    """Return the repr without memory addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(setting))


def _checksum(backend: Backend, data: Tree) -> int:
    """Return the CRC-32 of all values in float32, the same on every backend and for every dtype."""
    found = 0
    for name in sorted(data):
        array = data[name]
        shape = tuple(int(size) for size in array.shape)
        found = zlib.crc32(repr(shape).encode(), found)
        for start in range(0, shape[0], BLOCK):
            rows = backend.to_numpy(array[start : min(start + BLOCK, shape[0]), ...])
            found = zlib.crc32(rows.astype("<f4").tobytes(), found)
    return found


def listed(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, oldest first; files of other names are the user's."""
    found = (folder / "checkpoints").glob("step-*.safetensors")
    return sorted((path for path in found if path.stem[5:].isdecimal()), key=_step)


def _step(path: Path) -> int:
    return int(path.stem[5:])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, metadata = read_arrays(path)
    try:
        about: dict[str, Any] = json.loads(metadata["chainrule"])
        written = about["format"]
        _ = dict(about["settings"]), dict(about["progress"]), list(about["callbacks"])
    except (KeyError, ValueError, TypeError):
        raise DataError(f"{path}: not a chainrule checkpoint") from None
    if written != FORMAT:
        raise DataError(f"{path}: checkpoint format {written!r}, this chainrule reads {FORMAT}")
    return arrays, about
