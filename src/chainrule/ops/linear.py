"""The affine map."""

from chainrule.typing import Array, Namespace, Residuals


def linear_forward(
    xp: Namespace, x: Array, weight: Array, bias: Array | None
) -> tuple[Array, Residuals]:
    """y = x W + b.

    x (batch, in_features), weight (in_features, out_features), bias (out_features,) or None
    -> y (batch, out_features).
    """
    y = xp.matmul(x, weight)
    return (y if bias is None else y + bias), (x, weight)


def linear_backward(
    xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
) -> tuple[Array | None, Array, Array]:
    """dy (batch, out_features) -> dx (batch, in_features) or None, dweight, dbias."""
    x, weight = residuals
    dx = xp.matmul(dy, weight.T) if needs_dx else None
    return dx, xp.matmul(x.T, dy), xp.sum(dy, axis=0)
