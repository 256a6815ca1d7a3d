"""Numerical derivatives in float64, for comparison with the written ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]

STEP = 2e-4
"""Truncation is about STEP**4 / 30, rounding about 1e-16 / STEP: both far below 1e-6."""

MARGIN = 50 * STEP
"""How far from a kink the inputs are drawn; a difference reaches 2 STEP times the direction."""

_NODES = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))


def along(
    f: Callable[..., Any], x: Sequence[Float64s], v: Sequence[Float64s], step: float = STEP
) -> Any:
    """Return J v: the derivative of ``f(*x)`` in the direction `v`, by five points, order 4."""
    total = 0.0
    for node, weight in _NODES:
        moved = [a + (node * step) * b for a, b in zip(x, v, strict=True)]
        total = total + weight * f(*moved)
    return total / (12.0 * step)


def gradient(f: Callable[..., float], x: Sequence[Float64s], number: int) -> Float64s:
    """Return the derivative of the number ``f(*x)`` for each element of ``x[number]``."""
    x = [np.array(a, order="C") for a in x]
    flat = x[number].reshape(-1)
    derivative = np.zeros(flat.shape)
    for i, start in enumerate(flat):
        for node, weight in _NODES:
            flat[i] = start + node * STEP
            derivative[i] += weight * f(*x)
        flat[i] = start
    return derivative.reshape(x[number].shape) / (12.0 * STEP)


def relative_error(actual: Any, expected: Any, scale: float) -> float:
    """Return the largest |actual - expected| / max(|actual|, |expected|, scale); of none, 0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    size = np.maximum(np.maximum(np.abs(actual), np.abs(expected)), scale)
    error = np.abs(actual - expected)
    return float(np.max(np.where(error == 0.0, 0.0, error / np.maximum(size, 1e-300)), initial=0.0))
