"""The program that a graph becomes: loop nests over arrays, and matrix products between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chainrule.trace.graph import DType
from chainrule.trace.index import Affine


@dataclass(frozen=True)
class Let:
    """``name = op(args)``; an argument is a name or a number of the operation's dtype."""

    name: str
    op: str
    args: tuple[Any, ...]
    dtype: DType
    of: DType
    """The dtype of the arguments (of all but a condition)."""


@dataclass(frozen=True)
class Load:
    """``name = array[index]``."""

    name: str
    array: str
    index: Affine
    dtype: DType


@dataclass(frozen=True)
class Store:
    """``array[index] = value``."""

    array: str
    index: Affine
    value: Any
    dtype: DType


@dataclass(frozen=True)
class Update:
    """``array[index] = array[index] (kind) value``."""

    array: str
    index: Affine
    kind: str
    value: Any
    dtype: DType


@dataclass(frozen=True)
class Fill:
    """Every element of an array becomes a number."""

    array: str
    size: int
    value: Any
    dtype: DType


@dataclass(frozen=True)
class Start:
    """An accumulator gets its first value."""

    name: str
    value: Any
    dtype: DType


@dataclass(frozen=True)
class Accumulate:
    """``name = name (kind) value``, for an accumulator."""

    name: str
    kind: str
    value: Any
    dtype: DType


@dataclass(frozen=True)
class Loop:
    """``for variable in range(size)``."""

    variable: str
    size: int
    body: list["Statement"]


Statement = Let | Load | Store | Update | Fill | Start | Accumulate | Loop


@dataclass
class Nest:
    """Statements that run between two products, over the arrays they name.

    `head` statements come first and `tail` last; between them stand `outer` loops, one in another,
    whose turns may run in any order: they have in common no more than what `Update` and totals
    (accumulators that the head starts) gather.
    """

    name: str
    body: list[Statement]
    head: int = 0
    outer: int = 0
    tail: int = 0

    def parts(
        self,
    ) -> tuple[list[Statement], list[tuple[str, int]], list[Statement], list[Statement]]:
        """Return the head, the outer loops' variables and sizes, what is in them, and the tail."""
        end = len(self.body) - self.tail
        inside, axes = self.body[self.head : end], list[tuple[str, int]]()
        for _ in range(self.outer):
            (loop,) = inside
            assert isinstance(loop, Loop)
            axes.append((loop.variable, loop.size))
            inside = loop.body
        return self.body[: self.head], axes, inside, self.body[end:]

    def statements(self) -> Iterator[Statement]:
        """All statements in the order they stand, loops before what is in them."""
        yield from _walk(self.body)


def _walk(body: list[Statement]) -> Iterator[Statement]:
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from _walk(statement.body)


@dataclass(frozen=True)
class Operand:
    """A matrix in row order inside an array; `transposed` as it enters the product."""

    array: str
    columns: int
    transposed: bool


@dataclass(frozen=True)
class Product:
    """``result (rows, columns) = left (rows, inner) @ right (inner, columns)``."""

    result: str
    left: Operand
    right: Operand
    rows: int
    inner: int
    columns: int
    dtype: DType


@dataclass(frozen=True)
class Copy:
    """``target[:] = source[:]``, `size` elements."""

    target: str
    source: str
    size: int
    dtype: DType


@dataclass(frozen=True)
class Array:
    """An array of the program.

    place: ``input`` (its memory is the caller's; an output that overwrites an input is that input),
    ``output``, ``constant`` or ``arena`` (then `offset`, in bytes, is where it lies).
    """

    name: str
    size: int
    dtype: DType
    place: str
    offset: int = 0
    value: Any = None

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass
class Program:
    """One step: nests, products and copies in order, and the arrays they work on.

    `results` names the array in which each output ends up.
    """

    steps: list[Nest | Product | Copy]
    arrays: dict[str, Array]
    results: dict[str, str]
    arena: int = 0

    def place(self, array: str) -> str:
        """Return what tells arrays at different places apart."""
        known = self.arrays[array]
        return f"arena {known.offset}" if known.place == "arena" else array

    def places(self, nest: Nest) -> dict[str, str]:
        """Return the name of an array at each place that the nest uses."""
        found: dict[str, str] = {}
        for statement in nest.statements():
            if isinstance(statement, Load | Store | Update | Fill):
                found.setdefault(self.place(statement.array), statement.array)
        return found
