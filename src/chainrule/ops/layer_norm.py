"""Layer normalisation."""

from chainrule.ops.precision import narrowed, widened
from chainrule.typing import Array, Namespace, Residuals


def layer_norm_forward(
    xp: Namespace, x: Array, scale: Array, shift: Array, *, eps: float = 1e-5
) -> tuple[Array, Residuals]:
    """Normalise each row over its features, then scale and shift.

    x (batch, ..., features), scale and shift (features,) -> y of x's shape.
    Source: Ba, Kiros & Hinton 2016, eq. 4; the variance is biased (divided by features).
    """
    wide = widened(xp, x)
    centered = wide - xp.mean(wide, axis=-1, keepdims=True)
    inverse_std = 1.0 / xp.sqrt(xp.mean(centered * centered, axis=-1, keepdims=True) + eps)
    normalized = centered * inverse_std
    return narrowed(xp, normalized * scale + shift, x), (normalized, inverse_std, scale)


def layer_norm_backward(
    xp: Namespace, residuals: Residuals, dy: Array
) -> tuple[Array, Array, Array]:
    """dy (batch, ..., features) -> dx of dy's shape, dscale (features,), dshift (features,)."""
    normalized, inverse_std, scale = residuals
    rows = tuple(range(dy.ndim - 1))
    wide = widened(xp, dy)
    dshift = xp.sum(wide, axis=rows)
    dscale = xp.sum(wide * normalized, axis=rows)
    dnormalized = wide * scale
    dx = inverse_std * (
        dnormalized
        - xp.mean(dnormalized, axis=-1, keepdims=True)
        - normalized * xp.mean(dnormalized * normalized, axis=-1, keepdims=True)
    )
    return narrowed(xp, dx, dy), dscale, dshift
