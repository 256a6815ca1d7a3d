"""The absolute error."""

from chainrule.ops.losses.row_weight import element_factor, row_mean
from chainrule.typing import Array, Namespace, Residuals


def absolute_error_forward(
    xp: Namespace, output: Array, targets: Array, weight: Array | float
) -> tuple[Array, Residuals]:
    """l_i = mean over a row of |output - target|.

    output, targets (n,) or (n, outputs); weight a number or (n,) -> the weighted sum of l_i, 0-d.
    """
    error = output - targets
    return xp.sum(row_mean(xp, xp.abs(error)) * weight), (error, weight)


def absolute_error_backward(xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
    """doutput = dloss weight_i sign(output - target) / outputs (0 at the kink)."""
    error, weight = residuals
    return xp.sign(error) * element_factor(weight, dloss, error)
