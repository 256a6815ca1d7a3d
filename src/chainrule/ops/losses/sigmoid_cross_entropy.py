"""Cross-entropy of logistic probabilities, computed from logits."""

from chainrule.ops.activations.sigmoid import sigmoid
from chainrule.ops.activations.softplus import softplus
from chainrule.ops.losses.row_weight import element_factor, row_mean
from chainrule.typing import Array, Namespace, Residuals


def sigmoid_cross_entropy_forward(
    xp: Namespace, logits: Array, targets: Array, weight: Array | float
) -> tuple[Array, Residuals]:
    """l_i = mean over a row of softplus(z) - t z, in nats.

    That is -t log p - (1 - t) log(1 - p) with p = sigmoid(z).

    logits z and targets t (n,) or (n, outputs), t in [0, 1]; weight a number or (n,)
    -> the weighted sum of l_i, 0-d.
    """
    elements = softplus(xp, logits) - logits * targets
    return xp.sum(row_mean(xp, elements) * weight), (logits, targets, weight)


def sigmoid_cross_entropy_backward(
    xp: Namespace, residuals: Residuals, dloss: Array | float
) -> Array:
    """dlogits = dloss weight_i (sigmoid(z) - t) / outputs."""
    logits, targets, weight = residuals
    return (sigmoid(xp, logits) - targets) * element_factor(weight, dloss, logits)
