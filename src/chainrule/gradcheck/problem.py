"""The loss of a network on given data, as a function of each array in it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Any, cast

import numpy as np

from chainrule import tree
from chainrule.backends import get, library_of
from chainrule.backends.base import Backend
from chainrule.errors import InputError
from chainrule.gradcheck import chain
from chainrule.gradcheck.numerical import Floats
from chainrule.layers.layer import Layer, describe, init_running, is_random
from chainrule.losses import Loss
from chainrule.ops.random import Key, Rng, host_key
from chainrule.train.inputs import prepare_weight, prepare_x, prepare_y
from chainrule.train.saving import check_state
from chainrule.train.step import PLACE, make_gradients, row_shares
from chainrule.typing import Array, Params, Tree

MOVE = 0.25
"""How far random parameters are moved: relatively, and absolutely where they are 0."""

REPEATS = 3


@dataclass(frozen=True)
class Target:
    """An array whose derivatives are checked: parameter `name` of layer `number`, or its input.

    host: its values, float64. analytic: its derivatives by backpropagation.
    """

    layer: str
    name: str
    number: int
    is_parameter: bool
    host: Floats
    analytic: tuple[Floats, ...]


class Problem:
    """A network, a loss, data and parameters on a backend; all work belongs inside its scope."""

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        backend: Backend,
        x: Any,
        y: Any,
        sample_weight: Any,
        params: Params | None,
        rng: Rng,
    ) -> None:
        own_x = prepare_x(backend, x, None, name="x")
        rows, in_shape = int(own_x.shape[0]), tuple(int(size) for size in own_x.shape[1:])
        if rows == 0:
            raise InputError("x has 0 rows")
        if rows == 1 and getattr(net, "needs_two_rows", False):
            raise InputError(
                "x has 1 row, from which BatchNorm takes no statistics; pass 2 or more"
            )
        made, out_shape = net.init(rng.at("init"), in_shape)
        self.host_params = moved(made, rng.at("moved")) if params is None else given(params, made)
        self.net, self.loss, self.backend = net, loss, backend
        self.chain = chain.make_chain(net)
        self.batch: Tree = {"x": own_x, "y": prepare_y(backend, y, loss, rows, out_shape)}
        if sample_weight is not None:
            self.batch["weight"] = prepare_weight(backend, sample_weight, rows)
        if is_random(net):
            self.batch["key"] = backend.asarray(host_key(rng.seed, 0), "int32")
        self.key = Key(self.batch["key"], PLACE) if "key" in self.batch else None
        self.params = tree.map(lambda a: backend.asarray(a.copy(), "float"), self.host_params)
        self.own_params = [link.own(self.params) for link in self.chain]
        self.arrays, self.kept = chain.forward(
            backend.xp, self.chain, self.own_params, own_x, self.key
        )
        chain.check_shapes(self.chain, self.arrays, out_shape)
        self.shares, _ = row_shares(backend.xp, loss, self.batch, own_x.dtype)
        self.tails = [backend.compile(self._tail(k)) for k in range(len(self.chain) + 1)]
        self.run, self.arguments = self._training()
        self.value = float(self.tails[0](self.own_params, own_x))
        if not isfinite(self.value):
            raise InputError(f"the loss is {self.value} at these parameters; expected a finite one")

    def line(self, target: Target, place: int) -> Callable[[float], float]:
        """Return the loss as a function of how far one element of an array is moved."""
        asarray, tail = self.backend.asarray, self.tails[target.number]
        params, x = self.own_params[target.number :], self.arrays[target.number]

        def at(distance: float) -> float:
            host = target.host.copy()
            host.reshape(-1)[place] += distance
            own = asarray(host, "float")
            if not target.is_parameter:
                return float(tail(params, own))
            return float(tail([replaced(params[0], target.name, own), *params[1:]], x))

        return at

    def targets(self) -> list[Target]:
        """Return all arrays in the order of the forward pass, with their derivatives.

        Those of a parameter come twice: from the pass back to x, and from a training step, which
        leaves out the first layer's dx.
        """
        xp, backend = self.backend.xp, self.backend
        before = backend.to_numpy(self.arrays[0])
        _, residuals = self.loss.forward(xp, self.arrays[-1], self.batch["y"], self.shares)
        doutput = self.loss.backward(xp, residuals, 1.0)
        grads, dxs = chain.backward(
            xp, self.chain, self.own_params, self.arrays, self.kept, doutput
        )
        trained = self.run(*self.arguments)
        chain.check_grads(describe(self.net), trained, self.params)
        self._refuse_changes(before)
        found: list[Target] = []
        for number, link in enumerate(self.chain):
            own = tree.flatten(link.own(self.host_params))
            twice = tree.flatten(grads[number]), tree.flatten(link.own(trained))
            for name, host in own.items():
                both = tuple(self._floats(flat[name]) for flat in twice)
                found.append(Target(link.place, name, number, True, host, both))
            found.append(self._input(link.place, "x", number, dxs[number]))
        found.append(self._input(self.loss.name, "output", len(self.chain), doutput))
        return found

    def seconds(self) -> float:
        """Return how long the gradients of a training step take."""
        self.run(*self.arguments)
        times: list[float] = []
        for _ in range(REPEATS):
            self.backend.synchronize()
            begin = perf_counter()
            self.run(*self.arguments)
            self.backend.synchronize()
            times.append(perf_counter() - begin)
        return min(times)

    def _training(self) -> tuple[Callable[..., Params], tuple[Tree, ...]]:
        """Return the gradients of a training step as a function, and its arguments."""
        backend, xp = self.backend, self.backend.xp
        state = init_running(self.net, self.host_params)
        running = tree.map(lambda a: backend.asarray(a, "float"), state)
        gradients = make_gradients(self.net, self.loss)

        def run(params: Params, running: Tree, batch: Tree) -> Params:
            return gradients(xp, {"params": params, "running": running}, batch)[2]

        return backend.compile(run), (self.params, running, self.batch)

    def _tail(self, number: int) -> Callable[[list[Params], Array], Array]:
        rest = self.chain[number:]
        return chain.make_tail(
            self.backend.xp, rest, self.loss, self.batch["y"], self.shares, self.key
        )

    def _input(self, layer: str, name: str, number: int, dx: Array) -> Target:
        host = self._floats(self.arrays[number])
        return Target(layer, name, number, False, host, (self._floats(dx),))

    def _refuse_changes(self, x: Floats) -> None:
        leaves = zip(tree.leaves(self.params), tree.leaves(self.host_params), strict=True)
        pairs = [(self.arrays[0], x), *leaves]
        if not all(np.array_equal(self.backend.to_numpy(own), host) for own, host in pairs):
            raise InputError(
                f"{describe(self.net)} changes x or its parameters in place; return new arrays"
            )

    def _floats(self, a: Array) -> Floats:
        return self.backend.to_numpy(a).astype(np.float64, copy=False)


def replaced(params: Params, path: str, leaf: Array) -> Params:
    """Return the tree with another leaf at a dotted path."""
    name, _, rest = path.partition(".")
    return {**params, name: replaced(params[name], rest, leaf) if rest else leaf}


def moved(params: Params, rng: Rng) -> Params:
    """Return the parameters moved at random, relatively by up to `MOVE`, and off 0."""

    def move(path: str, leaf: Any) -> Floats:
        start = np.asarray(leaf, dtype=np.float64)
        own = rng.at(path)
        factor = 1.0 + MOVE * (2.0 * own.uniform(start.shape) - 1.0)
        return np.where(start == 0.0, MOVE * own.at("zero").normal(start.shape), start * factor)

    return tree.unflatten({path: move(path, leaf) for path, leaf in tree.flatten(params).items()})


def given(params: Params, made: Params) -> Params:
    """Return the user's parameters, of any library, as float64 NumPy arrays.

    Raises `InputError` unless they are named and shaped like the network's own, `made`.
    """
    if not isinstance(cast(object, params), dict):
        raise InputError(
            f"params is a {type(params).__name__}, expected a tree such as trainer.params"
        )
    host = tree.map(_to_host, params)
    check_state(host, made, "params")
    for path, leaf in tree.flatten(host).items():
        if not np.isfinite(leaf).all():
            raise InputError(f"params: {path} holds NaN or infinite values")
    return tree.map(lambda _, leaf: leaf, made, host)


def _to_host(leaf: Any) -> Floats:
    library = library_of(leaf)
    if library in ("cupy", "torch", "jax", "array_api_strict"):
        leaf = get("strict" if library == "array_api_strict" else library).to_numpy(leaf)
    try:
        return np.array(leaf, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"params holds {leaf!r:.80}, expected arrays of numbers") from None
