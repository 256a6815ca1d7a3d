"""Checks of the settings that losses share."""

from collections.abc import Sequence
from math import isfinite

from chainrule.errors import InputError


def check_class_weight(class_weight: Sequence[float]) -> tuple[float, ...]:
    """Return the weights as a tuple of floats; raise `InputError` unless all are finite and >= 0."""
    weights = tuple(float(weight) for weight in class_weight)
    if not weights or not all(isfinite(weight) and weight >= 0.0 for weight in weights):
        raise InputError(
            f"class_weight={class_weight!r}: expected one finite number >= 0 for each class"
        )
    return weights


def check_smoothing(label_smoothing: float) -> None:
    """Raise `InputError` unless 0 <= label_smoothing < 1."""
    if not 0.0 <= label_smoothing < 1.0:
        raise InputError(f"label_smoothing={label_smoothing!r}: expected a number in [0, 1)")
