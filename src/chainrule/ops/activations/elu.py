"""The exponential linear unit."""

from chainrule.typing import Array, Namespace, Residuals


def elu_forward(xp: Namespace, x: Array, *, alpha: float = 1.0) -> tuple[Array, Residuals]:
    """y = x where x > 0, else alpha (exp(x) - 1), for alpha > 0; any shape.

    Source: Clevert, Unterthiner & Hochreiter 2016, eq. 15.
    """
    y = xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0.0)))
    return y, (y,)


def elu_backward(xp: Namespace, residuals: Residuals, dy: Array, *, alpha: float = 1.0) -> Array:
    """dx = dy where y > 0, else dy (y + alpha)."""
    (y,) = residuals
    return xp.where(y > 0, dy, dy * (y + alpha))
