"""Programs executed statement by statement, as their text reads: slow, plain, no compiler."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from chainrule.trace.index import Affine
from chainrule.trace.loops import (
    Accumulate,
    Copy,
    Fill,
    Let,
    Load,
    Loop,
    Nest,
    Operand,
    Product,
    Program,
    Start,
    Store,
    Update,
)

UNARY: dict[str, Any] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1,
    "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "round": np.round, "sin": np.sin, "cos": np.cos, "isfinite": np.isfinite,
    "isnan": np.isnan, "not": np.invert, "copy": lambda x: x,
}  # fmt: skip
BINARY: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "maximum": np.maximum, "minimum": np.minimum, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "shl": np.left_shift, "shr": np.right_shift, "eq": np.equal,
    "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip
FOLDS: dict[str, Any] = {
    "sum": np.add, "max": np.maximum, "min": np.minimum, "all": np.logical_and,
    "any": np.logical_or,
}  # fmt: skip


class Machine:
    """The arrays of a program by name, and the values of its scalars while it runs."""

    def __init__(self, program: Program, given: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        arena = np.full(program.arena, 0xAA, np.uint8)
        self.arrays: dict[str, Any] = {}
        for name, array in program.arrays.items():
            if array.place == "arena":
                part = arena[array.offset : array.offset + array.bytes]
                self.arrays[name] = part.view(array.dtype)
            elif array.place == "constant":
                self.arrays[name] = array.value.reshape(-1)
            elif array.place == "output":
                self.arrays[name] = np.zeros(array.size, array.dtype)
            else:
                assert given[name].dtype == array.dtype
                assert given[name].size == array.size
                self.arrays[name] = np.array(given[name]).reshape(-1)

    def run(self, program: Program) -> None:
        for step in program.steps:
            if isinstance(step, Nest):
                self.execute(step.body)
            elif isinstance(step, Copy):
                self.arrays[step.target][:] = self.arrays[step.source]
            else:
                self.multiply(step)

    def multiply(self, step: Product) -> None:
        left = self.matrix(step.left, step.rows, step.inner)
        right = self.matrix(step.right, step.inner, step.columns)
        self.arrays[step.result][:] = np.matmul(left, right).reshape(-1)

    def matrix(self, operand: Operand, rows: int, columns: int) -> Any:
        shape = (columns, rows) if operand.transposed else (rows, columns)
        assert operand.columns == shape[1]
        found = self.arrays[operand.array][: rows * columns].reshape(shape)
        return found.T if operand.transposed else found

    def at(self, array: str, index: Affine) -> int:
        place = index.offset + sum(int(self.values[n]) * c for n, c in index.terms)
        assert 0 <= place < len(self.arrays[array]), (array, place)
        return place

    def value(self, given: Any, dtype: Any) -> Any:
        return self.values[given] if isinstance(given, str) else dtype.type(given)

    def execute(self, body: list[Any]) -> None:
        for statement in body:
            match statement:
                case Loop(variable, size, inner):
                    for number in range(size):
                        self.values[variable] = number
                        self.execute(inner)
                case Let():
                    self.values[statement.name] = self.let(statement)
                case Load(name, array, index, dtype):
                    assert self.arrays[array].dtype == dtype
                    self.values[name] = self.arrays[array][self.at(array, index)]
                case Store(array, index, value, dtype):
                    assert self.arrays[array].dtype == dtype
                    self.arrays[array][self.at(array, index)] = self.value(value, dtype)
                case Update(array, index, kind, value, dtype):
                    place = self.at(array, index)
                    old = self.arrays[array][place]
                    self.arrays[array][place] = FOLDS[kind](old, self.value(value, dtype))
                case Fill(array, size, value, _):
                    assert len(self.arrays[array]) == size
                    self.arrays[array][:] = value
                case Start(name, value, dtype):
                    self.values[name] = dtype.type(value)
                case Accumulate(name, kind, value, dtype):
                    folded = FOLDS[kind](self.values[name], self.value(value, dtype))
                    self.values[name] = dtype.type(folded)

    def let(self, let: Let) -> Any:
        if let.op == "index":
            index = let.args[0]
            total = index.offset + sum(int(self.values[n]) * c for n, c in index.terms)
            return let.dtype.type(total)
        if let.op == "where":
            test, *rest = let.args
            chosen = rest[0] if self.value(test, np.dtype(bool)) else rest[1]
            return self.value(chosen, let.of)
        args = [self.value(arg, let.of) for arg in let.args]
        assert all(arg.dtype == let.of for arg in args), let
        if let.op == "cast":
            return args[0].astype(let.dtype)
        found = (UNARY if len(args) == 1 else BINARY)[let.op](*args)
        assert found.dtype == let.dtype, let
        return found


Interpreter = Callable[[Program, Mapping[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def interpreted() -> Interpreter:
    """``interpreted(program, inputs)``: the outputs by name, flat."""

    def interpret(program: Program, given: Mapping[str, Any]) -> dict[str, Any]:
        machine = Machine(program, given)
        with np.errstate(all="ignore"):
            machine.run(program)
        return {output: machine.arrays[name] for output, name in program.results.items()}

    return interpret
