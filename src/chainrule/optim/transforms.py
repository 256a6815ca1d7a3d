"""Pure functions of the gradients, applied between backward and update: clipping and penalties.

They read nothing back to the host, so a compiled step may contain them.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

from chainrule import tree
from chainrule.typing import Array, Grads, Namespace, Params


def global_norm(xp: Namespace, grads: Grads) -> Array:
    """Return the 2-norm of all gradients together, 0-d, in their dtype.

    In float32 it overflows to inf when the norm is above 1.8e19.
    """
    squares = [xp.sum(grad * grad) for grad in tree.leaves(grads)]
    return xp.sqrt(sum(squares[1:], start=squares[0])) if squares else xp.zeros(())


def clip_by_norm(xp: Namespace, grads: Grads, max_norm: float) -> Grads:
    """Scale all gradients by min(1, max_norm / norm), with norm = `global_norm`.

    Exactly unchanged up to max_norm, zero gradients included: the factor is
    max_norm / max(norm, max_norm). PyTorch divides by norm + 1e-6 instead, hence its clipped
    gradients are smaller by the factor 1 - 1e-6 / norm. A NaN makes every gradient NaN.
    Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.

    >>> import numpy as np
    >>> clip_by_norm(np, {"weight": np.asarray([3.0, 4.0])}, max_norm=1.0)
    {'weight': array([0.6, 0.8])}
    """
    norm = global_norm(xp, grads)
    scale = max_norm / xp.maximum(norm, xp.full_like(norm, max_norm))
    return tree.map(partial(_scaled, scale=scale), grads)


def clip_by_value(xp: Namespace, grads: Grads, max_value: float) -> Grads:
    """Clamp every entry to [-max_value, max_value]; NaN stays NaN."""
    return tree.map(partial(_clamped, xp, limit=max_value), grads)


def add_l2(xp: Namespace, grads: Grads, params: Params, l2: float) -> Grads:
    """Add the gradient of l2 / 2 times the squares of the leaves named "weight": l2 weight.

    The penalty stands beside the mean loss. scikit-learn divides its `alpha` by the number of
    samples in the batch: l2 = alpha / n.
    """
    return _on_weights(partial(_plus_l2, l2=l2), grads, params)


def add_l1(xp: Namespace, grads: Grads, params: Params, l1: float) -> Grads:
    """Add a subgradient of l1 times |entries| of the leaves named "weight": l1 sign(weight).

    At 0 it adds 0.
    """
    return _on_weights(partial(_plus_l1, xp, l1=l1), grads, params)


def _scaled(grad: Array, scale: Array) -> Array:
    return scale * grad


def _clamped(xp: Namespace, grad: Array, limit: float) -> Array:
    """torch.compile wants arrays on both sides of maximum."""
    most = xp.full((), limit, dtype=grad.dtype, device=getattr(grad, "device", None))
    return xp.minimum(xp.maximum(grad, -most), most)


def _plus_l2(grad: Array, weight: Array, l2: float) -> Array:
    return grad + l2 * weight


def _plus_l1(xp: Namespace, grad: Array, weight: Array, l1: float) -> Array:
    return grad + l1 * xp.sign(weight)


def penalty(xp: Namespace, params: Params, l1: float, l2: float) -> Array:
    """Return l1 sum |w| + l2 / 2 sum w**2 over the leaves named "weight", 0-d."""
    terms = [
        l1 * xp.sum(xp.abs(weight)) + (0.5 * l2) * xp.sum(weight * weight)
        for path, weight in tree.flatten(params).items()
        if path.rpartition(".")[2] == "weight"
    ]
    return sum(terms[1:], start=terms[0]) if terms else xp.zeros(())


def _on_weights(rule: Callable[[Array, Array], Array], grads: Grads, params: Params) -> Grads:
    """Apply a rule to the leaves named "weight"; the others pass through."""
    changed: Grads = {}
    for key, grad in grads.items():
        if isinstance(grad, dict):
            changed[key] = _on_weights(rule, cast(Grads, grad), params[key])
        else:
            changed[key] = rule(grad, params[key]) if key == "weight" else grad
    return changed
