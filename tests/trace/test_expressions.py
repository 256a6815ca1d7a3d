"""Random expressions, computed by NumPy, by the loops as they read, by LLVM, and by CUDA kernels.

Every value is a whole number of moderate size, so that all arithmetic is exact and results are
compared for equality: a wrong index cannot hide behind a tolerance.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.cuda import standin
from chainrule import tree
from chainrule.backends import get
from chainrule.backends.planning import plan
from chainrule.backends.scan import eager_scan

UNARY = ("neg", "abs", "half", "root", "exp", "log", "tanh", "sign", "flip", "roll", "turn",
         "regroup", "backwards", "gather", "gather rows", "row", "column", "stretch")  # fmt: skip
BINARY = ("add", "sub", "mul", "maximum", "minimum", "choose", "less", "matmul", "along", "append")
REDUCTIONS = ("sum", "max", "min", "mean", "any", "all")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


Instruction = tuple[str, int, int, int]

instructions: Any = st.lists(
    st.tuples(
        st.one_of(*map(st.sampled_from, (UNARY, BINARY, REDUCTIONS))),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 7),
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip
shapes: Any = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def whole(xp: Any, x: Any) -> Any:
    """Return x rounded down, between -40 and 40."""
    return xp.minimum(xp.maximum(xp.floor(x), -40.0), 40.0)


def unary(xp: Any, op: str, x: Any, orders: Any, choice: int, shape: tuple[int, ...]) -> Any:
    rank = len(shape)
    axis = choice % rank
    keys = [slice(None)] * rank
    match op:
        case "neg":
            return -x
        case "abs":
            return xp.abs(x)
        case "sign":
            return xp.sign(x)
        case "half":
            return x / 2.0
        case "root":
            return xp.sqrt(xp.abs(x))
        case "exp":
            return xp.round(xp.exp(xp.minimum(x, 3.0)))
        case "log":
            return xp.round(xp.log(xp.abs(x) + 1.0))
        case "tanh":
            return xp.round(xp.tanh(x) * 3.0)
        case "flip":
            return xp.flip(x, axis=axis)
        case "roll":
            first, rest = list(keys), list(keys)
            first[axis], rest[axis] = slice(1, None), slice(0, 1)
            if x.shape[axis] == 1:
                return x
            return xp.concat([x[tuple(first)], x[tuple(rest)]], axis=axis)
        case "turn":
            full = xp.broadcast_to(x, shape)
            axes = tuple(reversed(range(rank)))
            return xp.permute_dims(full, axes) if shape == shape[::-1] else full
        case "regroup":
            full = xp.reshape(xp.broadcast_to(x, shape), shape[::-1])
            return xp.reshape(whole(xp, full * 2.0), shape)
        case "backwards":
            size = int(np.prod(shape))
            flat = xp.reshape(xp.broadcast_to(x, shape), (size,))
            return xp.reshape(flat[::-1], shape)
        case "gather":
            full = xp.broadcast_to(x, shape)
            return xp.take(full, orders[f"axis{axis}"], axis=axis)
        case "gather rows":
            return xp.take(xp.broadcast_to(x, shape), orders["axis0"], axis=0)
        case "row":
            keys[axis] = slice(x.shape[axis] - 1, x.shape[axis])
            return x[tuple(keys)]
        case "column":
            chosen = tuple(0 if k == axis else slice(None) for k in range(rank))
            return xp.expand_dims(x[chosen], axis=axis)
        case _:
            return xp.broadcast_to(x, shape)


def binary(xp: Any, op: str, x: Any, y: Any, choice: int, shape: tuple[int, ...]) -> Any:
    axis = choice % len(shape)
    match op:
        case "add":
            return x + y
        case "sub":
            return x - y
        case "mul":
            return x * y
        case "maximum":
            return xp.maximum(x, y)
        case "minimum":
            return xp.minimum(x, y)
        case "choose":
            return xp.where(x > y, x, y * 2.0)
        case "less":
            return xp.astype((x < y) | (x == 3.0), xp.float64)
        case "matmul":
            full = xp.broadcast_to(x, shape)
            rows = xp.reshape(full, (int(np.prod(shape[:-1])), shape[-1]))
            other = xp.reshape(xp.broadcast_to(y, shape), rows.shape)
            product = xp.matmul(rows.T, other) if choice % 2 else xp.matmul(other.T, rows)
            return xp.reshape(xp.matmul(rows, whole(xp, product)), shape)
        case "along":
            full = xp.broadcast_to(x, shape)
            picks = xp.minimum(xp.abs(xp.broadcast_to(y, shape)), shape[axis] - 1.0)
            return xp.take_along_axis(full, xp.astype(picks, xp.int64), axis=axis)
        case _:
            keys: list[Any] = [slice(None)] * len(shape)
            keys[axis] = slice(choice % 3, choice % 3 + shape[axis])
            x, y = xp.broadcast_to(x, shape), xp.broadcast_to(y, shape)
            return xp.concat([x, y, y, y], axis=axis)[tuple(keys)]


def reduction(xp: Any, op: str, x: Any, choice: int) -> Any:
    rank = len(x.shape)
    axes = tuple(axis for axis in range(rank) if choice >> axis & 1) or None
    if op in ("any", "all"):
        return xp.astype(getattr(xp, op)(x > 0.0, axis=axes, keepdims=True), xp.float64)
    return getattr(xp, op)(x, axis=axes, keepdims=True)


def expression_step(chosen: list[Instruction], shape: tuple[int, ...]) -> Any:
    """Return a step that follows the instructions on its state."""

    def step(xp: Any, state: Any, batch: Any) -> Any:
        values = [state["a"], state["b"], state["row"], batch["x"], state["a"] * state["one"]]
        for op, first, second, choice in chosen:
            x, y = values[first % len(values)], values[second % len(values)]
            if op in UNARY:
                found = unary(xp, op, x, state["orders"], choice, shape)
            elif op in BINARY:
                found = binary(xp, op, x, y, choice, shape)
            else:
                found = reduction(xp, op, x, choice)
            values.append(whole(xp, found))
        last, before, third = values[-1], values[-2], values[-3]
        following = {
            "a": xp.broadcast_to(before, shape),
            "b": xp.broadcast_to(last, shape),
            "row": xp.max(xp.broadcast_to(third, shape), axis=0, keepdims=True),
            "one": whole(xp, xp.sum(last)) * state["one"],
            "orders": {name: xp.flip(one) for name, one in state["orders"].items()},
        }
        return following, {"loss": xp.sum(last) + xp.sum(before)}

    return step


def inputs(shape: tuple[int, ...], seed: int) -> tuple[Any, Any, Any]:
    """Return a state, data and controls of whole numbers for two steps."""
    rng = np.random.default_rng(seed)

    def draw(*size: int) -> Any:
        return rng.integers(-4, 5, size=size).astype(np.float64)

    orders = {f"axis{k}": rng.integers(size, size=size) for k, size in enumerate(shape)}
    row = draw(1, *shape[1:])
    state = {"a": draw(*shape), "b": draw(*shape), "row": row, "one": draw(), "orders": orders}
    indices = rng.integers(shape[0] + 1, size=(2, shape[0]))
    controls = {"indices": indices, "learning_rate": np.zeros(2)}
    return state, {"x": draw(shape[0] + 1, *shape[1:])}, controls


def eager_results(step: Any, state: Any, data: Any, controls: Any) -> dict[str, Any]:
    """Return what NumPy makes of the steps, by the names of a program's outputs."""
    metrics: Any = {}
    with np.errstate(all="ignore"):
        for after, _, found in eager_scan(get("numpy", "float64"), step)(state, data, controls):
            state, metrics = after, found
    results = {f"next.{name}": leaf for name, leaf in tree.flatten(state).items()}
    return results | {f"metrics.{name}": leaf[-1] for name, leaf in metrics.items()}


