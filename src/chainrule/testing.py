"""For your own tests: prove a layer of yours in one line.

>>> from chainrule.layers import Dense
>>> report = assert_gradients(Dense(3), (4,))
>>> report.passed
True

Works in pytest and without it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.backends import get, library_of
from chainrule.backends.base import Backend
from chainrule.errors import BackendError, InputError
from chainrule.gradcheck.catalogue import draw_targets
from chainrule.gradcheck.chain import check_grads
from chainrule.gradcheck.check import check_gradients, made_loss
from chainrule.gradcheck.numerical import STEPS, Floats, central, look_closer
from chainrule.gradcheck.problem import moved
from chainrule.gradcheck.report import GradientReport
from chainrule.layers.layer import (
    Layer,
    describe,
    infer,
    init_running,
    is_random,
    next_running,
    train_forward,
)
from chainrule.losses import Loss
from chainrule.ops.random import Key, Rng, check_seed, host_key
from chainrule.train.settings import positive_integer
from chainrule.typing import Array, Grads, Params, Residuals, Shape, Tree

__all__ = ["assert_gradients"]


def assert_gradients(
    layer: Layer,
    in_shape: Shape,
    *,
    loss: str | Loss = "squared_error",
    batch: int = 5,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> GradientReport:
    """Raise `AssertionError` unless the layer keeps all its promises; return the gradients' report.

    For inputs (batch, *in_shape) drawn from `seed`, and parameters moved off their initial values:

    - `init` returns float64 NumPy parameters and the shape that `forward` gives;
    - nothing is changed in place, and the same arguments give the same result;
    - every derivative is the central difference's, within `tolerance` (see `check_gradients`);
    - <dy, J v> = <J^T dy, v> for random dy and v, J v by differences along v;
    - `needs_dx=False` gives the same derivatives of the parameters;
    - float32 stays float32, an empty batch goes through, and so does `infer`;
    - array-api-strict, where it is installed, runs it and gives NumPy's numbers.

    Raises `InputError` for arguments that cannot be used.
    """
    __tracebackhide__ = True
    if isinstance(layer, type) or not hasattr(layer, "backward"):
        raise InputError(f"layer={layer!r}: expected a layer, such as Dense(10)")
    positive_integer("batch", batch)
    loss = made_loss(loss)
    rng = Rng(check_seed(seed), "assert_gradients")
    try:
        case = _make_case(layer, tuple(in_shape), batch, rng)
        _check_purity(case)
        y = draw_targets(loss, case.out_shape, batch, rng.at("y"))
        report = check_gradients(
            layer, loss, x=case.x, y=y, seed=seed, tolerance=tolerance, params=case.params
        )
        if not report.passed:
            raise AssertionError(f"{case.name}: wrong gradients\n{report}")
        _check_law(case, tolerance, rng)
        _check_float32(case)
        _check_other_uses(case)
        _check_strict(case)
    except InputError as error:
        raise AssertionError(f"{describe(layer)}: {error}") from error
    return report


@dataclass(frozen=True)
class _Case:
    """A layer with parameters, an input and a derivative of its output: host float64 arrays."""

    layer: Layer
    name: str
    params: Params
    x: Floats
    dy: Floats
    out_shape: Shape
    seed: int

    def forward(self, backend: Backend, params: Params, x: Array) -> tuple[Array, Residuals]:
        key = None
        if is_random(self.layer):
            key = Key(backend.asarray(host_key(self.seed, 0), "int32"), self.name)
        return train_forward(self.layer, backend.xp, params, x, key)

    def both(self, backend: Backend, *, needs_dx: bool = True) -> tuple[Array, Grads, Any]:
        """Return y, the parameters' derivatives and dx on a backend."""
        with backend.scope():
            params = tree.map(lambda a: backend.asarray(a, "float"), self.params)
            x, dy = backend.asarray(self.x, "float"), backend.asarray(self.dy, "float")
            y, residuals = self.forward(backend, params, x)
            if tuple(y.shape) != self.dy.shape:
                raise AssertionError(
                    f"{self.name}: forward gave shape {tuple(y.shape)} for x {self.x.shape}, init "
                    f"promised {self.dy.shape}"
                )
            grads, dx = self.layer.backward(backend.xp, residuals, dy, needs_dx=needs_dx)
            check_grads(self.name, grads, params)
        return y, grads, dx


def _make_case(layer: Layer, in_shape: Shape, batch: int, rng: Rng) -> _Case:
    name = describe(layer)
    params, out_shape = layer.init(rng.at("init"), in_shape)
    for path, leaf in tree.flatten(params).items():
        dtype = getattr(leaf, "dtype", None)
        if library_of(leaf) != "numpy" or dtype != np.float64:
            raise AssertionError(
                f"{name}: init gave {path} as {type(leaf).__name__} of dtype {dtype}, expected a "
                "float64 NumPy array"
            )
    params = tree.map(_read_only, moved(params, rng.at("moved")))
    x = rng.at("x").normal((batch, *in_shape))
    dy = rng.at("dy").normal((batch, *out_shape))
    return _Case(layer, name, params, _read_only(x), _read_only(dy), tuple(out_shape), rng.seed)


