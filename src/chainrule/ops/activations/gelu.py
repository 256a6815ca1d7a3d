"""The Gaussian error linear unit, exact and in its tanh form."""

from math import pi, sqrt

from chainrule.ops.activations.erf import erf
from chainrule.typing import Array, Namespace, Residuals

_TANH_SCALE = sqrt(2.0 / pi)
_TANH_CUBIC = 0.044715


def gelu_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = x P(X <= x) for a standard normal X; any shape (Hendrycks & Gimpel 2016)."""
    below = 0.5 * (1.0 + erf(xp, x * sqrt(0.5)))
    return x * below, (x, below)


def gelu_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy (P(X <= x) + x p(x)) with p the standard normal density."""
    x, below = residuals
    bounded = xp.minimum(xp.abs(x), 40.0)
    density = xp.exp(-0.5 * (bounded * bounded)) * (1.0 / sqrt(2.0 * pi))
    return dy * (below + x * density)


def gelu_tanh_forward(xp: Namespace, x: Array) -> tuple[Array, Residuals]:
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))) / 2; any shape.

    Within 5e-4 of the exact form (Hendrycks & Gimpel 2016, section 2). |x| is bounded at 10 inside
    tanh, where it is 1 to the last digit.
    """
    bounded = xp.maximum(xp.minimum(x, 10.0), -10.0)
    tanh = xp.tanh(_TANH_SCALE * (bounded + _TANH_CUBIC * (bounded * bounded * bounded)))
    return (0.5 * x) * (1.0 + tanh), (x, bounded, tanh)


def gelu_tanh_backward(xp: Namespace, residuals: Residuals, dy: Array) -> Array:
    """dx = dy ((1 + t) + x (1 - t**2) u') / 2 with t = tanh(u)."""
    x, bounded, tanh = residuals
    slope = _TANH_SCALE * (1.0 + (3.0 * _TANH_CUBIC) * (bounded * bounded))
    return dy * (0.5 * (1.0 + tanh) + (0.5 * x) * ((1.0 - tanh * tanh) * slope))
