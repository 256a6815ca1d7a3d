"""Layer normalisation."""

from chainrule.typing import Array, Namespace, Residuals


def layer_norm_forward(
    xp: Namespace, x: Array, scale: Array, shift: Array, *, eps: float = 1e-5
) -> tuple[Array, Residuals]:
    """Normalise each row over its features, then scale and shift.

    x (batch, ..., features), scale and shift (features,) -> y of x's shape.
    Source: Ba, Kiros & Hinton 2016, eq. 4; the variance is biased (divided by features).
    """
    centered = x - xp.mean(x, axis=-1, keepdims=True)
    inverse_std = 1.0 / xp.sqrt(xp.mean(centered * centered, axis=-1, keepdims=True) + eps)
    normalized = centered * inverse_std
    return normalized * scale + shift, (normalized, inverse_std, scale)


def layer_norm_backward(
    xp: Namespace, residuals: Residuals, dy: Array
) -> tuple[Array, Array, Array]:
    """dy (batch, ..., features) -> dx of dy's shape, dscale (features,), dshift (features,)."""
    normalized, inverse_std, scale = residuals
    rows = tuple(range(dy.ndim - 1))
    dshift = xp.sum(dy, axis=rows)
    dscale = xp.sum(dy * normalized, axis=rows)
    dnormalized = dy * scale
    dx = inverse_std * (
        dnormalized
        - xp.mean(dnormalized, axis=-1, keepdims=True)
        - normalized * xp.mean(dnormalized * normalized, axis=-1, keepdims=True)
    )
    return dx, dscale, dshift
