"""The statements of a nest as C, one thread's share of them."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.backends.cuda.expressions import (
    FOLDS,
    HALF,
    Lines,
    cast,
    held,
    literal,
    operation,
)
from chainrule.trace.graph import BOOL, DType
from chainrule.trace.index import Affine
from chainrule.trace.loops import (
    Accumulate,
    Fill,
    Let,
    Load,
    Loop,
    Nest,
    Program,
    Start,
    Statement,
    Store,
    Update,
)

_INDEX = np.dtype(np.int64)
Axes = list[tuple[str, int]]


class Statements:
    """Writes statements into `f`. `pointers` are the arrays of the nest; sums over rows are
    gathered in ``u0``, ``u1``, ... , one a turn where a thread has several columns.
    """

    def __init__(self, program: Program, nest: Nest) -> None:
        self.program = program
        self.nest = nest
        self.f = Lines()
        self.pointers = program.places(nest)
        self.updates = [s for s in nest.statements() if isinstance(s, Update)]
        self.kinds: dict[str, str] = {}
        self.turns = 1
        sizes = [program.arrays[name].size for name in self.pointers.values()]
        self.index = "i64" if max([_turns(nest), *sizes]) > 2**30 else "i32"

    def decode(self, linear: str, axes: Axes) -> None:
        """Write the axes' variables as parts of one number, the last axis the fastest."""
        rest = linear
        for number, (name, size) in reversed(list(enumerate(axes))):
            value = rest if number == 0 else f"{rest} % {size}"
            self.f.do(f"const {self.index} {name} = {value};")
            if number:
                rest = f"({rest} / {size})"

    def all(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        f = self.f
        match statement:
            case Let(name, op, args, dtype, of):
                if op == "index":
                    expression = cast(f"(i64)({self._index(args[0])})", _INDEX, dtype)
                else:
                    expression = operation(f, op, self._args(op, args, of), of, dtype)
                f.do(f"const {held(dtype)} {name} = {expression};")
            case Load(name, array, index, dtype):
                value = f"{self._pointer(array)}[{self._index(index)}]"
                value = f"half_to_float({value})" if dtype == HALF else value
                f.do(f"const {held(dtype)} {name} = {value};")
            case Store(array, index, value, dtype):
                self.write(array, self._index(index), self._use(value, dtype))
            case Update(_, _, kind, value, dtype):
                number = next(n for n, one in enumerate(self.updates) if one is statement)
                total = f"u{number}" if self.turns == 1 else f"u{number}[k]"
                f.do(f"{total} = {FOLDS[kind]}({total}, {self._use(value, dtype)});")
            case Start(name, value, dtype):
                f.do(f"{held(dtype)} {name} = {literal(value, dtype)};")
            case Accumulate(name, kind, value, dtype):
                self.kinds[name] = kind
                f.do(f"{name} = {FOLDS[kind]}({name}, {self._use(value, dtype)});")
            case Fill():
                pass  # sums start from their identity in registers
            case Loop():
                raise AssertionError("loops are written by their form")

    def _args(self, op: str, args: tuple[Any, ...], of: DType) -> list[str]:
        return [
            self._use(arg, BOOL if op == "where" and number == 0 else of)
            for number, arg in enumerate(args)
        ]

    def _use(self, value: Any, dtype: DType) -> str:
        return value if isinstance(value, str) else literal(value, dtype)

    def _index(self, index: Affine) -> str:
        terms = [
            f"({self.index}){n}" if c == 1 else f"({self.index}){n} * {c}" for n, c in index.terms
        ]
        if index.offset or not terms:
            terms.append(str(index.offset))
        return " + ".join(terms)

    def _pointer(self, array: str) -> str:
        return f"p{list(self.pointers).index(self.program.place(array))}"

    def write(self, array: str, index: str, value: str) -> None:
        dtype = self.program.arrays[array].dtype
        value = f"float_to_half({value})" if dtype == HALF else value
        self.f.do(f"{self._pointer(array)}[{index}] = {value};")


def axes_of(loop: Loop) -> Axes:
    """Return the variables and sizes of a loop and those that are alone in it."""
    return [(one.variable, one.size) for one in _chain(loop)]


def innermost(loop: Loop) -> list[Statement]:
    """Return what is in the last of these loops."""
    return _chain(loop)[-1].body


def _chain(loop: Loop) -> list[Loop]:
    found = [loop]
    while len(found[-1].body) == 1 and isinstance(found[-1].body[0], Loop):
        found.append(found[-1].body[0])
    return found


def _turns(nest: Nest) -> int:
    """Return how many elements the nest runs over."""
    _, axes, inside, _ = nest.parts()
    rows = [prod(n for _, n in axes_of(one)) for one in inside if isinstance(one, Loop)]
    return prod(size for _, size in axes) * max(rows, default=1)
