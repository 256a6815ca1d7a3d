"""A program as text, for people: what `chainrule inspect --program` shows."""

from collections.abc import Iterator
from typing import Any

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

_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^", "shl": "<<",
    "shr": ">>", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "neg": "-", "not": "not ",
}  # fmt: skip


def written(program: Program) -> str:
    """Return the program as loops that read like Python."""
    return "\n".join(_lines(program))


def _lines(program: Program) -> Iterator[str]:
    for step in program.steps:
        if isinstance(step, Product):
            yield (
                f"{step.result} = {_operand(step.left)} @ {_operand(step.right)}"
                f"    # ({step.rows}, {step.inner}) @ ({step.inner}, {step.columns})"
            )
        elif isinstance(step, Copy):
            yield f"{step.target}[:] = {step.source}"
        else:
            yield from _nest(step)
        yield ""
    yield f"# working memory: {program.arena:,} bytes"


def _operand(operand: Operand) -> str:
    return f"{operand.array}.T" if operand.transposed else operand.array


def _nest(nest: Nest) -> Iterator[str]:
    yield f"# {nest.name}"
    for statement in nest.body:
        yield from _statement(statement, "")


def _statement(statement: Statement, indent: str) -> Iterator[str]:
    match statement:
        case Loop(variable, size, body):
            yield f"{indent}for {variable} in range({size}):"
            for inner in body:
                yield from _statement(inner, indent + "    ")
        case Let():
            yield f"{indent}{statement.name} = {_expression(statement)}"
        case Load(name, array, index):
            yield f"{indent}{name} = {array}[{_index(index)}]"
        case Store(array, index, value):
            yield f"{indent}{array}[{_index(index)}] = {_number(value)}"
        case Update(array, index, kind, value):
            place = f"{array}[{_index(index)}]"
            yield f"{indent}{place} = {_folded(kind, place, value)}"
        case Fill(array, _, value):
            yield f"{indent}{array}[:] = {_number(value)}"
        case Start(name, value):
            yield f"{indent}{name} = {_number(value)}"
        case Accumulate(name, kind, value):
            yield f"{indent}{name} = {_folded(kind, name, value)}"


def _expression(let: Let) -> str:
    args = [_number(arg) if not isinstance(arg, Affine) else _index(arg) for arg in let.args]
    if let.op == "index":
        return args[0]
    if let.op == "cast":
        return f"{let.dtype.name}({args[0]})"
    if let.op == "where":
        return f"{args[1]} if {args[0]} else {args[2]}"
    if let.op in _SIGNS:
        sign = _SIGNS[let.op]
        return f"{sign}{args[0]}" if len(args) == 1 else f"{args[0]} {sign} {args[1]}"
    return f"{let.op}({', '.join(args)})"


def _folded(kind: str, total: str, value: Any) -> str:
    sign = {"sum": "+", "all": "&", "any": "|"}.get(kind)
    if sign:
        return f"{total} {sign} {_number(value)}"
    return f"{'maximum' if kind == 'max' else 'minimum'}({total}, {_number(value)})"


def _index(index: Affine) -> str:
    parts = [n if c == 1 else f"{c} * {n}" for n, c in index.terms]
    if index.offset or not parts:
        parts.append(str(index.offset))
    return " + ".join(parts)


def _number(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else f"{value:.9g}"
        if isinstance(value, float)
        else str(value)
    )
