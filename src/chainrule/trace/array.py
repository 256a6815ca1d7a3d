"""The symbolic array that a traced function computes with."""

from collections.abc import Callable
from types import EllipsisType
from typing import Any, cast

import numpy as np

from chainrule.errors import InputError
from chainrule.trace.graph import BOOL, COMPARISONS, FLOATS_ONLY, DType, Graph, Node, Shape

Index = int | slice | None | EllipsisType


class TraceError(InputError):
    """The function cannot be traced; the message names the operation."""


class MissingError(TraceError, AttributeError):
    """The namespace has no such function; ``hasattr`` may ask."""


def promoted(*operands: Any) -> DType:
    """Return the dtype of an operation, Python scalars taking the arrays' (NEP 50)."""
    return np.result_type(*(x.dtype if isinstance(x, Traced) else x for x in operands))


def lift(graph: Graph, x: Any, dtype: DType) -> Node:
    """Return a number or a symbolic array as a node of `dtype`."""
    if isinstance(x, Traced):
        return graph.elementwise("cast", [x.node], dtype)
    if isinstance(x, bool | int | float | np.generic):
        return graph.constant(x, dtype)
    if isinstance(x, np.ndarray):
        return graph.elementwise("cast", [graph.array(cast(Any, x))], dtype)
    raise TraceError(f"arithmetic with {type(x).__name__}")


def elementwise(op: str, *operands: Any, result: DType | None = None) -> "Traced":
    """Record an elementwise operation; `result` is its dtype where that is not the operands'."""
    graph = next(x.graph for x in operands if isinstance(x, Traced))
    dtype = promoted(*operands)
    if dtype.kind != "f" and op in FLOATS_ONLY:
        raise TraceError(f"{op} of {dtype.name}")
    if op in ("shl", "shr") and not _shifts(operands[1], dtype):
        raise TraceError(f"{op} by anything but a number from 0 to {8 * dtype.itemsize - 1}")
    args = [lift(graph, x, dtype) for x in operands]
    return Traced(graph, graph.elementwise(op, args, dtype if result is None else result))


def _shifts(count: Any, dtype: DType) -> bool:
    return isinstance(count, int) and 0 <= count < 8 * dtype.itemsize and dtype.kind in "iu"


_OPERATORS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "matmul": "matmul",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor",
}  # fmt: skip


def _binary(op: str) -> Callable[["Traced", Any], "Traced"]:
    return lambda self, other: elementwise(op, self, other)


def _reflected(op: str) -> Callable[["Traced", Any], "Traced"]:
    return lambda self, other: elementwise(op, other, self)


def _comparison(op: str) -> Callable[["Traced", Any], "Traced"]:
    return lambda self, other: elementwise(op, self, other, result=BOOL)


def _unary(op: str) -> Callable[["Traced"], "Traced"]:
    return lambda self: elementwise(op, self)


def _divide(x: Any, y: Any) -> "Traced":
    dtype = promoted(x, y)
    if dtype.kind != "f":
        raise TraceError("division of integers")
    return elementwise("div", x, y)


def _refused(what: str) -> Callable[..., Any]:
    def refuse(self: "Traced", *_: Any, **__: Any) -> Any:
        raise TraceError(f"{what} reads an array's values on the host")

    return refuse


