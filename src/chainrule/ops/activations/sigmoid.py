"""The logistic function."""

from chainrule.typing import Array, Namespace, Residuals


def sigmoid(xp: Namespace, x: Array) -> Array:
    """1 / (1 + exp(-x)), accurate in both tails and free of overflow; any shape."""
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, small) / (1.0 + small)


def sigmoid_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = 1 / (1 + exp(-x)); any shape."""
    y = sigmoid(xp, x)
    return y, (y,)


def sigmoid_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy y (1 - y)."""
    (y,) = residuals
    return dy * (y * (1.0 - y))
