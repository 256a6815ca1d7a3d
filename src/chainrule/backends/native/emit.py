"""A program as LLVM IR: one function a nest, and one that runs them all, step after step.

The text is written directly; LLVM vectorises it. Arrays that a nest uses never overlap (the plan of
the arena sees to that), which the functions promise with ``noalias``, so that no loop needs checks.
Sums in a loop may be taken in any order (``reassoc``); all other arithmetic is as it stands.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.backends.native.operations import cast, folded, operation
from chainrule.backends.native.writer import Function, literal, type_of
from chainrule.trace.graph import BOOL, DType
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
    Statement,
    Store,
    Update,
)

ENTRY = "run"
"""``void run(void **arrays, int64_t steps, int64_t *done)``"""

PRODUCTS = {"float32": "chainrule_sgemm", "float64": "chainrule_dgemm"}
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112
_INDEX = np.dtype(np.int64)


def arguments(program: Program) -> list[str]:
    """Return the arrays whose addresses the caller passes, in order; the arena comes last."""
    return [name for name, array in program.arrays.items() if array.place != "arena"]


def emitted(program: Program, stepped: Mapping[str, int], whole: str) -> str:
    """Return the module's text.

    `stepped` names the arrays that hold something for each step, with the number of elements
    between two steps; `whole` is the integer type of the BLAS, ``i32`` or ``i64``.
    """
    declared = {"declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"}
    for dtype, name in PRODUCTS.items():
        t = type_of(np.dtype(dtype))
        matrix = f"ptr, {whole}"
        declared.add(
            f"declare void @{name}(i32, i32, i32, {whole}, {whole}, {whole}, {t}, {matrix}, "
            f"{matrix}, {t}, {matrix})"
        )
    functions = [
        _NestWriter(program, step, declared).text()
        for step in program.steps
        if isinstance(step, Nest)
    ]
    functions.append(_RunWriter(program, stepped, whole, declared).text())
    return "\n\n".join(["\n".join(sorted(declared)), *functions]) + "\n"


class _NestWriter:
    def __init__(self, program: Program, nest: Nest, declared: set[str]) -> None:
        self.program = program
        self.nest = nest
        self.f = Function(declared)
        self.pointers = {at: f"%p{k}" for k, at in enumerate(program.places(nest))}
        self.values: dict[str, tuple[str, DType]] = {}
        self.totals: dict[str, tuple[str, DType]] = {}
        self.loops: dict[str, str] = {}

    def text(self) -> str:
        self._body(self.nest.body)
        self.f.do("ret void")
        parameters = ", ".join(f"ptr noalias {name}" for name in self.pointers.values())
        return self.f.text(f"internal void @{self.nest.name}({parameters}) noinline nounwind")

    def _body(self, body: list[Statement]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        f = self.f
        match statement:
            case Loop():
                self._loop(statement)
            case Let():
                self.values[statement.name] = (self._let(statement), statement.dtype)
            case Load(name, array, index, dtype):
                self.values[name] = (self._read(self._pointer(array, index, dtype), dtype), dtype)
            case Store(array, index, value, dtype):
                self._write(self._use(value, dtype), self._pointer(array, index, dtype), dtype)
            case Update(array, index, kind, value, dtype):
                pointer = self._pointer(array, index, dtype)
                old = self._read(pointer, dtype)
                self._write(folded(f, kind, old, self._use(value, dtype), dtype), pointer, dtype)
            case Fill(array, size, value, dtype):
                store = Store(array, Affine((("fill", 1),)), value, dtype)
                self._loop(Loop("fill", size, [store]))
            case Start(name, value, dtype):
                pointer = f.variable(type_of(dtype))
                self.totals[name] = (pointer, dtype)
                f.do(f"store {type_of(dtype)} {literal(value, dtype)}, ptr {pointer}")
            case Accumulate(name, kind, value, dtype):
                old, new = self._use(name, dtype), self._use(value, dtype)
                total = folded(f, kind, old, new, dtype, free=True)
                f.do(f"store {type_of(dtype)} {total}, ptr {self.totals[name][0]}")

    def _loop(self, loop: Loop) -> None:
        if loop.size == 0:
            return
        f, label = self.f, self.f.fresh()
        variable = f"%{label}.{loop.variable}"
        before = f.block
        f.do(f"br label %{label}.head")
        f.label(f"{label}.head")
        at = len(f.lines)
        outside = dict(self.loops)
        self.loops[loop.variable] = variable
        self._body(loop.body)
        self.loops = outside
        f.lines.insert(
            at, f"  {variable} = phi i64 [ 0, %{before} ], [ {variable}.next, %{f.block} ]"
        )
        f.do(f"{variable}.next = add nuw nsw i64 {variable}, 1")
        f.do(f"{variable}.done = icmp eq i64 {variable}.next, {loop.size}")
        f.do(f"br i1 {variable}.done, label %{label}.exit, label %{label}.head")
        f.label(f"{label}.exit")

    def _let(self, let: Let) -> str:
        if let.op == "index":
            return cast(self.f, self._index(let.args[0]), _INDEX, let.dtype)
        args = [
            self._use(arg, BOOL if let.op == "where" and number == 0 else let.of)
            for number, arg in enumerate(let.args)
        ]
        return operation(self.f, let.op, args, let.of, let.dtype)

    def _use(self, value: Any, dtype: DType) -> str:
        if not isinstance(value, str):
            return literal(value, dtype)
        if value in self.totals:
            pointer, held = self.totals[value]
            return self.f.let(f"load {type_of(held)}, ptr {pointer}")
        return self.values[value][0]

    def _index(self, index: Affine) -> str:
        total = str(index.offset)
        for name, coefficient in index.terms:
            term = self.loops.get(name) or cast(self.f, *self.values[name], _INDEX)
            if coefficient != 1:
                term = self.f.let(f"mul nsw i64 {term}, {coefficient}")
            total = term if total == "0" else self.f.let(f"add nsw i64 {total}, {term}")
        return total

    def _pointer(self, array: str, index: Affine, dtype: DType) -> str:
        held = "i8" if dtype == BOOL else type_of(dtype)
        base = self.pointers[self.program.place(array)]
        return self.f.let(f"getelementptr inbounds {held}, ptr {base}, i64 {self._index(index)}")

    def _read(self, pointer: str, dtype: DType) -> str:
        if dtype != BOOL:
            return self.f.let(f"load {type_of(dtype)}, ptr {pointer}, align {dtype.itemsize}")
        return self.f.let(f"trunc i8 {self.f.let(f'load i8, ptr {pointer}')} to i1")

    def _write(self, value: str, pointer: str, dtype: DType) -> None:
        if dtype == BOOL:
            value = self.f.let(f"zext i1 {value} to i8")
            self.f.do(f"store i8 {value}, ptr {pointer}")
        else:
            self.f.do(f"store {type_of(dtype)} {value}, ptr {pointer}, align {dtype.itemsize}")


class _RunWriter:
    """The function that runs the steps: it moves the arrays of one value a step, and counts."""

    def __init__(
        self, program: Program, stepped: Mapping[str, int], whole: str, declared: set[str]
    ) -> None:
        self.program = program
        self.stepped = stepped
        self.whole = whole
        self.f = Function(declared)
        self.bases: dict[str, str] = {}

    def text(self) -> str:
        f = self.f
        for number, name in enumerate([*arguments(self.program), ""]):
            slot = f.let(f"getelementptr inbounds ptr, ptr %arrays, i64 {number}")
            self.bases[name] = f.let(f"load ptr, ptr {slot}")
        f.do("br label %step")
        f.label("step")
        f.do("%n = phi i64 [ 0, %entry ], [ %next, %step ]")
        for name, elements in self.stepped.items():
            size = elements * self.program.arrays[name].dtype.itemsize
            offset = f.let(f"mul i64 %n, {size}")
            self.bases[name] = f.let(f"getelementptr i8, ptr {self.bases[name]}, i64 {offset}")
        for step in self.program.steps:
            if isinstance(step, Product):
                self._product(step)
            elif isinstance(step, Copy):
                size = step.size * step.dtype.itemsize
                target, source = self._at(step.target), self._at(step.source)
                given = f"ptr {target}, ptr {source}, i64 {size}, i1 0"
                f.do(f"call void @llvm.memcpy.p0.p0.i64({given})")
            else:
                found = self.program.places(step).values()
                given = ", ".join(f"ptr {self._at(name)}" for name in found)
                f.do(f"call void @{step.name}({given})")
        f.do("%next = add nuw nsw i64 %n, 1")
        f.do("store i64 %next, ptr %done")
        f.do("%ended = icmp eq i64 %next, %steps")
        f.do("br i1 %ended, label %exit, label %step")
        f.label("exit")
        f.do("ret void")
        # Nothing here unwinds: without unwind tables, nothing need be registered with the process,
        # where libraries that bring an unwinder of their own may be loaded.
        return f.text(f"void @{ENTRY}(ptr %arrays, i64 %steps, ptr %done) nounwind")

    def _at(self, array: str) -> str:
        known = self.program.arrays[array]
        base = self.bases["" if known.place == "arena" else array]
        offset = known.offset
        return self.f.let(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base

    def _product(self, product: Product) -> None:
        t, whole = type_of(product.dtype), self.whole
        one, zero = literal(1, product.dtype), literal(0, product.dtype)

        def matrix(operand: Operand) -> str:
            return f"ptr {self._at(operand.array)}, {whole} {operand.columns}"

        kinds = (_TRANSPOSED if o.transposed else _PLAIN for o in (product.left, product.right))
        flags = ", ".join(f"i32 {flag}" for flag in (_ROW_MAJOR, *kinds))
        sizes = (product.rows, product.columns, product.inner)
        shape = ", ".join(f"{whole} {size}" for size in sizes)
        self.f.do(
            f"call void @{PRODUCTS[product.dtype.name]}({flags}, {shape}, {t} {one}, "
            f"{matrix(product.left)}, {matrix(product.right)}, {t} {zero}, "
            f"ptr {self._at(product.result)}, {whole} {product.columns})"
        )
