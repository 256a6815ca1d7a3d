"""Layers in a row."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from chainrule.errors import InputError
from chainrule.layers.dense import Dense
from chainrule.layers.layer import (
    Layer,
    RandomLayer,
    describe,
    infer,
    init_running,
    is_random,
    next_running,
    train_forward,
)
from chainrule.ops.random import Key, Rng
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape, Tree


@dataclass(frozen=True, init=False, repr=False)
class Sequential:
    """Layers applied one after the other; itself a layer, so it can be nested.

    A layer's place is its number, and parameters are named by dotted paths:
    ``0.weight``, ``2.0.bias``.
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer | RandomLayer) -> None:
        for number, layer in enumerate(layers):
            if isinstance(layer, type) or not hasattr(layer, "forward"):
                if isinstance(layer, list | tuple):
                    raise InputError("Sequential got a list; unpack it: Sequential(*layers)")
                name = layer.__name__ if isinstance(layer, type) else repr(layer)
                raise InputError(
                    f"layer {number} is {name}, expected a layer"
                    + (f" such as {name}(...)" if isinstance(layer, type) else "")
                )
        object.__setattr__(self, "layers", cast("tuple[Layer, ...]", layers))

    def __repr__(self) -> str:
        return f"Sequential({', '.join(describe(layer) for layer in self.layers)})"

    @property
    def random(self) -> bool:
        """Whether any layer needs a key in training."""
        return any(is_random(layer) for layer in self.layers)

    @property
    def needs_two_rows(self) -> bool:
        """Whether any layer takes statistics over the batch."""
        return any(getattr(layer, "needs_two_rows", False) for layer in self.layers)

    def walk(self, rng: Rng, in_shape: Shape) -> Iterator[tuple[str, Layer, Shape, Params, Shape]]:
        """Yield ``(name, layer, in_shape, params, out_shape)`` of each layer, in order.

        Raises `InputError` naming the layer that does not fit the shape it is given.
        """
        for number, layer in enumerate(self.layers):
            name = str(number)
            if isinstance(layer, Dense) and layer.weight_init is None:
                layer = replace(layer, weight_init=self._suited_init(number))
            try:
                params, out_shape = layer.init(rng.at(name), in_shape)
            except InputError as error:
                given = describe(self.layers[number])
                raise InputError(f"layer {name}, {given}: {error}") from None
            yield name, layer, in_shape, params, out_shape
            in_shape = out_shape

    def _suited_init(self, number: int) -> str:
        """Return the initialiser that suits the activation behind layer `number`."""
        for layer in self.layers[number + 1 :]:
            if isinstance(layer, Dense | Sequential):
                break
            if hasattr(layer, "suited_init"):
                return layer.suited_init  # pyright: ignore
        return "glorot_uniform"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """Return the parameters of all layers by number, and the last layer's output shape."""
        tree: Params = {}
        for name, _, _, params, out_shape in self.walk(rng, in_shape):
            if params:
                tree[name] = params
            in_shape = out_shape
        return tree, in_shape

    def init_running(self, params: Params) -> Tree:
        """Return the running state of all layers that have one."""
        running = {name: init_running(layer, params.get(name, {})) for name, layer in self._named()}
        return {name: state for name, state in running.items() if state}

    def forward(
        self, xp: Namespace, params: Params, x: Array, *, key: Key | None = None
    ) -> tuple[Array, Residuals]:
        """x (batch, *in_shape) -> y (batch, *out_shape); random layers need `key`."""
        kept: list[Residuals] = []
        for name, layer in self._named():
            own_key = None if key is None else key.at(name)
            x, residuals = train_forward(layer, xp, params.get(name, {}), x, own_key)
            kept.append(residuals)
        return x, (kept, min(map(int, params), default=len(kept)))

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> the derivatives by number, and dx; without it the first layers may be skipped."""
        kept, first = residuals
        last_needed = 0 if needs_dx else first
        grads: Grads = {}
        for number in range(len(kept) - 1, last_needed - 1, -1):
            own, dy = self.layers[number].backward(
                xp, kept[number], dy, needs_dx=needs_dx or number > first
            )
            if own:
                grads[str(number)] = own
        return dict(reversed(grads.items())), dy if needs_dx else None

    def next_running(self, xp: Namespace, running: Tree, residuals: Residuals) -> Tree:
        """Return the running state of all layers after a training pass."""
        kept, _ = residuals
        return {
            name: next_running(self.layers[int(name)], xp, state, kept[int(name)])
            for name, state in running.items()
        }

    def infer(self, xp: Namespace, params: Params, running: Tree, x: Array) -> Array:
        """x -> y as used outside training."""
        for name, layer in self._named():
            x = infer(layer, xp, params.get(name, {}), running.get(name, {}), x)
        return x

    def _named(self) -> Iterator[tuple[str, Layer]]:
        return ((str(number), layer) for number, layer in enumerate(self.layers))
