"""From groups of roots to loops: what is computed once, once a row, or once an element.

Reductions over the last axes make a nest run through each row several times: the first *pass* finds
the maximum, the second the sum of exponentials, the third uses both. A value stands in the earliest
pass in which all it needs is known, and outside the loops it does not depend on.
"""

from collections import defaultdict
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from chainrule.trace.graph import BOOL, DType, Node
from chainrule.trace.index import (
    ZERO,
    Affine,
    Indices,
    choosing,
    domain_indices,
    flat,
    seen_through,
    variable,
)
from chainrule.trace.loops import (
    Accumulate,
    Fill,
    Let,
    Load,
    Loop,
    Nest,
    Start,
    Statement,
    Store,
    Update,
)
from chainrule.trace.schedule import COSTLY, SOURCES, Group, Root

NEST, ROW, ELEMENT = range(3)
"""How often a value is computed."""

Key = tuple[Node, Indices]


def array_name(node: Node) -> str:
    """The name of the array that holds a node."""
    return str(node.detail) if node.op == "input" else f"a{node.number}"


def identity(kind: str, dtype: DType) -> Any:
    """The number that a reduction starts from."""
    if kind in ("max", "min"):
        least = kind == "max"
        if dtype.kind == "f":
            return -np.inf if least else np.inf
        if dtype == BOOL:
            return not least
        return np.iinfo(dtype).min if least else np.iinfo(dtype).max
    return {"sum": 0, "all": True, "any": False}[kind]


