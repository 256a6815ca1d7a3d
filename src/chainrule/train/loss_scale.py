"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2).

float16 loses gradients below 6e-8. bfloat16 has float32's range, so it needs no scaling.
"""

from chainrule import tree
from chainrule.typing import Array, Grads, Namespace, State, Tree

START = 2.0**15
GROW_AFTER = 2000.0
SMALLEST = 2.0**-14
LARGEST = 2.0**24


def start(xp: Namespace, like: Array) -> State:
    """Return the first scale and the number of steps since it changed, both 0-d float32."""
    zero = xp.zeros((), dtype=xp.float32, device=getattr(like, "device", None))
    return {"factor": zero + START, "since": zero + 0.0}


def unscaled(grads: Grads, scale: Array) -> Grads:
    """Return the gradients divided by the scale."""
    return tree.map(lambda grad: grad / scale, grads)


def all_finite(xp: Namespace, arrays: Tree) -> Array:
    """Tell whether every element of every array is finite, 0-d bool."""
    return xp.all(xp.stack([xp.all(xp.isfinite(array)) for array in tree.leaves(arrays)]))


def adjusted(xp: Namespace, scale: State, finite: Array) -> State:
    """Halve the scale after an overflow; double it after 2,000 steps without one."""
    since = xp.where(finite, scale["since"] + 1.0, 0.0)
    grow = since >= GROW_AFTER
    factor = xp.where(finite, scale["factor"], scale["factor"] * 0.5)
    return {
        "factor": xp.where(grow, xp.minimum(factor * 2.0, LARGEST), xp.maximum(factor, SMALLEST)),
        "since": xp.where(grow, 0.0, since),
    }
