"""The ranges of settings; each check raises `InputError` naming setting, value and range."""

import math
from numbers import Integral, Real

from chainrule.errors import InputError


def learning_rate(name: str, value: object) -> None:
    """A positive finite number, or a schedule."""
    if isinstance(value, Real):
        positive(name, value)
    else:
        _require(callable(value), name, value, "a positive finite number or a schedule")


def positive(name: str, value: object) -> None:
    """A positive finite number."""
    _require(0 < number(value) < math.inf, name, value, "a positive finite number")


def not_negative(name: str, value: object) -> None:
    """A finite number of at least 0."""
    _require(0 <= number(value) < math.inf, name, value, "a finite number of at least 0")


def fraction(name: str, value: object) -> None:
    """A number in [0, 1)."""
    _require(0 <= number(value) < 1, name, value, "a number in [0, 1)")


def inside_unit(name: str, value: object) -> None:
    """A number in (0, 1)."""
    _require(0 < number(value) < 1, name, value, "a number in (0, 1)")


def up_to_one(name: str, value: object) -> None:
    """A number in (0, 1]."""
    _require(0 < number(value) <= 1, name, value, "a number in (0, 1]")


def whole(name: str, value: object, least: int) -> None:
    """A whole number of at least `least`."""
    holds = isinstance(value, Integral) and number(value) >= least
    _require(holds, name, value, f"a whole number of at least {least}")


def flag(name: str, value: object) -> None:
    """True or False."""
    _require(isinstance(value, bool), name, value, "True or False")


def one_of(name: str, value: object, options: tuple[str | None, ...]) -> None:
    """One of a few words, or None."""
    expected = " or ".join(repr(option) for option in options)
    _require(isinstance(value, str | None) and value in options, name, value, expected)


def number(value: object) -> float:
    """Return a number as a float; NaN, which is in no range, for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise InputError(f"{name}={value!r:.80}: expected {expected}")
