"""What ``chainrule train`` is told, kept with the run so that it can be resumed."""

from dataclasses import asdict, dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import Any

from chainrule.errors import DataError, InputError

CHANGEABLE = ("epochs", "checkpoint_every", "patience", "time_budget", "stream")
"""What a resumed run may be told differently."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run. None means not decided yet, or without."""

    target: str | None
    task: str
    hidden: str
    activation: str
    dropout: float
    batch_norm: bool
    optimizer: str
    lr: float | None
    weight_decay: float | None
    clip_norm: float | None
    epochs: int | None
    batch_size: int | None
    backend: str
    dtype: str
    seed: int
    validation: float
    missing: str
    no_header: bool
    delimiter: str | None
    patience: int | None
    time_budget: float | None
    checkpoint_every: int | None
    compile: str = "auto"
    stream: str = "auto"
    matmul_precision: str = "float32"
    deterministic: bool = False

    def __post_init__(self) -> None:
        from chainrule.train.settings import positive_integer

        if not 0 <= self.validation < 1:
            raise InputError(
                f"--validation={self.validation:g}: expected a fraction of the rows below 1, such "
                "as 0.2; 0 holds none out"
            )
        for name in ("epochs", "batch_size", "patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                positive_integer(_option(name), getattr(self, name))
        for name in ("weight_decay", "time_budget"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                raise InputError(f"{_option(name)}={value:g}: expected a finite number >= 0")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"--clip-norm={self.clip_norm:g}: expected a positive number")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return asdict(self)


def continued(kept: object, settings: Settings, given: set[str], path: Path) -> Settings:
    """Return the settings of a resumed run: those kept, and of `settings` the ones given anew.

    A time budget is for one process and not kept.

    Raises `InputError` for one that a resumed run may not change, `DataError` for a broken file.
    """
    names = [field.name for field in fields(Settings)]
    try:
        old = Settings(**kept) if isinstance(kept, dict) else None  # pyright: ignore
    except TypeError:
        old = None
    if old is None:
        raise DataError(f"{path}: expected settings with {', '.join(names)}")
    for name in sorted(given & set(names)):
        was, now = getattr(old, name), getattr(settings, name)
        if name == "backend" and now in ("auto", str(was).partition(":")[0]):
            continue
        if name not in CHANGEABLE and was != now:
            how = "without it" if was is None else f"with {was}"
            raise InputError(
                f"{_option(name)}={now}: the run was started {how}; leave it out, or start a new "
                f"run (a resumed one may change {', '.join(map(_option, CHANGEABLE))})"
            )
    changes = {name: getattr(settings, name) for name in CHANGEABLE if name in given}
    return replace(old, **({"time_budget": None} | changes))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