@settings(max_examples=250)
@given(shapes, instructions, st.integers(0, 99))
def test_loops_compute_what_numpy_computes(
    interpreted: Any, shape: tuple[int, ...], chosen: list[Instruction], seed: int
) -> None:
    step = expression_step(chosen, shape)
    state, data, controls = inputs(shape, seed)
    expected = eager_results(step, state, data, {k: v[:1] for k, v in controls.items()})
    given_arrays = {f"data.{name}": array for name, array in data.items()}
    given_arrays |= {f"controls.{name}": array[0] for name, array in controls.items()}
    given_arrays |= {f"state.{name}": leaf for name, leaf in tree.flatten(state).items()}
    program = plan(step, state, data, controls)
    found = interpreted(program, given_arrays)
    for name, value in expected.items():
        got = found.get(name, given_arrays.get(name.replace("next", "state", 1)))
        np.testing.assert_array_equal(np.asarray(got).reshape(value.shape), value, err_msg=name)


@settings(max_examples=60)
@given(shapes, instructions, st.integers(0, 99))
def test_machine_code_computes_what_numpy_computes(
    shape: tuple[int, ...], chosen: list[Instruction], seed: int
) -> None:
    pytest.importorskip("llvmlite")
    from chainrule.backends.native.steps import NativeSteps

    assert_equal_to_numpy(NativeSteps, shape, chosen, seed)


@settings(max_examples=60)
@given(shapes, instructions, st.integers(0, 99))
def test_kernels_compute_what_numpy_computes(
    shape: tuple[int, ...], chosen: list[Instruction], seed: int
) -> None:
    with standin.installed():
        assert_equal_to_numpy(standin.on_device, shape, chosen, seed)


def assert_equal_to_numpy(
    compiler: Any, shape: tuple[int, ...], chosen: list[Instruction], seed: int
) -> None:
    step = expression_step(chosen, shape)
    state, data, controls = inputs(shape, seed)
    expected = eager_results(step, state, data, controls)
    own = tree.map(np.array, state)
    found = {}
    for after, _, metrics in compiler(step)(own, data, controls):
        found = {f"next.{name}": leaf for name, leaf in tree.flatten(after).items()}
        found |= {f"metrics.{name}": leaf[-1] for name, leaf in metrics.items()}
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
