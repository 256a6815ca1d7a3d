"""A network as a flat chain of layers, whose every array in between is open to inspection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from chainrule import tree
from chainrule.errors import InputError
from chainrule.layers.layer import Layer, describe, train_forward
from chainrule.layers.sequential import Sequential
from chainrule.losses import Loss
from chainrule.ops.random import Key
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape, Tree


@dataclass(frozen=True)
class Link:
    """A layer, and its places in the nested `Sequential`s: ``("2", "0")``."""

    layer: Layer
    path: tuple[str, ...]

    @property
    def place(self) -> str:
        """As ``2.0 Dense(16)``."""
        return f"{'.'.join(self.path)} {describe(self.layer)}".strip()

    def own(self, params: Params) -> Params:
        """Return this layer's part of the network's parameters."""
        for name in self.path:
            params = params.get(name, {})
        return params

    def key(self, key: Key | None) -> Key | None:
        """Return the key that `Sequential` would hand to this layer."""
        for name in self.path:
            key = None if key is None else key.at(name)
        return key


def make_chain(model: Layer, path: tuple[str, ...] = ()) -> list[Link]:
    """Return the layers in order, those of nested `Sequential`s too."""
    if not isinstance(model, Sequential):
        return [Link(model, path)]
    inner = enumerate(model.layers)
    return [link for number, one in inner for link in make_chain(one, (*path, str(number)))]


def forward(
    xp: Namespace, chain: Sequence[Link], params: Sequence[Params], x: Array, key: Key | None
) -> tuple[list[Array], list[Residuals]]:
    """Return each layer's input and, at the end, the output; and each layer's residuals."""
    arrays: list[Array] = [x]
    kept: list[Residuals] = []
    for link, own in zip(chain, params, strict=True):
        x, residuals = train_forward(link.layer, xp, own, x, link.key(key))
        arrays.append(x)
        kept.append(residuals)
    return arrays, kept


def backward(
    xp: Namespace,
    chain: Sequence[Link],
    params: Sequence[Params],
    arrays: Sequence[Array],
    kept: Sequence[Residuals],
    dy: Array,
) -> tuple[list[Grads], list[Array]]:
    """Return each layer's derivatives, and those of what `forward` returned as arrays.

    Raises `InputError` naming the layer whose derivatives are not named and shaped like its arrays.
    """
    grads: list[Grads] = []
    moving = [dy]
    for link, own, x, residuals in reversed(list(zip(chain, params, arrays, kept, strict=False))):
        more, dy = link.layer.backward(xp, residuals, dy, needs_dx=True)
        check_grads(link.place, more, own)
        if dy is None or tuple(dy.shape) != tuple(x.shape):
            got = "no dx" if dy is None else f"dx of shape {tuple(dy.shape)}"
            raise InputError(
                f"{link.place}: backward returned {got}, expected dx of shape {tuple(x.shape)}"
            )
        grads.append(more)
        moving.append(dy)
    return grads[::-1], moving[::-1]


def check_grads(place: str, grads: Any, params: Params) -> None:
    """Raise `InputError` unless the derivatives are named and shaped like the parameters."""
    if not isinstance(grads, dict):
        raise InputError(
            f"{place}: backward returned grads of type {type(grads).__name__}, expected a dict "
            "like params"
        )
    have, want = tree.flatten(cast(Tree, grads)), tree.flatten(params)
    for name in want:
        if name not in have:
            raise InputError(f"{place}: backward returned no derivative of {name!r}")
        expected, came = tuple(want[name].shape), tuple(have[name].shape)
        if came != expected:
            raise InputError(
                f"{place}: backward returned {name!r} of shape {came}, expected {expected}"
            )
    for name in have:
        if name not in want:
            raise InputError(f"{place}: backward returned {name!r}, which is no parameter of it")


def make_tail(
    xp: Namespace, chain: Sequence[Link], loss: Loss, y: Array, shares: Any, key: Key | None
) -> Callable[[list[Params], Array], Array]:
    """Return ``tail(params, x) -> loss``: the layers of `chain` from `x` on, and the loss, 0-d."""

    def tail(params: list[Params], x: Array) -> Array:
        arrays, _ = forward(xp, chain, params, x, key)
        value, _ = loss.forward(xp, arrays[-1], y, shares)
        return value

    return tail


def check_shapes(chain: Sequence[Link], arrays: Sequence[Array], out_shape: Shape) -> None:
    """Raise `InputError` unless the output has the shape that the network's init promised."""
    rows = arrays[0].shape[0]
    if tuple(arrays[-1].shape) != (rows, *out_shape):
        raise InputError(
            f"the output has shape {tuple(arrays[-1].shape)}, init promised {(rows, *out_shape)}; "
            f"init must return the shape of one row of what forward gives ({chain[-1].place})"
        )
