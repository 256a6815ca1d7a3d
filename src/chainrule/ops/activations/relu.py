"""The rectifier and its leaky form."""

from chainrule.typing import Array, Namespace, Residuals


def relu_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = max(x, 0); any shape. NaN stays NaN."""
    y = xp.maximum(x, 0.0)
    return y, (y,)


def relu_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy where y > 0, else 0 (the derivative at the kink is 0)."""
    (y,) = residuals
    return xp.where(y > 0, dy, 0.0)


def leaky_relu_forward(xp: Namespace, x: Array, *, slope: float = 0.01) -> tuple[Array, Residuals]:
    """y = x where x > 0, else slope x, for slope >= 0; any shape (Maas, Hannun & Ng 2013)."""
    y = xp.where(x > 0, x, x * slope)
    return y, (y,)


def leaky_relu_backward(
    xp: Namespace, residuals: Residuals, dy: Array, *, slope: float = 0.01
) -> Array:
    """dx = dy where y > 0, else slope dy."""
    (y,) = residuals
    return xp.where(y > 0, dy, dy * slope)
