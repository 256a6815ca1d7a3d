"""The smooth rectifier."""

from chainrule.ops.activations.sigmoid import sigmoid
from chainrule.typing import Array, Namespace, Residuals


def softplus(xp: Namespace, x: Array) -> Array:
    """log(1 + exp(x)), free of overflow; any shape."""
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def softplus_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = log(1 + exp(x)); any shape."""
    return softplus(xp, x), (x,)


def softplus_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy sigmoid(x)."""
    (x,) = residuals
    return dy * sigmoid(xp, x)
