"""Sums and squares of 16-bit floats are taken in float32.

float16 would leave its range at 65,504, bfloat16 has 8 bits of precision to add up in.
"""

from chainrule.typing import Array, Namespace

_SHORT = ("float16", "bfloat16")


def widened(xp: Namespace, x: Array) -> Array:
    """Return an array of 16-bit floats as float32, any other as it is."""
    short = any(hasattr(xp, name) and x.dtype == getattr(xp, name) for name in _SHORT)
    return xp.astype(x, xp.float32) if short else x


def narrowed(xp: Namespace, y: Array, like: Array) -> Array:
    """Return `y` in the dtype of `like`."""
    return y if y.dtype == like.dtype else xp.astype(y, like.dtype)