class Lowering:
    """Builds the statements of one group; `stored` are the nodes that have an array.

    With `parallel`, for threads that share nothing, costly values that several passes over a row
    need are computed again, not kept, and a sum of everything is not taken row by row.
    """

    def __init__(
        self, name: str, group: Group, roots: set[Node], stored: set[Node], *, parallel: bool
    ) -> None:
        self.name = name
        self.group = group
        self.roots = roots
        self.stored = stored
        self.parallel = parallel
        self.domain = group.domain
        rank = len(self.domain)
        rows = 0 if parallel else max(rank - 1, 0)  # what is alike in a row is computed once
        self.split = group.split if group.split is not None else rows
        self.place = domain_indices(self.domain)
        self.outer = {f"i{axis}" for axis in range(self.split)}
        self.inner = {f"i{axis}" for axis in range(self.split, rank)}
        self.own = {root.target: root for root in group.roots if root.target is root.value}
        self.scratch: dict[str, tuple[int, DType]] = {}
        self.before: list[Statement] = []
        self.after: list[Statement] = []
        self.rows: dict[int, list[Statement]] = defaultdict(list)
        self.elements: dict[int, list[Statement]] = defaultdict(list)
        self._names: dict[Any, str] = {}
        self._levels: dict[Any, int] = {}
        self._passes: dict[Key, int] = {}
        self._rows_of: dict[Key, str] = {}
        self._count = 0

    def build(self) -> Nest:
        """Return the nest, its loops merged where all arrays are read and written straight on."""
        for root in sorted(self.group.roots, key=self._root_pass):
            if root.reduces:
                self._reduce(root)
            elif root.target in self.stored:
                self._store(root)
        if any(self.rows.values()):
            body, axes = self._by_row(), self.outer_axes
        else:
            body, axes = merged(self.elements[0], [*self.outer_axes, *self.inner_axes])
        whole = [*self.before, *_loops(body, axes), *self.after]
        return Nest(self.name, whole, len(self.before), len(axes), len(self.after))

    def _by_row(self) -> list[Statement]:
        """Return what is done for a row: each pass over its elements in a loop of its own."""
        body: list[Statement] = []
        for number in range(max([*self.rows, *self.elements]) + 1):
            body += self.rows[number]
            if self.elements[number]:
                body += _loops(self.elements[number], self.inner_axes)
        return body

    @property
    def outer_axes(self) -> list[tuple[str, int]]:
        return [(f"i{k}", s) for k, s in enumerate(self.domain[: self.split]) if s != 1]

    @property
    def inner_axes(self) -> list[tuple[str, int]]:
        axes = enumerate(self.domain[self.split :], self.split)
        return [(f"i{k}", s) for k, s in axes if s != 1]

    # roots

    def _root_pass(self, root: Root) -> int:
        return self._pass(root.value.args[0] if root.reduces else root.value, self._at(root))

    def _at(self, root: Root) -> Indices:
        return self.place[: len(root.domain)]

    def _section(self, root: Root, number: int) -> list[Statement]:
        """Where a root's statements go in pass `number`."""
        if not self.domain:
            return self.before
        in_row = len(root.domain) < len(self.domain)
        return self.rows[number] if in_row else self.elements[number]

    def _store(self, root: Root) -> None:
        number = self._root_pass(root)
        value = self._value(root.value, self._at(root), number)
        where = list(self._at(root))
        if root.target is not root.value:
            where[root.axis] = where[root.axis] + Affine((), root.start)
        index = flat(where, root.target.shape)
        target = root.target
        self._section(root, number).append(Store(array_name(target), index, value, target.dtype))

    def _reduce(self, root: Root) -> None:
        target, argument = root.target, root.value.args[0]
        kind = target.op.removeprefix("reduce.")
        number = self._root_pass(root)
        value = self._value(argument, self._at(root), number)
        if root.in_row:
            self._reduce_row(target, kind, value, number)
        elif target.size == 1:
            self._reduce_all(root, kind, value, number)
        else:
            kept = [i for axis, i in enumerate(self._at(root)) if axis not in target.detail]
            index = flat(kept, target.shape)
            start = identity(kind, target.dtype)
            self.before.append(Fill(array_name(target), target.size, start, target.dtype))
            self._section(root, number).append(
                Update(array_name(target), index, kind, value, target.dtype)
            )

    def _reduce_row(self, target: Node, kind: str, value: str, number: int) -> None:
        found = self._fresh("s")
        self.rows[number].append(Start(found, identity(kind, target.dtype), target.dtype))
        self.elements[number].append(Accumulate(found, kind, value, target.dtype))
        at = self.place[: target.rank]
        self._names[target, at] = found
        if target in self.stored:
            index = flat(at, target.shape)
            self.rows[number + 1].append(Store(array_name(target), index, found, target.dtype))

    def _reduce_all(self, root: Root, kind: str, value: str, number: int) -> None:
        """Reduce to one number; the sum of the rows' sums is taken in a wider dtype."""
        target = root.target
        wide = _wider(target.dtype) if kind == "sum" else target.dtype
        total = self._fresh("s")
        self.before.append(Start(total, identity(kind, wide), wide))
        in_row = len(root.domain) < len(self.domain)
        if self.outer_axes and not in_row and not self.parallel:
            part = self._fresh("s")
            self.rows[number].append(Start(part, identity(kind, target.dtype), target.dtype))
            self.elements[number].append(Accumulate(part, kind, value, target.dtype))
            section, value = self.rows[number + 1], part
        else:
            section = self._section(root, number)
        if wide != target.dtype:
            widened = self._fresh("t")
            section.append(Let(widened, "cast", (value,), wide, target.dtype))
            value = widened
        section.append(Accumulate(total, kind, value, wide))
        found = total
        if wide != target.dtype:
            found = self._fresh("t")
            self.after.append(Let(found, "cast", (total,), target.dtype, wide))
        self.after.append(Store(array_name(target), ZERO, found, target.dtype))

    # values

    def _value(self, node: Node, at: Indices, number: int) -> Any:
        """Return the name of a value in pass `number`, or the number that a constant is."""
        if node.op == "const":
            return node.detail.item()
        level = self._level(node, at)
        where = number if level == ELEMENT else self._pass(node, at)
        key = (node, at) if level < ELEMENT else (node, at, where)
        if key in self._names:
            return self._names[key]
        if not self.parallel and level == ELEMENT and node.op in COSTLY:
            for earlier in range(where):
                if (node, at, earlier) in self._names:
                    self._names[key] = self._kept(node, at, earlier, where)
                    return self._names[key]
        section = self._where(level, where)
        self._names[key] = name = self._compute(node, at, number, section)
        return name

    def _where(self, level: int, number: int) -> list[Statement]:
        if level == NEST or not self.domain:
            return self.before
        return self.rows[number] if level == ROW else self.elements[number]

    def _kept(self, node: Node, at: Indices, earlier: int, where: int) -> str:
        """Keep a costly value of an earlier pass over the row in a scratch array."""
        index = flat(self.place[self.split :], self.domain[self.split :])
        array = self._rows_of.get((node, at))
        if array is None:
            array = self._rows_of[node, at] = f"{self.name}_row{len(self.scratch)}"
            self.scratch[array] = (prod(self.domain[self.split :]), node.dtype)
            value = self._names[node, at, earlier]
            self.elements[earlier].append(Store(array, index, value, node.dtype))
        name = self._fresh("t")
        self.elements[where].append(Load(name, array, index, node.dtype))
        return name

    def _compute(self, node: Node, at: Indices, number: int, section: list[Statement]) -> Any:
        if self._in_array(node, at):
            return self._load(node, flat(at, node.shape), section)
        if node.op == "reshape" and seen_through(node, at) is None:
            return self._load(node.args[0], flat(at, node.shape), section)
        if node.op in ("take", "take_along"):
            return self._gather(node, at, number, section)
        if node.op in ("permute", "broadcast", "slice", "reshape"):
            inner = seen_through(node, at)
            return self._value(node.args[0], inner if inner is not None else (), number)
        name = self._fresh("t")
        if node.op == "iota":
            section.append(Let(name, "index", (at[0],), node.dtype, node.dtype))
            return name
        args = tuple(self._value(arg, at, number) for arg in node.args)
        of = node.args[-1].dtype if node.op == "where" else node.args[0].dtype
        section.append(Let(name, node.op, args, node.dtype, of))
        return name

    def _load(self, node: Node, index: Affine, section: list[Statement]) -> str:
        name = self._fresh("t")
        section.append(Load(name, array_name(node), index, node.dtype))
        return name

    def _gather(self, node: Node, at: Indices, number: int, section: list[Statement]) -> str:
        source, chosen = node.args
        picked = self._value(chosen, choosing(node, at), number)
        size = source.shape[int(node.detail)]
        axis = self._inside(picked, chosen.dtype, size, section)
        inside = (*at[: node.detail], axis, *at[node.detail + 1 :])
        return self._load(source, flat(inside, source.shape), section)

    def _inside(self, index: Any, dtype: DType, size: int, section: list[Statement]) -> Affine:
        """An index as NumPy takes it, from the end if negative; never outside the array."""
        if isinstance(index, int):
            return Affine((), min(max(index + size * (index < 0), 0), size - 1))

        def let(op: str, *args: Any, of: DType, to: DType) -> str:
            name = self._fresh("t")
            section.append(Let(name, op, args, to, of))
            return name

        wide = np.dtype(np.int64)
        if dtype != wide:
            index = let("cast", index, of=dtype, to=wide)
        end = let("add", index, size, of=wide, to=wide)
        index = let("where", let("lt", index, 0, of=wide, to=BOOL), end, index, of=wide, to=wide)
        index = let("maximum", index, 0, of=wide, to=wide)
        return variable(let("minimum", index, size - 1, of=wide, to=wide))

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    # where values stand

    def _in_array(self, node: Node, at: Indices) -> bool:
        """Whether a node is read from an array: it is not made here, or at another place."""
        if node.op in SOURCES:
            return True
        return node in self.roots and not self._made_here(node, at)

    def _made_here(self, node: Node, at: Indices) -> bool:
        return node in self.own and at == self.place[: node.rank]

    def _level(self, node: Node, at: Indices) -> int:
        key = (node, at)
        if key not in self._levels:
            self._levels[key] = self._find_level(node, at)
        return self._levels[key]

    def _find_level(self, node: Node, at: Indices) -> int:
        if self._in_array(node, at) or node.op == "iota":
            return self._index_level(at)
        if node.op.startswith("reduce."):
            return ROW
        if node.op in ("take", "take_along"):
            return max(self._index_level(at), self._level(node.args[1], choosing(node, at)))
        if len(node.args) == 1 and node.op in ("permute", "broadcast", "slice", "reshape"):
            inner = seen_through(node, at)
            return self._index_level(at) if inner is None else self._level(node.args[0], inner)
        return max((self._level(arg, at) for arg in node.args), default=NEST)

    def _index_level(self, at: Indices) -> int:
        names = {name for index in at for name, _ in index.terms}
        if names & self.inner:
            return ELEMENT
        return ROW if names & self.outer else NEST

    def _pass(self, node: Node, at: Indices) -> int:
        """The first pass in which a value can be computed."""
        key = (node, at)
        if key not in self._passes:
            self._passes[key] = self._find_pass(node, at)
        return self._passes[key]

    def _find_pass(self, node: Node, at: Indices) -> int:
        if self._in_array(node, at) or node.op in ("iota", "const"):
            return 0
        if node.op.startswith("reduce."):
            return self._pass(node.args[0], self.place) + 1
        if node.op in ("take", "take_along"):
            return self._pass(node.args[1], choosing(node, at))
        if len(node.args) == 1 and node.op in ("permute", "broadcast", "slice", "reshape"):
            inner = seen_through(node, at)
            return 0 if inner is None else self._pass(node.args[0], inner)
        return max(self._pass(arg, at) for arg in node.args)


