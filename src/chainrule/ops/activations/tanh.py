"""The hyperbolic tangent."""

from chainrule.typing import Array, Namespace, Residuals


def tanh_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = tanh(x); any shape."""
    y = xp.tanh(x)
    return y, (y,)


def tanh_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy (1 - y**2)."""
    (y,) = residuals
    return dy * (1.0 - y * y)
