"""Numerical derivatives: central differences, and a closer look where they may straddle a kink."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import InputError

Floats = NDArray[np.float64]
Line = Callable[[float], float]
"""A function of the displacement of one number."""

EPS = float(np.finfo(np.float64).eps)
STEPS = {2: 2.0**-17, 4: 2.0**-10}
"""For each order the power of two near eps**(1 / (order + 1)), where truncation equals rounding."""

SHRINK = 8.0
"""How much shorter the step of each closer look is."""

LOOKS = 6

_FORWARD = (-25.0 / 12.0, 4.0, -3.0, 4.0 / 3.0, -1.0 / 4.0)
_ROUNDING = 32.0
"""Times eps |f| / step: a bound on rounding in a one-sided slope; 11 from the weights, 3 from f."""


def numerical_gradient(
    f: Callable[[Floats], Any], x: ArrayLike, *, step: float | None = None, order: int = 4
) -> Floats:
    """Return the gradient of the scalar function `f` at `x`, by central differences, of x's shape.

    order 4: (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h, error h**4 |f'''''| / 30;
    order 2: (f(x + h) - f(x - h)) / 2h, error h**2 |f'''| / 6; to either rounding adds about
    1e-16 |f| / h (Abramowitz & Stegun 1964, table 25.2). The step h of an element is `step` times
    its size or the array's usual one, whichever is larger (1 if all is 0), as a power of two so
    that x + h is exact; `step` is 2**-10, for order 2 2**-17. `f` gets a float64 copy each time.

    Raises `InputError` if `f` does not return one number or x is not real.

    >>> numerical_gradient(lambda x: (x**3).sum(), [1.0, 2.0]).round(6)
    array([ 3., 12.])
    """
    if order not in STEPS:
        raise InputError(f"order={order!r}: expected 2 or 4")
    base = STEPS[order] if step is None else float(step)
    if not (isfinite(base) and base > 0.0):
        raise InputError(f"step={step!r}: expected a positive number")
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise InputError(f"x holds {given.dtype}, expected real numbers")
    start = given.astype(np.float64)

    def value(index: tuple[int, ...], distance: float) -> float:
        moved = start.copy()
        moved[index] += distance
        return one_number(f(moved))

    sizes = step_sizes(start, base)
    gradient = np.zeros_like(start)
    for index in np.ndindex(start.shape):
        gradient[index] = central(lambda t, i=index: value(i, t), float(sizes[index]), order)
    return gradient


def one_number(value: Any) -> float:
    """Return what a scalar function gave as a float; raise `InputError` if it is not one number."""
    shape = tuple(getattr(value, "shape", ()))
    if shape and set(shape) != {1}:
        raise InputError(f"f returned an array of shape {shape}, expected one number")
    try:
        return float(value.reshape(()) if shape else value)
    except (TypeError, ValueError):
        raise InputError(f"f returned {value!r:.80}, expected one number") from None


def step_sizes(x: Floats, base: float) -> Floats:
    """Return the step for each element of `x`: `base` times its scale, as a power of two.

    The scale is |x|, at least the root mean square of x, and at least min(1, 4 times that).
    """
    typical = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    least = max(typical, min(1.0, 4.0 * typical)) if typical > 0.0 else 1.0
    return np.exp2(np.round(np.log2(base * np.maximum(np.abs(x), least))), dtype=np.float64)


def central(line: Line, step: float, order: int = 4) -> float:
    """Return the slope at 0 by the central difference of order 2 or 4."""
    near = line(step) - line(-step)
    if order == 2:
        return near / (2.0 * step)
    return (8.0 * near - (line(2.0 * step) - line(-2.0 * step))) / (12.0 * step)


@dataclass(frozen=True)
class Slope:
    """The derivative from the left and from the right, the same number unless 0 is a kink.

    `kink` says that one lies at 0 or was found close by and stepped around.
    """

    left: float
    right: float
    kink: bool

    def nearest(self, value: float) -> float:
        """Return the number between the one-sided derivatives that is nearest to `value`."""
        return min(max(value, min(self.left, self.right)), max(self.left, self.right))


def look_closer(line: Line, step: float, size: float, allowed: float) -> Slope:
    """Return the slope at 0 of a function with kinks; `size` is its magnitude there.

    The slopes from the left and from the right (five points each, Abramowitz & Stegun 1964, table
    25.2) and the central one agree to O(step**4) where the function is smooth, and differ by O(1)
    while a kink lies within four steps. The step shrinks until they agree within `allowed` or
    rounding: the kink is then outside, and their median is the derivative. If they never agree, and
    each side settles on a slope of its own, 0 is on a kink (or within about 1e-6 of one).
    """
    looks: list[tuple[float, float, float]] = []
    spreads: list[float] = []
    noises: list[float] = []
    for _ in range(LOOKS):
        values = [line(k * step) for k in range(-4, 5)]
        look = _slopes(values, step)
        noise = _ROUNDING * EPS * size / step
        if spreads and noise > max(400.0 * allowed, 0.1 * spreads[0]):
            break
        looks.append(look)
        spreads.append(max(look) - min(look) if all(map(isfinite, look)) else float("inf"))
        noises.append(noise)
        if spreads[-1] <= max(allowed, noise):
            value = sorted(look)[1]
            return Slope(value, value, _passed_kink(spreads, noises))
        step /= SHRINK
    left, left_moves = _settled([look[0] for look in looks])
    right, right_moves = _settled([look[2] for look in looks])
    if max(left_moves, right_moves) <= 0.1 * abs(right - left):
        return Slope(left, right, kink=True)
    value = sorted(looks[int(np.argmin(spreads))])[1]
    return Slope(value, value, kink=False)


def _slopes(values: list[float], step: float) -> tuple[float, float, float]:
    """Return the slopes from the left, central and from the right; `values` are at -4 … 4 steps."""
    right = sum(c * v for c, v in zip(_FORWARD, values[4:], strict=True)) / step
    left = -sum(c * v for c, v in zip(_FORWARD, values[4::-1], strict=True)) / step
    middle = (8.0 * (values[5] - values[3]) - (values[6] - values[2])) / (12.0 * step)
    return left, middle, right


def _passed_kink(spreads: list[float], noises: list[float]) -> bool:
    """Tell whether the spreads shrank otherwise than a smooth function's: by SHRINK**4 a look."""
    for (before, after), noise in zip(pairwise(spreads), noises[1:], strict=True):
        if before < SHRINK * after and after > 64.0 * noise:
            return True
        if before > SHRINK**6 * max(after, noise):
            return True
    return False


def _settled(slopes: list[float]) -> tuple[float, float]:
    """Return the slope that differs least from the look before it, and by how much."""
    moves = [abs(b - a) for a, b in pairwise(slopes)]
    best = min(range(len(moves)), key=lambda k: moves[k], default=-1)
    return (slopes[best], moves[best]) if moves else (slopes[0], float("inf"))
