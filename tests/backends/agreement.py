"""Compiled steps held against eager ones.

Where eager execution itself wavers, so may the compiled: a difference is held against how far
eager results move when their inputs change by a rounding, and in float32 against how far they are
from those of float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from backends.test_native_models import REGRESSION, Problem, run
from chainrule import tree
from chainrule.backends import get
from chainrule.backends.scan import Scan, Step, eager_scan
from chainrule.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.train.step import make_gradients

Compiler = Callable[[Step], Scan]

LOSSES = (*REGRESSION, SoftmaxCrossEntropy(0.1), SigmoidCrossEntropy(0.1))
HALF = 4 * 2.0**-11
"""Four units in float16's last place, relative to an array's largest magnitude."""

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative to an array's largest magnitude."""

FLOOR = {2.0**-52: 2.0**-47, 2.0**-23: 2.0**-18, 2.0**-11: 2.0**-14}
"""By the rounding: where terms of size 1 cancel, one side may find 0 and the other 32 roundings
(rows that are equal are normalised by 1 / sqrt(1e-5)); in float16 its smallest normal number.
"""

WAVERS = 20.0
"""How many times eager execution's own uncertainty is allowed."""


def gradient_step(problem: Problem) -> Any:
    """Return a step whose next state holds the gradients."""
    chosen = dict(problem.settings)
    kept = {name: chosen[name] for name in ("l1", "l2", "micro_batch") if name in chosen}
    gradients = make_gradients(problem.net, problem.loss, **kept)

    def step(xp: Any, state: Any, batch: Any) -> Any:
        value, _, grads, running = gradients(xp, state, batch)
        return {**state, "running": running, "grads": grads}, {"loss": value}

    return step


def moved(arrays: Any, eps: float, rng: np.random.Generator) -> Any:
    """Return the arrays, their floats changed by at most `eps`, relatively."""

    def change(array: Any) -> Any:
        array = np.asarray(array)
        if array.dtype.kind != "f":
            return array
        return (array * (1.0 + eps * rng.uniform(-1, 1, size=array.shape))).astype(array.dtype)

    return tree.map(change, arrays)


def assert_agree(
    compiler: Compiler, step: Any, problem: Problem, state: Any, tolerance: float, eps: float
) -> None:
    """Assert that a step's states and metrics are the eager ones, as far as those are sure."""
    data, controls = problem.data(), problem.controls()
    eager = eager_scan(get("numpy", problem.dtype), step)
    expected = flattened(run(eager, state, data, controls))
    found = flattened(run(compiler(step), state, data, controls))
    assert {k: (v.shape, v.dtype) for k, v in expected.items()} == {
        k: (v.shape, v.dtype) for k, v in found.items()
    }
    floor = FLOOR[eps]
    close = {name: agrees(expected[name], found[name], tolerance, floor) for name in expected}
    if all(close.values()):
        return
    rng = np.random.default_rng(0)
    spread: dict[str, Any] = {name: 0.0 for name in expected}
    for _ in range(6):
        other = {"x": moved({"x": data["x"]}, eps, rng)["x"], "y": data["y"]}
        params = moved(state["params"], eps, rng)
        near = flattened(run(eager, {**state, "params": params}, {**data, **other}, controls))
        for name, value in near.items():
            gap = np.abs(value.astype(np.float64) - expected[name].astype(np.float64))
            spread[name] = np.maximum(spread[name], np.max(gap, initial=0.0))
    if problem.dtype == "float32" and not problem.half:
        given = (widened(part) for part in (state, data, controls))
        exact = flattened(run(eager_scan(get("numpy", "float64"), step), *given))
        for name, value in exact.items():
            gap = np.abs(value - expected[name].astype(np.float64))
            spread[name] = np.maximum(spread[name], np.max(gap, initial=0.0))
    for name in expected:
        assert agrees(expected[name], found[name], tolerance, floor + WAVERS * spread[name]), (
            f"{name}: {found[name]}, eagerly {expected[name]}, uncertain by {spread[name]}"
        )


def widened(arrays: Any) -> Any:
    """Return the arrays, floats in float64."""
    return tree.map(lambda x: x.astype(np.float64) if x.dtype.kind == "f" else x, arrays)


def flattened(result: tuple[Any, Any]) -> dict[str, Any]:
    state, metrics = result
    return {
        name: np.asarray(leaf) for name, leaf in tree.flatten({"s": state, "m": metrics}).items()
    }


def agrees(expected: Any, found: Any, tolerance: float, spread: float = 0.0) -> bool:
    if np.isnan(spread):
        return True
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True):
        return False
    scale = np.max(np.abs(expected[finite]), initial=0.0)
    gap = np.abs(expected[finite].astype(np.float64) - found[finite].astype(np.float64))
    return bool(np.max(gap, initial=0.0) <= tolerance * float(scale) + spread)


def assert_gradients_agree(compiler: Compiler, problem: Problem) -> None:
    state = problem.state()
    state["grads"] = tree.map(np.zeros_like, state["params"])
    eps = float(np.finfo(problem.dtype).eps)
    assert_agree(compiler, gradient_step(problem), problem, state, TOLERANCE[problem.dtype], eps)


def assert_same_specials(compiler: Compiler, net: Any, loss: Any, value: float, where: str) -> None:
    """Assert that NaN and infinities stand at the same places, with the same signs."""
    problem = Problem(net, loss, cr.sgd(0.1), (), (4,), 5, 5, 1, True, "float64", 1)
    data = problem.data()
    data[where][2] = value
    state = problem.state()
    state["grads"] = tree.map(np.zeros_like, state["params"])
    step = gradient_step(problem)
    scans = (eager_scan(get("numpy", "float64"), step), compiler(step))
    ends = [flattened(run(scan, state, data, problem.controls())) for scan in scans]
    for name, expected in ends[0].items():
        assert agrees(expected, ends[1][name], 1e-12), (name, ends[1][name], expected)
