"""Softmax over the last axis."""

from chainrule.typing import Array, Namespace, Residuals


def softmax(xp: Namespace, x: Array) -> Array:
    """exp(x) / sum(exp(x)) over the last axis, shifted by the largest element."""
    shifted = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return shifted / xp.sum(shifted, axis=-1, keepdims=True)


def softmax_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """x (..., classes) -> y of that shape, rows of positive numbers that sum to 1."""
    y = softmax(xp, x)
    return y, (y,)


def softmax_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = y (dy - sum(dy y)) over the last axis."""
    (y,) = residuals
    return y * (dy - xp.sum(dy * y, axis=-1, keepdims=True))
