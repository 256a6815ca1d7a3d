"""The Huber loss."""

from chainrule.ops.losses.row_weight import element_factor, row_mean
from chainrule.typing import Array, Namespace, Residuals


def huber_forward(
    xp: Namespace, output: Array, targets: Array, weight: Array | float, *, delta: float = 1.0
) -> tuple[Array, Residuals]:
    """l_i = mean over a row of e**2 / 2 where |e| <= delta, else delta (|e| - delta / 2).

    output, targets (n,) or (n, outputs), e their difference; weight a number or (n,)
    -> the weighted sum of l_i, 0-d.
    Source: Huber 1964; written as c (|e| - c / 2) with c = min(|e|, delta).
    """
    error = output - targets
    distance = xp.abs(error)
    clipped = xp.minimum(distance, delta)
    elements = clipped * (distance - 0.5 * clipped)
    return xp.sum(row_mean(xp, elements) * weight), (error, weight)


def huber_backward(
    xp: Namespace, residuals: Residuals, dloss: Array | float, *, delta: float = 1.0
) -> Array:
    """doutput = dloss weight_i min(max(e, -delta), delta) / outputs."""
    error, weight = residuals
    clipped = xp.maximum(xp.minimum(error, delta), -delta)
    return clipped * element_factor(weight, dloss, error)
