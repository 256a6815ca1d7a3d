"""Batch normalisation: batch statistics in training, running statistics at inference."""

from chainrule.ops.precision import narrowed, widened
from chainrule.typing import Array, Namespace, Residuals


def batch_norm_forward(
    xp: Namespace, x: Array, scale: Array, shift: Array, *, eps: float = 1e-5
) -> tuple[Array, Residuals]:
    """Normalise each feature over the batch, then scale and shift.

    x (batch, ..., features), scale and shift (features,) -> y of x's shape. The residuals end with
    the batch's mean and variance, each (features,).
    Source: Ioffe & Szegedy 2015, algorithm 1; the variance is biased (divided by the batch size).
    """
    rows, share = _rows(x)
    wide = widened(xp, x)
    mean = xp.sum(wide, axis=rows) * share
    centered = wide - mean
    variance = xp.sum(centered * centered, axis=rows) * share
    inverse_std = 1.0 / xp.sqrt(variance + eps)
    normalized = centered * inverse_std
    y = narrowed(xp, normalized * scale + shift, x)
    return y, (normalized, inverse_std, scale, mean, variance)


def batch_norm_backward(
    xp: Namespace, residuals: Residuals, dy: Array
) -> tuple[Array, Array, Array]:
    """dy (batch, ..., features) -> dx of dy's shape, dscale (features,), dshift (features,)."""
    normalized, inverse_std, scale, _, _ = residuals
    rows, share = _rows(dy)
    wide = widened(xp, dy)
    dshift = xp.sum(wide, axis=rows)
    dscale = xp.sum(wide * normalized, axis=rows)
    dx = (scale * inverse_std) * (wide - dshift * share - normalized * (dscale * share))
    return narrowed(xp, dx, dy), dscale, dshift


def batch_norm_running(
    xp: Namespace,
    residuals: Residuals,
    mean: Array,
    variance: Array,
    *,
    momentum: float,
) -> tuple[Array, Array]:
    """Move the running mean and variance, each (features,), towards the batch's by `momentum`.

    The running variance takes the unbiased estimate, as PyTorch's does and ONNX's does not.
    """
    normalized, _, _, batch_mean, batch_variance = residuals
    _, share = _rows(normalized)
    unbiased = batch_variance * (1.0 / (1.0 - share) if share < 1.0 else 1.0)
    keep = 1.0 - momentum
    return keep * mean + momentum * batch_mean, keep * variance + momentum * unbiased


def batch_norm_infer(
    xp: Namespace,
    x: Array,
    scale: Array,
    shift: Array,
    mean: Array,
    variance: Array,
    *,
    eps: float = 1e-5,
) -> Array:
    """Normalise with running statistics, each (features,): x (batch, ..., features) -> y."""
    y = (widened(xp, x) - mean) * (scale / xp.sqrt(variance + eps)) + shift
    return narrowed(xp, y, x)


def _rows(x: Array) -> tuple[tuple[int, ...], float]:
    """Return the axes that hold rows, and one row's share of the mean (1 for an empty batch)."""
    count = 1
    for size in x.shape[:-1]:
        count *= size
    return tuple(range(x.ndim - 1)), 1.0 / max(count, 1)