class Traced:
    """An array without values: every operation on it is recorded in its graph."""

    __slots__ = ("graph", "node")
    __hash__ = None  # pyright: ignore
    device = None

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node

    def __repr__(self) -> str:
        return f"Traced({self.node!r})"

    @property
    def shape(self) -> Shape:
        return self.node.shape

    @property
    def ndim(self) -> int:
        return self.node.rank

    @property
    def size(self) -> int:
        return self.node.size

    @property
    def dtype(self) -> DType:
        return self.node.dtype

    @property
    def T(self) -> "Traced":  # noqa: N802 - the standard's name
        if self.ndim != 2:
            raise ValueError(f".T of shape {self.shape}, expected a matrix; use permute_dims")
        return self._of(self.graph.permute(self.node, (1, 0)))

    @property
    def mT(self) -> "Traced":  # noqa: N802 - the standard's name
        axes = (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2)
        return self._of(self.graph.permute(self.node, axes))

    def _of(self, node: Node) -> "Traced":
        return Traced(self.graph, node)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """NumPy's part in ``array * traced``; its functions by name are refused."""
        op = _OPERATORS.get(ufunc.__name__)
        if op is None or method != "__call__" or settings:
            raise TraceError(f"np.{ufunc.__name__} instead of xp.{ufunc.__name__}")
        if op == "matmul":
            return matmul(*inputs)
        if op == "div":
            return _divide(*inputs)
        return elementwise(op, *inputs, result=BOOL if op in COMPARISONS else None)

    def __len__(self) -> int:
        return self.shape[0]

    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("sub"), _reflected("sub")
    __mul__, __rmul__ = _binary("mul"), _reflected("mul")
    __truediv__ = _divide

    def __rtruediv__(self, other: Any) -> "Traced":
        return _divide(other, self)

    def __pow__(self, other: Any) -> "Traced":
        return elementwise("sqrt", self) if other == 0.5 else power(self, other)

    def __rpow__(self, other: Any) -> "Traced":
        return elementwise("pow", other, self)

    __and__, __rand__ = _binary("and"), _reflected("and")
    __or__, __ror__ = _binary("or"), _reflected("or")
    __xor__, __rxor__ = _binary("xor"), _reflected("xor")
    __lshift__, __rshift__ = _binary("shl"), _binary("shr")
    __neg__, __abs__, __invert__ = _unary("neg"), _unary("abs"), _unary("not")
    __lt__, __le__ = _comparison("lt"), _comparison("le")
    __gt__, __ge__ = _comparison("gt"), _comparison("ge")
    __eq__, __ne__ = _comparison("eq"), _comparison("ne")  # pyright: ignore

    def __pos__(self) -> "Traced":
        return self

    def __matmul__(self, other: Any) -> "Traced":
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Traced":
        return matmul(other, self)

    __bool__ = _refused("bool()")
    __float__ = _refused("float()")
    __int__ = _refused("int()")
    __index__ = _refused("int()")
    __complex__ = _refused("complex()")
    __array__ = _refused("np.asarray()")
    __dlpack__ = _refused("from_dlpack()")
    item = _refused("item()")
    tolist = _refused("tolist()")

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TraceError("iteration over a 0-d array")
        return (self[number] for number in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TraceError("assignment to elements; make a new array with where or concat")

    def __getitem__(self, key: Any) -> "Traced":
        """Slices, integers, None and ``...``."""
        keys = cast("tuple[Any, ...]", key if isinstance(key, tuple) else (key,))
        for part in keys:
            if isinstance(part, Traced | np.ndarray | list | bool):
                raise TraceError("indexing by an array or mask; use take or where")
            if not isinstance(part, int | np.integer | slice | None | EllipsisType):
                raise TraceError(f"an index of type {type(part).__name__}")
        return self._of(sliced(self.graph, self.node, keys))


def sliced(graph: Graph, x: Node, keys: tuple[Index, ...]) -> Node:
    """Return ``x[keys]``: a slice of every axis, then a reshape for integers and None."""
    given = sum(part is not None and part is not Ellipsis for part in keys)
    if given > x.rank:
        raise IndexError(f"too many indices: {given} for an array of shape {x.shape}")
    if Ellipsis not in keys:
        keys = (*keys, Ellipsis)
    where = keys.index(Ellipsis)
    full: tuple[Any, ...] = (slice(None),) * (x.rank - given)
    ranges: list[tuple[int, int]] = []
    between: list[int] = []
    shape: list[int] = []
    axis = 0
    for part in (*keys[:where], *full, *keys[where + 1 :]):
        if part is None:
            shape.append(1)
            continue
        size = x.shape[axis]
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            length = len(range(start, stop, step))
            shape.append(length)
        else:
            start, step, length = range(size)[int(cast(int, part))], 1, 1
        ranges.append((start, step))
        between.append(length)
        axis += 1
    taken = x
    if tuple(between) != x.shape or any(pair != (0, 1) for pair in ranges):
        taken = graph.make("slice", [x], tuple(between), x.dtype, tuple(ranges))
    return graph.reshape(taken, tuple(shape))


def power(x: Any, exponent: Any) -> Traced:
    """x**exponent; small whole exponents are products."""
    if isinstance(x, Traced) and isinstance(exponent, int | float) and exponent in (1, 2, 3):
        result = x
        for _ in range(int(exponent) - 1):
            result = result * x
        return result
    return elementwise("pow", x, exponent)


def matmul(a: Any, b: Any) -> Traced:
    """Matrix product; vectors and stacks of rows are brought to matrices."""
    graph: Graph = (a if isinstance(a, Traced) else b).graph
    dtype = promoted(a, b)
    if dtype.kind != "f":
        raise TraceError(f"matmul of {dtype.name}")
    if a.ndim == 0 or b.ndim == 0 or b.ndim > 2:
        raise TraceError(f"matmul of shapes {a.shape} and {b.shape}")
    left, right = lift(graph, a, dtype), lift(graph, b, dtype)
    inner, columns = left.shape[-1], 1 if right.rank == 1 else right.shape[1]
    if inner != right.shape[0]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    rows = left.size // inner if inner else int(np.prod(left.shape[:-1]))
    left = graph.reshape(left, (rows, inner))
    right = graph.reshape(right, (inner, columns))
    product = _product(graph, left, right, dtype)
    shape = (*a.shape[:-1], *b.shape[1:])
    return Traced(graph, graph.reshape(product, shape))


def _product(graph: Graph, left: Node, right: Node, dtype: DType) -> Node:
    """The product of two matrices; float16 is multiplied and summed in float32, as NumPy does."""
    shape = (left.shape[0], right.shape[1])
    wide = np.dtype(np.float32)
    if dtype != np.float16:
        return graph.make("matmul", [left, right], shape, dtype)
    product = graph.make(
        "matmul",
        [graph.elementwise("cast", [x], wide) for x in (left, right)],
        shape,
        wide,
    )
    return graph.elementwise("cast", [product], dtype)
