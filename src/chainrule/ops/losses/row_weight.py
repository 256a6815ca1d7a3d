"""How the weights of rows enter every loss."""

from typing import Any

from chainrule.typing import Array, Namespace


def row_mean(xp: Namespace, elements: Array) -> Array:
    """Mean of each row over all its elements: (n,) or (n, ...) -> (n,)."""
    if elements.ndim == 1:
        return elements
    return xp.mean(elements, axis=tuple(range(1, elements.ndim)))


def row_factor(weight: Array | float, dloss: Array | float, like: Array) -> Array | float:
    """What multiplies each row's derivative: ``weight * dloss``, shaped as `like` needs it."""
    factor: Any = weight * dloss
    if getattr(weight, "ndim", 0) == 0:
        return factor
    return factor[(slice(None),) + (None,) * (like.ndim - 1)]


def element_factor(weight: Array | float, dloss: Array | float, like: Array) -> Array | float:
    """`row_factor` for losses that take the mean over a row's elements."""
    size = 1
    for length in like.shape[1:]:
        size *= length
    return row_factor(weight, dloss * (1.0 / max(size, 1)), like)
