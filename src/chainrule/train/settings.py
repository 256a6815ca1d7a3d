"""The numbers a trainer is set up with, and their checks."""

import warnings
from dataclasses import dataclass
from math import isfinite

from chainrule.errors import InputError


@dataclass(frozen=True)
class Penalties:
    """What is added to the gradients, and how they are cut.

    l1, l2: the loss grows by l1 sum |w| + l2 / 2 sum w**2 over the arrays named "weight"; histories show it
    without. clip_value bounds each gradient's elements, then clip_norm all of them together (2-norm).
    """

    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if not (_is_number(value) and isfinite(value) and value >= 0):
                raise InputError(f"{name}={value!r}: expected a finite number >= 0")
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise InputError(f"{name}={value!r}: expected a positive number, or None")


def positive_integer(name: str, value: object) -> int:
    """Return `value`; raise `InputError` unless it is an integer >= 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}={value!r}: expected a positive integer")
    return value


def warn(message: str) -> None:
    """Warn the caller of the trainer."""
    warnings.warn(message, UserWarning, stacklevel=4)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
