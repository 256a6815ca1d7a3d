"""The Array API namespace that records."""

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np

from chainrule.trace.array import (
    MissingError,
    Traced,
    TraceError,
    elementwise,
    lift,
    matmul,
    power,
    promoted,
)
from chainrule.trace.graph import BOOL, DType, Graph, Node, Shape

Axis = int | tuple[int, ...] | None

_SINGLE = np.dtype(np.float32)
"""The dtype in which float16 is summed, as NumPy does."""


def _unary(op: str, result: DType | None = None) -> Any:
    def record(self: "Recorder", x: Any, /) -> Traced:
        return elementwise(op, self.array(x), result=result)

    return record


def _binary(op: str, result: DType | None = None) -> Any:
    def record(self: "Recorder", x: Any, y: Any, /) -> Traced:
        return elementwise(op, x if isinstance(y, Traced) else self.array(x), y, result=result)

    return record


def _logical(op: str) -> Any:
    def record(self: "Recorder", *operands: Any) -> Traced:
        return elementwise(op, *(self.astype(self.array(x), BOOL) for x in operands))

    return record


class Recorder:
    """What a traced function gets as ``xp``; it records into one graph."""

    float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
    int8, int16, int32, int64 = map(np.dtype, ("int8", "int16", "int32", "int64"))
    uint8, uint16, uint32, uint64 = map(np.dtype, ("uint8", "uint16", "uint32", "uint64"))
    bool = BOOL
    pi, e, inf, nan, newaxis = np.pi, np.e, np.inf, np.nan, None
    finfo, iinfo = staticmethod(np.finfo), staticmethod(np.iinfo)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __getattr__(self, name: str) -> Any:
        raise MissingError(f"xp.{name}")

    # elementwise

    negative, abs, sqrt = _unary("neg"), _unary("abs"), _unary("sqrt")
    exp, expm1, log, log1p = _unary("exp"), _unary("expm1"), _unary("log"), _unary("log1p")
    tanh, sign, sin, cos = _unary("tanh"), _unary("sign"), _unary("sin"), _unary("cos")
    floor, ceil, round = _unary("floor"), _unary("ceil"), _unary("round")
    isfinite, isnan = _unary("isfinite", BOOL), _unary("isnan", BOOL)
    bitwise_invert, logical_not = _unary("not"), _logical("not")
    add, subtract, multiply = _binary("add"), _binary("sub"), _binary("mul")
    maximum, minimum = _binary("maximum"), _binary("minimum")
    bitwise_and, bitwise_or, bitwise_xor = _binary("and"), _binary("or"), _binary("xor")
    logical_and, logical_or, logical_xor = _logical("and"), _logical("or"), _logical("xor")
    bitwise_left_shift, bitwise_right_shift = _binary("shl"), _binary("shr")
    equal, not_equal = _binary("eq", BOOL), _binary("ne", BOOL)
    less, less_equal = _binary("lt", BOOL), _binary("le", BOOL)
    greater, greater_equal = _binary("gt", BOOL), _binary("ge", BOOL)

    def divide(self, x: Any, y: Any, /) -> Traced:
        return (x if isinstance(y, Traced) else self.array(x)) / y

    def square(self, x: Any, /) -> Traced:
        x = self.array(x)
        return x * x

    def pow(self, x: Any, y: Any, /) -> Traced:
        return power(x, y)

    def clip(self, x: Traced, /, min: Any = None, max: Any = None) -> Traced:
        if min is not None:
            x = self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def where(self, condition: Any, x: Any, y: Any, /) -> Traced:
        dtype = promoted(x, y)
        args = [lift(self.graph, condition, BOOL), *(lift(self.graph, v, dtype) for v in (x, y))]
        return self._of(self.graph.elementwise("where", args, dtype))

    def astype(self, x: Traced, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Traced:
        return self._of(self.graph.elementwise("cast", [x.node], np.dtype(dtype)))

    # creation

    def array(self, x: Any) -> Any:
        """Return numbers and host arrays as symbolic arrays, others as they are."""
        return x if isinstance(x, Traced) else self.asarray(x)

    def asarray(self, x: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
        if not isinstance(x, Traced):
            host = np.asarray(x)
            kept = self.graph.constant(host, host.dtype) if host.ndim == 0 else None
            x = self._of(kept or self.graph.array(host))
        return x if dtype is None else self.astype(x, dtype)

    def full(self, shape: Any, value: Any, *, dtype: Any = None, device: Any = None) -> Traced:
        wanted: Shape = (shape,) if isinstance(shape, int) else tuple(shape)
        of = np.result_type(value) if dtype is None else np.dtype(dtype)
        return self._of(self.graph.broadcast(lift(self.graph, value, of), wanted))

    def zeros(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Traced:
        return self.full(shape, 0, dtype=np.float64 if dtype is None else dtype)

    def ones(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Traced:
        return self.full(shape, 1, dtype=np.float64 if dtype is None else dtype)

    def full_like(self, x: Traced, value: Any, *, dtype: Any = None, device: Any = None) -> Traced:
        return self.full(x.shape, value, dtype=x.dtype if dtype is None else dtype)

    def zeros_like(self, x: Traced, /, *, dtype: Any = None, device: Any = None) -> Traced:
        return self.full_like(x, 0, dtype=dtype)

    def ones_like(self, x: Traced, /, *, dtype: Any = None, device: Any = None) -> Traced:
        return self.full_like(x, 1, dtype=dtype)

    def arange(
        self,
        start: int,
        /,
        stop: int | None = None,
        step: int = 1,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> Traced:
        if stop is None:
            start, stop = 0, start
        of = np.dtype(np.int64 if dtype is None else dtype)
        count = len(range(start, stop, step))
        numbers = self._of(self.graph.make("iota", (), (count,), of))
        numbers = numbers if step == 1 else numbers * step
        return numbers if start == 0 else numbers + start

    # reductions

    def _reduce(
        self, kind: str, x: Traced, axis: Axis, keepdims: Any, dtype: DType | None = None
    ) -> Traced:
        given = tuple(range(x.ndim)) if axis is None else axis
        given = (given,) if isinstance(given, int) else given
        axes = tuple(sorted({range(x.ndim)[one] for one in given}))
        if len(axes) < len(given):
            raise ValueError(f"axis {axis} names an axis twice")
        if kind in ("max", "min") and 0 in (x.shape[one] for one in axes):
            raise ValueError(f"{kind} over no elements: axis {axis} of shape {x.shape}")
        of = x.dtype if dtype is None else dtype
        wide = _SINGLE if kind == "sum" and of == np.float16 else of
        node = self.graph.reduce(kind, x.node, axes, wide)
        node = self.graph.elementwise("cast", [node], of)
        if keepdims:
            kept = tuple(1 if one in axes else size for one, size in enumerate(x.shape))
            node = self.graph.reshape(node, kept)
        return self._of(node)

    def sum(
        self, x: Traced, /, *, axis: Axis = None, dtype: Any = None, keepdims: Any = False
    ) -> Traced:
        widest = {"b": self.int64, "i": self.int64, "u": self.uint64}.get(x.dtype.kind, x.dtype)
        of = widest if dtype is None else np.dtype(dtype)
        return self._reduce("sum", x, axis, keepdims, of)

    def mean(self, x: Traced, /, *, axis: Axis = None, keepdims: Any = False) -> Traced:
        wide = _SINGLE if x.dtype == np.float16 else x.dtype
        total = self.sum(self.astype(x, wide), axis=axis, keepdims=keepdims)
        given = tuple(range(x.ndim)) if axis is None else axis
        axes = (given,) if isinstance(given, int) else given
        return self.astype(total / float(prod(x.shape[one] for one in axes)), x.dtype)

    def max(self, x: Traced, /, *, axis: Axis = None, keepdims: Any = False) -> Traced:
        return self._reduce("max", x, axis, keepdims)

    def min(self, x: Traced, /, *, axis: Axis = None, keepdims: Any = False) -> Traced:
        return self._reduce("min", x, axis, keepdims)

    def all(self, x: Traced, /, *, axis: Axis = None, keepdims: Any = False) -> Traced:
        return self._reduce("all", x, axis, keepdims, BOOL)

    def any(self, x: Traced, /, *, axis: Axis = None, keepdims: Any = False) -> Traced:
        return self._reduce("any", x, axis, keepdims, BOOL)

    # products

    def matmul(self, x: Any, y: Any, /) -> Traced:
        return matmul(x, y)

    def vecdot(self, x: Traced, y: Traced, /, *, axis: int = -1) -> Traced:
        return self.sum(x * y, axis=axis)

    # shapes and selections

    def reshape(self, x: Traced, /, shape: Any, *, copy: Any = None) -> Traced:
        wanted: Shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if -1 in wanted:
            rest = prod(size for size in wanted if size != -1)
            wanted = tuple(x.size // max(rest, 1) if size == -1 else size for size in wanted)
        if prod(wanted) != x.size:
            raise ValueError(f"cannot reshape {x.shape} to {shape}")
        return self._of(self.graph.reshape(x.node, wanted))

    def permute_dims(self, x: Traced, /, axes: Sequence[int]) -> Traced:
        return self._of(self.graph.permute(x.node, tuple(range(x.ndim)[axis] for axis in axes)))

    def matrix_transpose(self, x: Traced, /) -> Traced:
        return x.mT

    def expand_dims(self, x: Traced, /, *, axis: int = 0) -> Traced:
        where = range(x.ndim + 1)[axis]
        return self.reshape(x, (*x.shape[:where], 1, *x.shape[where:]))

    def squeeze(self, x: Traced, /, axis: int | tuple[int, ...]) -> Traced:
        given = (axis,) if isinstance(axis, int) else axis
        axes = [range(x.ndim)[one] for one in given]
        if any(x.shape[one] != 1 for one in axes):
            raise ValueError(f"squeeze: axes {given} of shape {x.shape} are not of size 1")
        return self.reshape(x, tuple(s for one, s in enumerate(x.shape) if one not in axes))

    def flip(self, x: Traced, /, *, axis: Axis = None) -> Traced:
        given = tuple(range(x.ndim)) if axis is None else axis
        axes = [range(x.ndim)[one] for one in ((given,) if isinstance(given, int) else given)]
        return x[tuple(slice(None, None, -1 if one in axes else 1) for one in range(x.ndim))]

    def broadcast_to(self, x: Traced, /, shape: Shape) -> Traced:
        return self._of(self.graph.broadcast(x.node, tuple(shape)))

    def concat(self, arrays: Sequence[Traced], /, *, axis: int | None = 0) -> Traced:
        if axis is None:
            arrays, axis = [self.reshape(x, (-1,)) for x in arrays], 0
        dtype = promoted(*arrays)
        where = range(arrays[0].ndim)[axis]
        parts = [lift(self.graph, x, dtype) for x in arrays]
        if len(parts) == 1:
            return self._of(parts[0])
        shape = list(parts[0].shape)
        rest = {(*part.shape[:where], *part.shape[where + 1 :]) for part in parts}
        if len(rest) > 1:
            raise ValueError(f"concat of shapes {', '.join(str(part.shape) for part in parts)}")
        shape[where] = sum(part.shape[where] for part in parts)
        return self._of(self.graph.make("concat", parts, tuple(shape), dtype, where))

    def stack(self, arrays: Sequence[Traced], /, *, axis: int = 0) -> Traced:
        return self.concat([self.expand_dims(x, axis=axis) for x in arrays], axis=axis)

    def take(self, x: Traced, indices: Traced, /, *, axis: int | None = None) -> Traced:
        if axis is None and x.ndim != 1:
            raise TraceError("take without an axis")
        where = range(x.ndim)[axis or 0]
        shape = (*x.shape[:where], *indices.shape, *x.shape[where + 1 :])
        if x.shape[where] == 0:
            raise IndexError("take from an axis without elements")
        if indices.ndim != 1:
            raise TraceError(f"take with indices of shape {indices.shape}")
        return self._of(self.graph.make("take", self._nodes(x, indices), shape, x.dtype, where))

    def take_along_axis(self, x: Traced, indices: Traced, /, *, axis: int = -1) -> Traced:
        where = range(x.ndim)[axis]
        shape = tuple(
            indices.shape[one] if one == where else size for one, size in enumerate(x.shape)
        )
        if indices.shape != shape:
            raise TraceError(f"take_along_axis with indices of shape {indices.shape}")
        return self._of(
            self.graph.make("take_along", self._nodes(x, indices), shape, x.dtype, where)
        )

    # dtypes

    def result_type(self, *operands: Any) -> DType:
        return promoted(*operands)

    def isdtype(self, dtype: Any, kind: Any) -> Any:
        return np.isdtype(np.dtype(dtype), kind)

    def _nodes(self, *arrays: Any) -> list[Node]:
        return [cast(Traced, self.array(x)).node for x in arrays]

    def _of(self, node: Node) -> Traced:
        return Traced(self.graph, node)
