"""Checks of the settings that layers share."""

from math import inf, nan
from numbers import Real

from chainrule.errors import InputError


def number(value: object) -> float:
    """Return a number as a float; NaN, which is in no range, for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return nan
    try:
        return float(value)
    except OverflowError:
        return inf


def check_flag(argument: str, value: object) -> None:
    """Raise `InputError` unless the value is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{argument}={value!r:.80}: expected True or False")
