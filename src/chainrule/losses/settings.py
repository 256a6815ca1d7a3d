"""Checks of the settings that losses share."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import cast

from chainrule.errors import InputError
from chainrule.settings import number


def check_class_weight(class_weight: object) -> tuple[float, ...]:
    """Return the weights as floats; raise `InputError` unless they are finite numbers >= 0."""
    weights: tuple[float, ...] = ()
    if isinstance(class_weight, Iterable) and not isinstance(class_weight, str | Mapping):
        weights = tuple(number(weight) for weight in cast("Iterable[object]", class_weight))
    if not weights or not all(isfinite(weight) and weight >= 0.0 for weight in weights):
        raise InputError(
            f"class_weight={class_weight!r:.80}: expected a finite number >= 0 for each class, "
            "in their order"
        )
    return weights


def check_smoothing(label_smoothing: float) -> None:
    """Raise `InputError` unless 0 <= label_smoothing < 1."""
    if not 0.0 <= number(label_smoothing) < 1.0:
        raise InputError(f"label_smoothing={label_smoothing!r:.80}: expected a number in [0, 1)")
