"""The graph and the symbolic arrays: what is shared, folded, refused, and of which dtype."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.trace.array import TraceError
from chainrule.trace.graph import Graph
from chainrule.trace.tracing import Trace, trace

X = np.ones((3, 4))


def traced(function: Callable[[Any, Any], Any], x: Any = X) -> Trace:
    """Trace ``function(xp, x)``."""
    return trace(lambda xp, given: {"y": function(xp, given["x"])}, given={"x": x})


def operations(found: Trace) -> list[str]:
    return [node.op for node in found.nodes]


def test_common_subexpressions_are_one_node() -> None:
    found = traced(lambda xp, x: xp.exp(x) + xp.exp(x) * xp.exp(1.0 * x))
    assert operations(found).count("exp") == 1


def test_dead_code_is_left_out() -> None:
    def function(xp: Any, x: Any) -> Any:
        xp.exp(x)
        return x + 1.0

    assert "exp" not in operations(traced(function))


def test_what_differs_is_not_shared() -> None:
    found = traced(lambda xp, x: x[0] + x[1] + xp.sum(x, axis=0) + xp.max(x, axis=0))
    assert operations(found).count("slice") == 2
    assert {"reduce.sum", "reduce.max"} <= set(operations(found))


def test_arithmetic_on_constants_is_done_at_once() -> None:
    found = traced(lambda xp, x: x * xp.sqrt(xp.asarray(4.0) + 5.0) - xp.exp(xp.asarray(0.0)))
    assert sorted(operations(found)) == ["broadcast", "broadcast", "const", "const", "input",
                                         "mul", "sub"]  # fmt: skip
    assert sorted(n.detail for n in found.nodes if n.op == "const") == [1.0, 3.0]


@given(st.floats(width=32), st.floats(width=32))
def test_constants_are_told_apart_by_their_bits(a: float, b: float) -> None:
    graph = Graph()
    first, second = (graph.constant(value, np.dtype(np.float32)) for value in (a, b))
    same_bits = np.float32(a).tobytes() == np.float32(b).tobytes()
    assert (first is second) == same_bits


def test_signed_zeros_and_nan_stay_what_they_are() -> None:
    graph = Graph()
    double = np.dtype(np.float64)
    zero, minus, nan = (graph.constant(value, double) for value in (0.0, -0.0, np.nan))
    assert zero is not minus
    assert np.signbit(minus.detail)
    assert graph.constant(np.nan, double) is nan
    assert graph.elementwise("add", [minus, minus], double) is minus
    assert graph.elementwise("mul", [zero, graph.constant(-1.0, double)], double) is minus
    assert np.isnan(graph.elementwise("sub", [nan, nan], double).detail)


def test_constants_of_other_dtypes_are_others() -> None:
    graph = Graph()
    made = {graph.constant(1, np.dtype(name)) for name in ("int32", "int64", "float32", "float64")}
    assert len(made) == 4


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: x * 1.0,
        lambda xp, x: 1.0 * x,
        lambda xp, x: x / 1.0,
        lambda xp, x: xp.astype(x, x.dtype),
        lambda xp, x: xp.reshape(xp.reshape(x, (12,)), (3, 4)),
        lambda xp, x: x.T.T,
        lambda xp, x: xp.permute_dims(x, (0, 1)),
        lambda xp, x: x[...],
        lambda xp, x: xp.broadcast_to(x, (3, 4)),
        lambda xp, x: x**1,
        lambda xp, x: xp.squeeze(xp.sum(x[None], axis=0, keepdims=True), axis=0),
    ],
)
def test_what_changes_nothing_is_nothing(function: Any) -> None:
    assert operations(traced(function)) == ["input"]


@pytest.mark.parametrize("function", [lambda xp, x: x + 0.0, lambda xp, x: x * 0.0])
def test_zeros_are_not_simplified(function: Any) -> None:
    """x + 0.0 turns -0.0 into 0.0, and x * 0.0 keeps NaN."""
    assert len(operations(traced(function))) > 1


REFUSED = {
    "bool()": lambda xp, x: x if xp.sum(x) > 0 else -x,
    "float()": lambda xp, x: x * float(xp.sum(x)),
    "int()": lambda xp, x: x[: int(xp.sum(x))],
    "item()": lambda xp, x: x * x.item(),
    "tolist()": lambda xp, x: x.tolist(),
    "np.asarray()": lambda xp, x: np.asarray(x),
    "mask": lambda xp, x: x[x > 0],
    "assignment": lambda xp, x: x.__setitem__(0, 1.0),
    "xp.cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=0),
    "xp.linalg": lambda xp, x: xp.linalg.norm(x),
    "division of integers": lambda xp, x: xp.astype(x, xp.int32) / xp.astype(x, xp.int32),
    "matmul of int32": lambda xp, x: xp.astype(x, xp.int32) @ xp.astype(x, xp.int32).T,
    "take without an axis": lambda xp, x: xp.take(x, xp.asarray([0])),
    "shl": lambda xp, x: xp.astype(x, xp.int32) << xp.astype(x, xp.int32),
    "pow of int32": lambda xp, x: xp.astype(x, xp.int32) ** 5,
    "exp of int32": lambda xp, x: xp.exp(xp.astype(x, xp.int32)),
    "floor of int32": lambda xp, x: xp.floor(xp.astype(x, xp.int32)),
    "sign of int32": lambda xp, x: xp.sign(xp.astype(x, xp.int32)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_operations_are_named(name: str) -> None:
    """They are refused while tracing, so that a trainer can still run them eagerly."""
    with pytest.raises(TraceError) as caught:
        traced(REFUSED[name])
    assert name in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_a_namespace_can_be_asked_what_it_has() -> None:
    """``hasattr`` and ``getattr`` with a default are how code asks; they may not raise."""
    asked = []

    def function(xp: Any, x: Any) -> Any:
        asked.append(hasattr(xp, "init"))
        return x

    traced(function)
    assert asked == [False]


def test_wrong_shapes_are_errors() -> None:
    for function in (
        lambda xp, x: x @ x,
        lambda xp, x: xp.reshape(x, (5, 2)),
        lambda xp, x: x + xp.ones((2, 4)),
        lambda xp, x: xp.squeeze(x, axis=0),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            traced(function)
    with pytest.raises(IndexError):
        traced(lambda xp, x: x[0, 0, 0])
    with pytest.raises(IndexError):
        traced(lambda xp, x: x[7])


PROMOTED: Any = {
    "python int": lambda xp, x: x + 1,
    "python float": lambda xp, x: x * 2.0,
    "reflected": lambda xp, x: 1.0 - x,
    "comparison": lambda xp, x: x > 0,
    "where": lambda xp, x: xp.where(x > 0, x, 0.0),
    "sum of bools": lambda xp, x: xp.sum(x > 0),
    "sum of int8": lambda xp, x: xp.sum(xp.astype(x, xp.int8), axis=0),
    "mean": lambda xp, x: xp.mean(x, axis=1),
    "double": lambda xp, x: x + np.float64(1.0),
    "double array": lambda xp, x: x + np.ones(4),
    "int array": lambda xp, x: x * np.arange(4),
    "all": lambda xp, x: xp.all(x > 0, axis=1),
    "power": lambda xp, x: x**2,
    "clip": lambda xp, x: xp.clip(x, 0.0, 1.0),
    "slice": lambda xp, x: x[1:, None, ::-1],
    "integer": lambda xp, x: x[-1],
    "stack": lambda xp, x: xp.stack([x, x], axis=-1),
    "concat": lambda xp, x: xp.concat([x, x], axis=1),
    "flat concat": lambda xp, x: xp.concat([x, x], axis=None),
    "matmul vector": lambda xp, x: x @ xp.ones(4, dtype=x.dtype),
    "vector matmul": lambda xp, x: xp.ones(3, dtype=x.dtype) @ x,
    "vecdot": lambda xp, x: xp.vecdot(x, x),
    "take": lambda xp, x: xp.take(x, xp.asarray([2, 0, 0]), axis=1),
    "arange": lambda xp, x: xp.arange(5, -3, -2),
    "full": lambda xp, x: xp.full((2, 3), 7, dtype=xp.int32),
    "zeros like": lambda xp, x: xp.zeros_like(x),
    "maximum": lambda xp, x: xp.maximum(x, 0.5),
}


@pytest.mark.parametrize("name", PROMOTED)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_shapes_and_dtypes_are_those_of_numpy(name: str, dtype: str) -> None:
    x = X.astype(dtype)
    expected = np.asarray(PROMOTED[name](np, x))
    found = traced(PROMOTED[name], x).outputs["y"]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