def _wider(dtype: DType) -> DType:
    """The dtype in which long sums are taken."""
    return np.dtype(np.float64) if dtype.kind == "f" else dtype


def _loops(body: list[Statement], axes: list[tuple[str, int]]) -> list[Statement]:
    for name, size in reversed(axes):
        body = [Loop(name, size, body)]
    return body


def merged(
    body: list[Statement], axes: list[tuple[str, int]]
) -> tuple[list[Statement], list[tuple[str, int]]]:
    """Make two neighbouring axes one where every array is read and written straight along both."""
    indices = [s.index for s in body if isinstance(s, Load | Store | Update)]
    indices += [s.args[0] for s in body if isinstance(s, Let) and s.op == "index"]
    axes = list(axes)
    for place in range(len(axes) - 2, -1, -1):
        (outer, rows), (inner, size) = axes[place], axes[place + 1]
        if all(i.coefficient(outer) == i.coefficient(inner) * size for i in indices):
            body = [_without(statement, outer) for statement in body]
            indices = [index.without(outer) for index in indices]
            axes[place : place + 2] = [(inner, rows * size)]
    return body, axes


def _without(statement: Statement, name: str) -> Statement:
    """Return the statement with a loop variable taken out of its index."""
    if isinstance(statement, Load | Store | Update):
        return replace(statement, index=statement.index.without(name))
    if isinstance(statement, Let) and statement.op == "index":
        return replace(statement, args=(statement.args[0].without(name),))
    return statement
