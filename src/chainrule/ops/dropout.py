"""Dropout with masks addressed by seed, step and place."""

from chainrule.ops.random import Key, bits
from chainrule.typing import Array, Namespace, Residuals


def keep_mask(xp: Namespace, key: Key, shape: tuple[int, ...], rate: float) -> Array:
    """Return the mask of kept elements, bool of `shape`; `rate` is the probability to be dropped.

    The same bits on every library and dtype. The probability is exact to 2**-32.
    """
    count = 1
    for size in shape:
        count *= size
    threshold = min(round(rate * 2**32) - 2**31, 2**31 - 1)
    return xp.reshape(bits(xp, key, count) >= threshold, shape)


def dropout_forward(xp: Namespace, x: Array, key: Key, *, rate: float) -> tuple[Array, Residuals]:
    """Zero elements at random and scale the rest by 1 / (1 - rate).

    x of any shape -> y of that shape. Source: Srivastava et al. 2014, section 10 ("inverted"
    dropout).
    """
    mask = keep_mask(xp, key, x.shape, rate)
    return xp.where(mask, x * (1.0 / (1.0 - rate)), 0.0), (mask,)


def dropout_backward(xp: Namespace, residuals: Residuals, dy: Array, *, rate: float) -> Array:
    """dy -> dx, through the same mask."""
    (mask,) = residuals
    return xp.where(mask, dy * (1.0 / (1.0 - rate)), 0.0)
