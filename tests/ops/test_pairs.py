"""Every pair against numerical derivatives: shapes, strides, empty and one-row batches."""

import inspect
import pkgutil
from importlib import import_module
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import ops
from chainrule.ops.activations.tanh import tanh_backward, tanh_forward
from ops.layouts import LAYOUTS, arrange
from ops.numerical import along, gradient, relative_error
from ops.pairs import CASES, Case, smooth

EXAMPLES = 200
TOLERANCE = 1e-6
SMALLEST = 1e-3
"""Errors are relative to the derivative, or to SMALLEST times the largest |dy| if that is more."""


@st.composite
def problems(draw: st.DrawFn, case: Case) -> tuple[int, tuple[int, ...], dict[str, float], str]:
    """Return a seed for the values, the shape, the settings and the layout."""
    shape = (
        draw(st.sampled_from([0, 1, 2, 3, 5])),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
    )
    ndim = draw(st.sampled_from(case.ndims))
    ranges = {name: st.floats(low, high) for name, (low, high) in case.ranges.items()}
    return (
        draw(st.integers(0, 2**32 - 1)),
        shape[:1] + shape[4 - ndim :],
        draw(st.fixed_dictionaries(ranges)),
        draw(st.sampled_from(LAYOUTS)),
    )


def worst_error(case: Case, problem: tuple[int, tuple[int, ...], dict[str, float], str]) -> float:
    """Return the worst relative error of one example: each element, and the one-line law."""
    seed, shape, own, layout = problem
    rng = np.random.default_rng(seed)
    inputs, constants = case.draw(rng, shape, own)
    inputs = tuple(arrange(x, layout) for x in inputs)
    constants = tuple(arrange(x, layout) for x in constants)

    def f(*x: Any) -> Any:
        return case.forward(np, *x, *constants, **own)[0]

    y, residuals = case.forward(np, *inputs, *constants, **own)
    dy = arrange(rng.normal(size=y.shape), layout)
    grads = case.backward(np, residuals, dy, own)
    scale = SMALLEST * float(np.max(np.abs(dy), initial=0.0))
    worst = 0.0
    for number, x in enumerate(inputs):
        assert grads[number].shape == x.shape
        assert grads[number].dtype == np.float64
        expected = gradient(lambda *x: float(np.sum(dy * f(*x))), inputs, number)
        worst = max(worst, relative_error(grads[number], expected, scale))
    v = [rng.normal(size=x.shape) for x in inputs]
    right = sum(float(np.sum(grad * a)) for grad, a in zip(grads, v, strict=False))
    jv = along(f, inputs, v)
    left = float(np.sum(dy * jv))
    size = float(np.linalg.norm(dy) * np.linalg.norm(jv))
    return max(worst, relative_error(right, left, max(size, scale)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pair_is_the_derivative(case):
    errors: list[float] = []

    @settings(max_examples=EXAMPLES)
    @given(problems(case))
    def check(problem):
        errors.append(worst_error(case, problem))
        assert errors[-1] <= TOLERANCE

    check()
    print(f"{case.name}: {len(errors)} examples, worst relative error {max(errors):.1e}")
    assert len(errors) >= EXAMPLES


def test_a_wrong_derivative_is_seen():
    def backward(xp, residuals, dy):
        return tanh_backward(xp, residuals, dy) * (1.0 + 1e-5)

    case = Case("wrong", tanh_forward, backward, smooth)
    assert worst_error(case, (0, (3, 4), {}, "C")) > TOLERANCE


def _functions(suffix: str) -> dict[str, FunctionType]:
    found: dict[str, FunctionType] = {}
    for info in pkgutil.walk_packages(ops.__path__, "chainrule.ops."):
        module = import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.endswith(suffix) and function.__module__ == info.name:
                found[f"{info.name}.{name.removesuffix(suffix)}"] = function
    return found


def test_every_pair_has_a_case():
    covered = {case.proves for case in CASES}
    missing = [
        name for name, function in _functions("_backward").items() if function not in covered
    ]
    assert missing == [], "add a Case to tests/ops/pairs.py for each"


def test_forward_and_backward_stand_together():
    forward, backward = _functions("_forward"), _functions("_backward")
    assert forward.keys() == backward.keys()
    assert len(forward) >= 19
    for name, function in forward.items():
        lines, start = inspect.getsourcelines(function)
        gap = inspect.getsourcelines(backward[name])[1] - (start + len(lines))
        assert 0 <= gap <= 2, name
