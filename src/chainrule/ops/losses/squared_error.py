"""The squared error."""

from chainrule.ops.losses.row_weight import element_factor, row_mean
from chainrule.typing import Array, Namespace, Residuals


def squared_error_forward(
    xp: Namespace, output: Array, targets: Array, weight: Array | float
) -> tuple[Array, Residuals]:
    """l_i = mean over a row of (output - target)**2.

    output, targets (n,) or (n, outputs); weight a number or (n,) -> the weighted sum of l_i, 0-d.
    """
    error = output - targets
    return xp.sum(row_mean(xp, error * error) * weight), (error, weight)


def squared_error_backward(xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
    """doutput = 2 dloss weight_i (output - target) / outputs."""
    error, weight = residuals
    return error * element_factor(weight, dloss * 2.0, error)
