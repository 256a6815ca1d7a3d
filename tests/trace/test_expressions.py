"""Random expressions, each computed three times: by NumPy, by the loops as they read, and by LLVM.

Every value is a whole number of moderate size, so that all arithmetic is exact and results are
compared for equality: a wrong index cannot hide behind a tolerance.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.backends.native.planning import plan
from chainrule.backends.scan import eager_scan
from chainrule.backends import get

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


def unary(xp: Any, op: str, x: Any, order: Any, choice: int, shape: tuple[int, ...]) -> Any:
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
            return xp.take(full, order[: shape[axis]] % shape[axis], axis=axis)
        case "gather rows":
            return xp.take(xp.broadcast_to(x, shape), order[: shape[0]] % shape[0], axis=0)
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
            picks = xp.astype(xp.abs(xp.broadcast_to(y, shape)), xp.int64) % 1
            return xp.take_along_axis(full, picks, axis=axis)
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
