"""Sums and squares of float16 arrays, which leave its range at 65,504, are taken in float32."""

from chainrule.typing import Array, Namespace


def widened(xp: Namespace, x: Array) -> Array:
    """Return a float16 array as float32, any other as it is."""
    half = getattr(xp, "float16", None)
    return xp.astype(x, xp.float32) if half is not None and x.dtype == half else x


def narrowed(xp: Namespace, y: Array, like: Array) -> Array:
    """Return `y` in the dtype of `like`."""
    return y if y.dtype == like.dtype else xp.astype(y, like.dtype)
