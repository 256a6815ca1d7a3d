"""Compiled steps against eager ones: gradients and whole states of random training problems."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from backends.agreement import (
    HALF,
    LOSSES,
    agrees,
    assert_agree,
    assert_gradients_agree,
    assert_same_specials,
    flattened,
)
from backends.test_native_models import (
    ACTIVATIONS,
    OTHERS,
    Problem,
    eagerly,
    problems,
    run,
)
from chainrule import tree
from chainrule.backends import get
from chainrule.backends.scan import eager_scan
from chainrule.losses import SoftmaxCrossEntropy
from chainrule.ops.dropout import keep_mask
from chainrule.ops.random import Key, bits, host_key

pytest.importorskip("llvmlite")

from chainrule.backends.native.steps import NativeSteps


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


@settings(max_examples=120)
@given(problems(dtype="float64", steps=1))
def test_gradients_float64(problem: Problem) -> None:
    assert_gradients_agree(NativeSteps, problem)


@settings(max_examples=60)
@given(problems(dtype="float32", steps=1))
def test_gradients_float32(problem: Problem) -> None:
    assert_gradients_agree(NativeSteps, problem)


@settings(max_examples=60)
@given(problems(dtype="float64", steps=3))
def test_states_float64(problem: Problem) -> None:
    assert_agree(NativeSteps, problem.step(), problem, problem.state(), 3e-12, 2.0**-52)


@settings(max_examples=40)
@given(problems(dtype="float32", steps=3))
def test_states_float32(problem: Problem) -> None:
    assert_agree(NativeSteps, problem.step(), problem, problem.state(), 3e-5, 2.0**-23)


@settings(max_examples=40)
@given(problems(dtype="float32", half=True, steps=2))
def test_states_float16(problem: Problem) -> None:
    assert_agree(NativeSteps, problem.step(), problem, problem.state(), HALF, 2.0**-11)


@settings(max_examples=15)
@given(problems(steps=2), st.integers(1, 9))
def test_batches_of_other_sizes(problem: Problem, rows: int) -> None:
    """A tail is run by a program of its own, which goes on with the same state."""
    if getattr(problem.net, "needs_two_rows", False):
        rows, problem = max(rows, 2), replace(problem, settings=())
    rows = min(rows, problem.samples)
    eager = eager_scan(get("numpy", "float64"), problem.step())
    native = NativeSteps(problem.step())
    data, state = problem.data(), problem.state()
    ends = []
    for scan in (eager, native):
        now = tree.map(np.array, state)
        for first, size in ((0, problem.rows), (2, rows), (4, problem.rows)):
            now, _ = run(scan, now, data, problem.controls(size, first))
        ends.append(flattened((now, {})))
    steady = float(np.max(np.abs(ends[0]["s.params." + next(iter(tree.flatten(state["params"])))])))
    for name, value in ends[0].items():
        if name.startswith("s.params") and not fragile(problem.net):
            assert agrees(value, ends[1][name], 1e-9, 1e-9 * steady), name


def fragile(net: Any) -> bool:
    """Whether the network normalises, so that gradients may be 0 but for rounding."""
    return any(
        isinstance(layer, cr.BatchNorm | cr.LayerNorm | cr.Softmax)
        or (isinstance(layer, cr.Sequential) and fragile(layer))
        for layer in net.layers
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("layer", [*ACTIVATIONS, *OTHERS], ids=repr)
def test_nan_and_inf_in_inputs(layer: Any, value: float) -> None:
    net = cr.Sequential(layer, cr.Dense(3), layer, cr.Dense(2))
    assert_same_specials(NativeSteps, net, cr.losses.SquaredError(), value, "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("where", ["x", "y", "weight"])
def test_nan_and_inf_in_losses(loss: Any, value: float, where: str) -> None:
    if where == "y" and loss.task == "classification":
        pytest.skip("labels are integers")
    net = cr.Sequential(cr.Dense(3), cr.Tanh(), cr.Dense(2))
    assert_same_specials(NativeSteps, net, loss, value, where)


@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**20),
    st.text("abc./0", max_size=6),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.floats(0, 0.99),
)
def test_dropout_masks(seed: int, step: int, place: str, shape: list[int], rate: float) -> None:
    """Masks and words are the same bit for bit, whatever the shape."""
    count = int(np.prod(shape))

    def draw(xp: Any, state: Any, batch: Any) -> Any:
        key = Key(batch["key"], place)
        mask = keep_mask(xp, key, tuple(shape), rate)
        return {"mask": mask, "words": bits(xp, key, count)}, {"loss": xp.sum(batch["x"])}

    state = {"mask": np.zeros(shape, bool), "words": np.zeros(count, np.int32)}
    controls = {
        "indices": np.zeros((1, 1), np.int64),
        "learning_rate": np.zeros(1),
        "key": host_key(seed, step)[None],
    }
    data = {"x": np.zeros((1, 1))}
    eager, _ = run(eager_scan(get("numpy", "float64"), draw), state, data, controls)
    native, _ = run(NativeSteps(draw), state, data, controls)
    for name in state:
        np.testing.assert_array_equal(native[name], eager[name], strict=True)


CASES = {
    "one feature": (cr.Sequential(cr.Dense(1)), (1,), 4),
    "one row": (cr.Sequential(cr.Dense(3), cr.ReLU(), cr.Dense(2)), (4,), 1),
    "one of everything": (cr.Sequential(cr.Dense(1)), (1,), 1),
    "three axes": (
        cr.Sequential(cr.LayerNorm(), cr.Tanh(), cr.LayerNorm(), cr.Flatten(), cr.Dense(2)),
        (3, 5),
        4,
    ),
    "four axes": (
        cr.Sequential(cr.BatchNorm(), cr.Softmax(), cr.Flatten(), cr.Dense(2)),
        (2, 1, 3),
        4,
    ),
    "kept values": (
        cr.Sequential(cr.Dense(6), cr.Softmax(), cr.BatchNorm(), cr.Dense(6)),
        (6,),
        7,
    ),
    "large batch": (cr.Sequential(cr.Dense(3), cr.ReLU(), cr.Dense(1)), (2,), 5000),
    "wide": (cr.Sequential(cr.Dense(700), cr.ReLU(), cr.Dense(300)), (130,), 3),
    "deep": (cr.Sequential(*[cr.Dense(2), cr.Tanh()] * 30, cr.Dense(1)), (2,), 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes(case: str, dtype: str) -> None:
    net, in_shape, rows = CASES[case]
    loss, rule = cr.losses.SquaredError(), cr.adam(0.01)
    assert_gradients_agree(
        NativeSteps, Problem(net, loss, rule, (), in_shape, rows, rows, 1, True, dtype, 1)
    )


@pytest.mark.parametrize("outputs", [1, 2, 40])
def test_classes(outputs: int) -> None:
    net = cr.Sequential(cr.Dense(outputs))
    loss, rule = SoftmaxCrossEntropy(0.1), cr.adam(0.01)
    assert_gradients_agree(
        NativeSteps, Problem(net, loss, rule, (), (3,), 7, 7, 1, False, "float64", 1)
    )


@pytest.mark.parametrize("parts", [3, 500])
def test_many_parts_of_a_batch(parts: int) -> None:
    net = cr.Sequential(cr.Dense(1, use_bias=False))
    chosen = (("micro_batch", 1),)
    loss, rule = cr.losses.SquaredError(), cr.sgd(0.1)
    problem = Problem(net, loss, rule, chosen, (1,), parts, parts, 1, False, "float64", 1)
    assert_gradients_agree(NativeSteps, problem)


def test_metrics_come_a_step(tmp_path: Path) -> None:
    net = cr.Sequential(cr.Dense(2))
    problem = Problem(
        net, cr.losses.SquaredError(), cr.sgd(0.1), (), (3,), 8, 4, 5, True, "float64", 1
    )
    state, data, controls = problem.state(), problem.data(), problem.controls()
    _, expected = eagerly(problem, state, data, controls)
    _, found = run(NativeSteps(problem.step()), state, data, controls)
    assert set(found) == {"loss", "weight"}
    for name in expected:
        assert found[name].shape == (5,)
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