def _check_purity(case: _Case) -> None:
    """Run on read-only arrays, twice, and without dx."""
    backend = get("numpy", "float64")
    try:
        first, second = case.both(backend), case.both(backend)
        without = case.both(backend, needs_dx=False)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise AssertionError(
            f"{case.name} changes an argument in place; return new arrays instead"
        ) from error
    if not all(np.array_equal(a, b) for a, b in zip(_flat(first), _flat(second), strict=True)):
        raise AssertionError(
            f"{case.name} gives another result the second time; keep no state, draw from key="
        )
    for path, grad in tree.flatten(first[1]).items():
        other = tree.flatten(without[1])[path]
        if not np.allclose(grad, other, rtol=1e-12, atol=1e-12):
            raise AssertionError(f"{case.name}: needs_dx=False changes the derivative of {path}")


def _check_law(case: _Case, tolerance: float, rng: Rng) -> None:
    """<dy, J v> = <J^T dy, v> for a random direction v of the parameters and x together."""
    backend = get("numpy", "float64")
    v_x = rng.at("v").normal(case.x.shape)
    v = {path: rng.at(f"v.{path}").normal(a.shape) for path, a in tree.flatten(case.params).items()}
    with backend.scope():
        _, grads, dx = case.both(backend)
        flat = tree.flatten(grads)
        backprop = float(np.sum(dx * v_x)) + sum(float(np.sum(flat[p] * v[p])) for p in v)

        def along(distance: float) -> float:
            moved_params = tree.map(
                lambda a, direction: a + distance * direction, case.params, tree.unflatten(v)
            )
            y, _ = case.forward(backend, moved_params, case.x + distance * v_x)
            return float(np.sum(case.dy * y))

        size = float(np.sum(np.abs(case.dy * case.both(backend)[0])))
        differences = central(along, STEPS[4])
        scale = max(abs(backprop), abs(differences), 1e-3 * size, 1e-12)
        if not abs(backprop - differences) <= 0.1 * tolerance * scale:
            slope = look_closer(along, STEPS[4], size, 0.1 * tolerance * scale)
            differences = slope.nearest(backprop)
    if not abs(backprop - differences) <= tolerance * scale:
        raise AssertionError(
            f"{case.name}: <dy, J v> = {differences:.9e} by differences, <J^T dy, v> = "
            f"{backprop:.9e} by backward"
        )


def _check_float32(case: _Case) -> None:
    y, grads, dx = case.both(get("numpy", "float32"))
    for what, array in {"y": y, "dx": dx, **tree.flatten(grads)}.items():
        if array.dtype != np.float32:
            raise AssertionError(
                f"{case.name}: {what} is {array.dtype} where everything given is float32; use "
                "Python's numbers or arrays made from x"
            )


def _check_other_uses(case: _Case) -> None:
    """An empty batch; what the layer does outside training; its running state."""
    backend = get("numpy", "float64")
    with backend.scope():
        try:
            empty, _ = case.forward(backend, case.params, case.x[:0])
        except Exception as error:
            raise AssertionError(
                f"{case.name} fails on an empty batch: {type(error).__name__}: {error}"
            ) from error
        if empty.shape != (0, *case.out_shape):
            raise AssertionError(
                f"{case.name}: an empty batch gives shape {empty.shape}, expected "
                f"{(0, *case.out_shape)}"
            )
        running: Tree = tree.map(_read_only, init_running(case.layer, case.params))
        y = infer(case.layer, np, case.params, running, case.x)
        if y.shape != case.dy.shape:
            raise AssertionError(
                f"{case.name}: infer gives shape {y.shape}, forward {case.dy.shape}"
            )
        if running:
            _, residuals = case.forward(backend, case.params, case.x)
            after = tree.flatten(next_running(case.layer, np, running, residuals))
            shapes = {path: a.shape for path, a in tree.flatten(running).items()}
            if {path: a.shape for path, a in after.items()} != shapes:
                raise AssertionError(
                    f"{case.name}: next_running gives other names or shapes than init_running"
                )


def _check_strict(case: _Case) -> None:
    """Run on array-api-strict in both dtypes, where it is installed."""
    try:
        strict = {dtype: get("strict", dtype) for dtype in ("float32", "float64")}
    except BackendError:
        return
    expected = _flat(case.both(get("numpy", "float64")))
    for dtype, backend in strict.items():
        try:
            got = case.both(backend)
        except (AssertionError, InputError):
            raise
        except Exception as error:
            raise AssertionError(
                f"{case.name} fails on array-api-strict in {dtype}, so it may on other libraries: "
                f"{type(error).__name__}: {error}"
            ) from error
        close = 1e-3 if dtype == "float32" else 1e-10
        for own, truth in zip(_flat(got), expected, strict=True):
            if str(own.dtype).rpartition(".")[2] != dtype:
                raise AssertionError(f"{case.name}: {own.dtype} on array-api-strict from {dtype}")
            size = float(np.max(np.abs(truth), initial=1.0))
            if not np.allclose(backend.to_numpy(own), truth, rtol=close, atol=close * size):
                raise AssertionError(
                    f"{case.name}: array-api-strict gives other numbers than NumPy"
                )


def _flat(outcome: tuple[Array, Grads, Array]) -> list[Any]:
    y, grads, dx = outcome
    return [
        y,
        *(leaf for _, leaf in sorted(tree.flatten(grads).items())),
        *([] if dx is None else [dx]),
    ]


def _read_only(a: Floats) -> Floats:
    view = a.view()
    view.flags.writeable = False
    return view
