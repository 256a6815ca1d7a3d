"""The graph of a traced function: operations on arrays whose shapes and dtypes are known.

A graph only grows; a node that was made before is returned again (common subexpressions), and
arithmetic on constants is done at once. What no output needs is never looked at (dead code).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

DType = np.dtype[Any]
Shape = tuple[int, ...]

BOOL = np.dtype(np.bool_)

UNARY = (
    "neg", "abs", "sqrt", "exp", "expm1", "log", "log1p", "tanh", "sign", "floor", "ceil", "round",
    "sin", "cos", "isfinite", "isnan", "not",
)  # fmt: skip
FLOATS_ONLY = frozenset((
    "sqrt", "exp", "expm1", "log", "log1p", "tanh", "sign", "floor", "ceil", "round", "sin", "cos",
    "pow", "div",
))  # fmt: skip
BINARY = (
    "add", "sub", "mul", "div", "pow", "maximum", "minimum",
    "and", "or", "xor", "shl", "shr",
)  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
ELEMENTWISE = frozenset((*UNARY, *BINARY, *COMPARISONS, "where", "cast", "copy"))
VIEWS = frozenset(("permute", "reshape", "broadcast", "slice", "take", "take_along"))

_EVALUATED: dict[str, Any] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1,
    "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "maximum": np.maximum, "minimum": np.minimum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """One array of the traced function.

    op: ``input`` (detail: its name), ``const`` (its value), ``array`` (a host array), ``iota``
    (no detail: 0, 1, … along the only axis), an elementwise operation (arguments of its own shape
    or broadcast to it by `broadcast` nodes), a view (detail: what it looks at), ``reduce.sum`` and
    so on (detail: the axes, which are dropped), ``matmul`` of two matrices, ``concat`` (detail: the
    axis).
    """

    number: int
    op: str
    args: tuple["Node", ...]
    shape: Shape
    dtype: DType
    detail: Any = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_call(self) -> bool:
        """Whether NumPy would compute it with a call of its own, products aside."""
        return self.op in ELEMENTWISE or self.op.startswith("reduce.")

    def __repr__(self) -> str:
        args = " ".join(f"%{arg.number}" for arg in self.args)
        detail = "" if self.detail is None else f" [{self.detail}]"
        return f"%{self.number} = {self.op} {args}{detail} : {self.dtype.name}{list(self.shape)}"


@dataclass
class Graph:
    """Nodes in the order they were made; every argument stands before the node that uses it."""

    nodes: list[Node] = field(default_factory=list[Node])
    _known: dict[Any, Node] = field(default_factory=dict[Any, Node], repr=False)

    def make(
        self, op: str, args: Sequence[Node], shape: Shape, dtype: DType, detail: Any = None
    ) -> Node:
        """Return the node of these properties, a new one if there is none yet."""
        key = (op, tuple(arg.number for arg in args), shape, dtype, detail)
        node = self._known.get(key)
        if node is None:
            node = Node(len(self.nodes), op, tuple(args), shape, dtype, detail)
            self.nodes.append(node)
            self._known[key] = node
        return node

    def constant(self, value: Any, dtype: DType) -> Node:
        """Return a 0-d constant; NaN and the signs of zeros are kept apart by their bits."""
        held = np.asarray(value).astype(dtype)
        node = self._known.get(("const", dtype, held.tobytes()))
        if node is None:
            node = Node(len(self.nodes), "const", (), (), dtype, held[()])
            self.nodes.append(node)
            self._known["const", dtype, held.tobytes()] = node
        return node

    def array(self, host: NDArray[Any]) -> Node:
        """Return a host array that the function closes over."""
        host = np.require(host, requirements=["C", "A"])
        key = ("array", host.dtype, host.shape, host.tobytes())
        node = self._known.get(key)
        if node is None:
            node = Node(len(self.nodes), "array", (), host.shape, host.dtype, host)
            self.nodes.append(node)
            self._known[key] = node
        return node

    def elementwise(self, op: str, args: Sequence[Node], dtype: DType) -> Node:
        """Return an elementwise node, its arguments broadcast to one shape."""
        if all(arg.op == "const" for arg in args) and op in _EVALUATED:
            with np.errstate(all="ignore"):
                value = _EVALUATED[op](*(arg.detail for arg in args))
            return self.constant(value, dtype)
        if op == "cast" and args[0].dtype == dtype:
            return args[0]
        if op == "cast" and args[0].op == "const":
            with np.errstate(all="ignore"):
                return self.constant(args[0].detail, dtype)
        if op in ("mul", "div") and args[1].op == "const" and args[1].detail == 1:
            return self.broadcast(args[0], np.broadcast_shapes(*(arg.shape for arg in args)))
        if op == "mul" and args[0].op == "const" and args[0].detail == 1:
            return self.broadcast(args[1], np.broadcast_shapes(*(arg.shape for arg in args)))
        shape = np.broadcast_shapes(*(arg.shape for arg in args))
        return self.make(op, [self.broadcast(arg, shape) for arg in args], shape, dtype)

    def broadcast(self, x: Node, shape: Shape) -> Node:
        if x.shape == shape:
            return x
        if np.broadcast_shapes(x.shape, shape) != shape:
            raise ValueError(f"cannot broadcast {x.shape} to {shape}")
        if x.op == "broadcast":
            x = x.args[0]
        return self.make("broadcast", [x], shape, x.dtype)

    def reshape(self, x: Node, shape: Shape) -> Node:
        if x.shape == shape:
            return x
        if x.op == "reshape":
            return self.reshape(x.args[0], shape)
        return self.make("reshape", [x], shape, x.dtype)

    def permute(self, x: Node, axes: tuple[int, ...]) -> Node:
        if sorted(axes) != list(range(x.rank)):
            raise ValueError(f"axes {axes} are no order of those of shape {x.shape}")
        if axes == tuple(range(x.rank)):
            return x
        if x.op == "permute":
            return self.permute(x.args[0], tuple(x.detail[axis] for axis in axes))
        return self.make("permute", [x], tuple(x.shape[axis] for axis in axes), x.dtype, axes)

    def reduce(self, kind: str, x: Node, axes: tuple[int, ...], dtype: DType) -> Node:
        """Return the reduction over `axes`, which are dropped from the shape."""
        if x.dtype != dtype:
            x = self.elementwise("cast", [x], dtype)
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        if all(x.shape[axis] == 1 for axis in axes):
            return self.reshape(x, shape)
        return self.make(f"reduce.{kind}", [x], shape, dtype, axes)


def needed(outputs: Iterable[Node]) -> list[Node]:
    """Return the nodes that the outputs need, arguments first."""
    found: dict[int, Node] = {}
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if node.number not in found:
            found[node.number] = node
            waiting += node.args
    return [found[number] for number in sorted(found)]
