"""The sigmoid linear unit, also called swish."""

from chainrule.ops.activations.sigmoid import sigmoid
from chainrule.typing import Array, Namespace, Residuals


def silu_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = x sigmoid(x); any shape (Elfwing, Uchibe & Doya 2018)."""
    gate = sigmoid(xp, x)
    return x * gate, (x, gate)


def silu_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy g (1 + x (1 - g)) with g = sigmoid(x)."""
    x, gate = residuals
    return dy * (gate * (1.0 + x * (1.0 - gate)))
