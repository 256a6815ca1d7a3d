"""Where every array of a program lies.

Outputs that replace an input (a parameter's next value) are written over it where every reader of
the old value comes before; where one does not, they are copied at the end. All other arrays share
one arena: the place of an array that nobody reads any more is used again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from chainrule.trace.loops import (
    Array,
    Copy,
    Fill,
    Load,
    Loop,
    Nest,
    Product,
    Program,
    Statement,
    Store,
    Update,
)

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector."""


def reads_and_writes(step: Nest | Product | Copy) -> tuple[set[str], set[str]]:
    """Return the names of the arrays that a step reads, and of those it writes."""
    if isinstance(step, Product):
        return {step.left.array, step.right.array}, {step.result}
    if isinstance(step, Copy):
        return {step.source}, {step.target}
    reads: set[str] = set()
    writes: set[str] = set()
    for statement in step.statements():
        if isinstance(statement, Load):
            reads.add(statement.array)
        elif isinstance(statement, Store | Update | Fill):
            writes.add(statement.array)
    return reads, writes


def placed(program: Program, replaces: Mapping[str, str]) -> Program:
    """Return the program with every array in its place."""
    arrays, steps = program.arrays, program.steps
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, step in enumerate(steps):
        reads, writes = reads_and_writes(step)
        for name in reads | writes:
            last[name] = number
        for name in writes:
            first.setdefault(name, number)
    over: dict[str, str] = {}
    for output, name in program.results.items():
        old = replaces.get(output)
        if old is not None and _may_overwrite(steps, first, last, name, old):
            over[name] = old
            program.results[output] = old
    copies = [
        Copy(replaces[output], name, arrays[name].size, arrays[name].dtype)
        for output, name in program.results.items()
        if output in replaces and name != replaces[output]
    ]
    for output, name in program.results.items():
        if output not in replaces:
            over[name] = output
            program.results[output] = output
            arrays[output] = replace(arrays[name], name=output, place="output")
    for copy in copies:
        last[copy.source] = len(steps)
    steps = [_renamed(step, over) for step in [*steps, *copies]]
    arrays = {name: array for name, array in arrays.items() if name not in over}
    in_arena = [a for a in arrays.values() if a.place == "arena" and a.name in first]
    arrays = {n: a for n, a in arrays.items() if a.place != "arena"}
    arena = 0
    lying: list[tuple[int, int, Array]] = []
    for array in sorted(in_arena, key=lambda one: (first[one.name], -one.bytes)):
        start, end = first[array.name], last[array.name]
        offset = _reused(steps[start], array, lying, start, last)
        if offset is None:
            offset = _gap([a for begin, stop, a in lying if stop >= start and begin <= end], array)
        placed = replace(array, offset=offset)
        lying.append((start, end, placed))
        arrays[array.name] = placed
        arena = max(arena, offset + array.bytes)
    results = {output: replaces.get(output, output) for output in program.results}
    return Program(steps, arrays, results, arena)


def _reused(
    step: Nest | Product | Copy,
    array: Array,
    lying: list[tuple[int, int, Array]],
    start: int,
    last: Mapping[str, int],
) -> int | None:
    """Return the place of an array that the step reads for the last time as it writes this one."""
    if not isinstance(step, Nest):
        return None
    for _, end, other in lying:
        if end != start or other.bytes != array.bytes or other.dtype != array.dtype:
            continue
        busy = [
            a
            for begin, stop, a in lying
            if a is not other and stop >= start and begin <= last[array.name]
        ]
        overlaps = any(_overlap(a, other.offset, other.bytes) for a in busy)
        if not overlaps and overwritable(step, other.name, array.name):
            return other.offset
    return None


def _gap(busy: list[Array], array: Array) -> int:
    """Return the first place in the arena where the array fits between those in use."""
    offset = 0
    for other in sorted(busy, key=lambda one: one.offset):
        if other.offset - offset >= array.bytes:
            break
        end = other.offset + other.bytes
        offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
    return offset


def _overlap(array: Array, offset: int, size: int) -> bool:
    return array.offset < offset + size and offset < array.offset + array.bytes


def _may_overwrite(
    steps: list[Nest | Product | Copy],
    first: Mapping[str, int],
    last: Mapping[str, int],
    new: str,
    old: str,
) -> bool:
    """Whether `new` may be written where `old` lies: no one reads the old value afterwards."""
    if new not in first or last.get(old, -1) < first[new]:
        return new in first
    step = steps[first[new]]
    return last[old] == first[new] and isinstance(step, Nest) and overwritable(step, old, new)


def overwritable(nest: Nest, old: str, new: str) -> bool:
    """Whether every element of `old` is read before `new` is written in its place."""
    where = None
    for statement in nest.statements():
        if isinstance(statement, Store) and statement.array == new:
            if where is not None and statement.index != where:
                return False
            where = statement.index
        elif _touches(statement, new) and not isinstance(statement, Load):
            return False
    if where is None or not _each_once(nest.body, new, ()):
        return False
    written = False
    for statement in nest.statements():
        if isinstance(statement, Store) and statement.array == new:
            written = True
        elif _touches(statement, old) and (
            written or not isinstance(statement, Load) or statement.index != where
        ):
            return False
    return True


def _each_once(body: list[Statement], array: str, around: tuple[str, ...]) -> bool:
    """Whether no loop writes an element of the array more than once."""
    for statement in body:
        if isinstance(statement, Loop):
            if not _each_once(statement.body, array, (*around, statement.variable)):
                return False
        elif isinstance(statement, Store) and statement.array == array:
            return all(statement.index.coefficient(name) for name in around)
    return True


def _touches(statement: Statement, array: str) -> bool:
    return getattr(statement, "array", None) == array


def _renamed(step: Nest | Product | Copy, names: Mapping[str, str]) -> Nest | Product | Copy:
    def name(array: str) -> str:
        return names.get(array, array)

    if isinstance(step, Product):
        left, right = (replace(o, array=name(o.array)) for o in (step.left, step.right))
        return replace(step, result=name(step.result), left=left, right=right)
    if isinstance(step, Copy):
        return replace(step, target=name(step.target), source=name(step.source))
    return replace(step, body=list(_renamed_all(step.body, names)))


def _renamed_all(body: list[Statement], names: Mapping[str, str]) -> Iterator[Statement]:
    for statement in body:
        if isinstance(statement, Loop):
            yield replace(statement, body=list(_renamed_all(statement.body, names)))
        elif isinstance(statement, Load | Store | Update | Fill):
            yield replace(statement, array=names.get(statement.array, statement.array))
        else:
            yield statement
