"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2)."""

from chainrule import tree
from chainrule.typing import Array, Grads, Namespace, State

START = 2.0**15
GROW_AFTER = 2000.0
SMALLEST = 2.0**-14


def start(xp: Namespace, like: Array) -> State:
    """Return the first scale and the number of steps since it changed, both 0-d float32."""
    zero = xp.zeros((), dtype=xp.float32, device=getattr(like, "device", None))
    return {"factor": zero + START, "since": zero + 0.0}


def all_finite(xp: Namespace, grads: Grads) -> Array:
    """Tell whether every gradient is finite, 0-d bool."""
    finite = [xp.all(xp.isfinite(grad)) for grad in tree.leaves(grads)]
    return xp.all(xp.stack(finite))


def adjusted(xp: Namespace, scale: State, finite: Array) -> State:
    """Halve the scale after an overflow; double it after 2,000 steps without one."""
    since = xp.where(finite, scale["since"] + 1.0, 0.0)
    grow = since >= GROW_AFTER
    factor = xp.where(finite, scale["factor"], scale["factor"] * 0.5)
    return {
        "factor": xp.where(grow, xp.minimum(factor * 2.0, 2.0**24), xp.maximum(factor, SMALLEST)),
        "since": xp.where(grow, 0.0, since),
    }
