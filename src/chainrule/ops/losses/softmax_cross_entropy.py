"""Cross-entropy of softmax probabilities, computed from logits."""

from chainrule.ops.losses.row_weight import row_factor
from chainrule.typing import Array, Namespace, Residuals


def one_hot(
    xp: Namespace, labels: Array, classes: int, dtype: object, *, smoothing: float = 0.0
) -> Array:
    """Labels (n,), integers in [0, classes) -> targets (n, classes) of `dtype`.

    1 - smoothing + smoothing / classes at the label, smoothing / classes elsewhere
    (Szegedy et al. 2016, section 7).
    """
    numbers = xp.arange(classes, dtype=labels.dtype, device=getattr(labels, "device", None))
    targets = xp.astype(labels[:, None] == numbers, dtype)
    if smoothing == 0.0:
        return targets
    return targets * (1.0 - smoothing) + smoothing / classes


def softmax_cross_entropy_forward(
    xp: Namespace, logits: Array, targets: Array, weight: Array | float
) -> tuple[Array, Residuals]:
    """l_i = -sum_k targets_ik log softmax(logits_i)_k, in nats.

    logits (n, classes), targets (n, classes) rows of probabilities, weight a number or (n,)
    -> the weighted sum of l_i, 0-d. Finite where the logits' differences are: the logarithm is
    taken of the shifted sum of exponentials, which is at least 1, never of a probability.
    """
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    exponentials = xp.exp(shifted)
    total = xp.sum(exponentials, axis=-1, keepdims=True)
    rows = xp.sum(targets * (xp.log(total) - shifted), axis=-1)
    return xp.sum(rows * weight), (exponentials / total, targets, weight)


def softmax_cross_entropy_backward(
    xp: Namespace, residuals: Residuals, dloss: Array | float
) -> Array:
    """dlogits = dloss weight_i (probs - targets), (n, classes); it uses that targets sum to 1."""
    probs, targets, weight = residuals
    return (probs - targets) * row_factor(weight, dloss, probs)
