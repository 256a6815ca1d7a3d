"""Which values get computed together: nests of loops between matrix products.

A *root* is a value that is computed for its own sake: an operand or result of a product, a
reduction, a part of a concatenation, an output, or a costly value that several others read. All
else is computed inside the roots that need it, as often as they need it. The roots are taken in
the order of the graph; each joins the first nest that runs over the same elements, reads something
the root reads too, and comes after all the root needs; or it opens a nest of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from chainrule.trace.graph import ELEMENTWISE, VIEWS, Node, Shape
from chainrule.trace.index import Indices, choosing, domain_indices, seen_through

COSTLY = frozenset((
    "exp", "expm1", "log", "log1p", "tanh", "pow", "sin", "cos", "sqrt", "div",
))  # fmt: skip
"""Operations that are better stored than done again."""

RECOMPUTED = 8
"""So many cheap operations are better stored than done again as well."""

DEEPEST = 150
"""Operations one after the other that are computed in one piece."""

WIDE = 512
"""Columns, at most, that are summed over rows where rows are gone through one by one: of wide rows
threads would leave too many shares.
"""

SOURCES = ("input", "array")


@dataclass(frozen=True)
class Root:
    """A value to compute: `value` is stored in `target`, or is the reduction `target`.

    They differ for the parts of a concatenation, which start at `start` along `axis` of `target`.
    """

    target: Node
    value: Node
    axis: int = 0
    start: int = 0

    @property
    def reduces(self) -> bool:
        return self.target is self.value and self.target.op.startswith("reduce.")

    @property
    def domain(self) -> Shape:
        """The shape it is computed over: a reduction's argument, else its own."""
        return self.value.args[0].shape if self.reduces else self.value.shape

    @property
    def in_row(self) -> bool:
        """Whether it is a reduction over the last axes, known as soon as a row is done."""
        return self.reduces and in_row(self.target)

    @property
    def kept(self) -> tuple[int, ...] | None:
        """The axes of the domain that a reduction over others keeps, longer than 1; else None."""
        if not self.reduces or self.in_row or self.target.size == 1:
            return None
        axes = enumerate(self.domain)
        return tuple(k for k, size in axes if size != 1 and k not in self.target.detail)


def in_row(node: Node) -> bool:
    """Whether a reduction is over the last axes but not over all."""
    rank = node.args[0].rank
    axes = node.detail
    return 0 < len(axes) < rank and axes == tuple(range(rank - len(axes), rank))


@dataclass
class Group:
    """Roots that share a nest over `domain`.

    split: the rows' axes are ``domain[:split]``; None as long as nothing is computed once a row.
    parallel: for threads that each hold a column of the rows, where sums over rows come out.
    """

    domain: Shape
    parallel: bool = False
    split: int | None = None
    roots: list[Root] = field(default_factory=list[Root])
    reads: set[Node] = field(default_factory=set[Node])

    def fits(self, root: Root) -> bool:
        """Whether the root's domain is this one, or one is the rows of the other."""
        split = root.target.rank if root.in_row else None
        own, theirs = self.domain, root.domain
        if own != theirs:
            shorter = min(own, theirs, key=len)
            if not shorter or (*own[: len(shorter)],) != (*theirs[: len(shorter)],):
                return False
            if split not in (None, len(shorter)) or self.split not in (None, len(shorter)):
                return False
        if split is not None and self.split not in (None, split):
            return False
        return not self.parallel or self._columns_fit(root)

    def _columns_fit(self, root: Root) -> bool:
        """Whether all sums over rows are of the same columns: of a whole row, not too wide."""
        joined = Group(self.domain, False, self.split, [*self.roots])
        joined.add(root, ())
        sums = [one for one in joined.roots if one.kept is not None]
        columns = {one.kept for one in sums}
        if joined.split is not None:
            if prod(joined.domain[joined.split :]) > WIDE:
                return not sums
            axes = enumerate(joined.domain)
            columns.add(tuple(k for k, size in axes if size != 1 and k >= joined.split))
        return not sums or (len(columns) == 1 and all(s.domain == joined.domain for s in sums))

    def add(self, root: Root, reads: Iterable[Node]) -> None:
        if self.domain != root.domain:
            self.split = min(len(self.domain), len(root.domain))
            self.domain = max(self.domain, root.domain, key=len)
        if root.in_row:
            self.split = root.target.rank
        self.roots.append(root)
        self.reads |= {*reads, root.target}


Step = Group | Node
"""A group of roots, or a matrix product."""


def matrix_base(node: Node) -> tuple[Node, bool]:
    """Return the array behind a product's operand, and whether it is read transposed."""
    transposed = node.op == "permute"
    base = node.args[0] if transposed else node
    return (base.args[0] if base.op == "reshape" else base), transposed


def find_roots(nodes: list[Node], outputs: Iterable[Node]) -> set[Node]:
    """Return the roots among the nodes that the outputs need."""
    roots = {node for node in outputs if node.op not in SOURCES}
    for node in nodes:
        if node.op == "matmul":
            roots.add(node)
            roots |= {matrix_base(arg)[0] for arg in node.args}
        elif node.op.startswith("reduce.") or node.op == "concat":
            roots.add(node)
        elif node.op in ("take", "take_along") or _divides(node):
            roots.add(node.args[0])
    roots = {node for node in roots if node.op not in SOURCES}
    roots |= _shared(nodes, roots)
    return roots | _deep(nodes, roots)


def _divides(node: Node) -> bool:
    """Whether a node is a reshape whose indices would need a division."""
    return node.op == "reshape" and seen_through(node, domain_indices(node.shape)) is None


def _deep(nodes: list[Node], roots: set[Node]) -> set[Node]:
    """Return values to store on the way, so that no root is too long a chain of operations."""
    depth: dict[Node, int] = {}
    found: set[Node] = set()
    for node in nodes:
        depth[node] = 1 + max((depth[arg] for arg in node.args), default=0)
        if depth[node] > DEEPEST and (node.op in ELEMENTWISE or node.op in VIEWS):
            found.add(node)
        if node in roots or node in found:
            depth[node] = 0
    return found


def _shared(nodes: list[Node], roots: set[Node]) -> set[Node]:
    """Return the costly values that more than one root would compute."""
    work: dict[Node, int] = {}
    for node in nodes:
        inside = sum(0 if arg in roots else work[arg] for arg in node.args)
        own = RECOMPUTED if node.op in COSTLY else int(node.op in ELEMENTWISE)
        work[node] = inside + own
    found: set[Node] = set()
    readers: dict[Node, set[Node]] = {node: set() for node in nodes}
    for node in reversed(nodes):
        stored = node in roots
        if not stored and len(readers[node]) > 1 and work[node] >= RECOMPUTED:
            stored = node.op in ELEMENTWISE
            found |= {node} if stored else set()
        for arg in node.args:
            readers[arg] |= {node} if stored else readers[node]
    return found


def make_schedule(nodes: list[Node], roots: set[Node], *, parallel: bool = False) -> list[Step]:
    """Return groups and products in an order in which all can be computed; see `Group`."""
    steps: list[Step] = []
    made_at: dict[Node, int] = {}
    for node in nodes:
        if node not in roots:
            continue
        if node.op == "matmul":
            made_at[node] = len(steps)
            steps.append(node)
            continue
        for root in _parts(node):
            _place(root, steps, made_at, roots, parallel)
    return steps


def _parts(node: Node) -> Iterator[Root]:
    if node.op != "concat":
        yield Root(node, node)
        return
    start, axis = 0, int(node.detail)
    for part in node.args:
        yield Root(node, part, axis, start)
        start += part.shape[axis]


def _place(
    root: Root, steps: list[Step], made_at: dict[Node, int], roots: set[Node], parallel: bool
) -> None:
    touched = touches(root, roots)
    reads = {node for node in touched if node.size > 1}
    earliest = 0
    for node, aligned in touched.items():
        if node in made_at:
            at = made_at[node]
            group = steps[at]
            together = aligned and isinstance(group, Group) and _readable(node, group)
            earliest = max(earliest, at if together else at + 1)
    for at in range(earliest, len(steps)):
        group = steps[at]
        if isinstance(group, Group) and group.fits(root) and (reads & group.reads or not reads):
            break
    else:
        at, group = len(steps), Group(root.domain, parallel)
        steps.append(group)
    group.add(root, reads)
    made_at[root.target] = max(at, made_at.get(root.target, 0))


def _readable(node: Node, group: Group) -> bool:
    """Whether what the group makes of the node can be read inside the group."""
    return node.op != "concat" and (not node.op.startswith("reduce.") or in_row(node))


def touches(root: Root, roots: set[Node]) -> dict[Node, bool]:
    """Return the arrays a root reads, and whether each is read at the root's own place alone."""
    found: dict[Node, bool] = {}
    seen: set[tuple[Node, Indices]] = set()
    place = domain_indices(root.domain)

    def look(node: Node, indices: Indices, top: bool) -> None:
        if (node, indices) in seen:
            return
        seen.add((node, indices))
        if node.op in SOURCES or (node in roots and not top):
            aligned = indices == domain_indices(node.shape) == place[: node.rank]
            found[node] = found.get(node, True) and aligned
            return
        if node.op in ("take", "take_along"):
            source, chosen = node.args
            look(chosen, choosing(node, indices), False)
            found[source] = False
        elif node.op in VIEWS:
            inner = seen_through(node, indices)
            look(node.args[0], inner if inner is not None else (), False)
        else:
            for arg in node.args:
                look(arg, indices if arg.rank else (), False)

    if root.reduces:
        look(root.value.args[0], place, False)
    else:
        look(root.value, place, root.target is root.value)
    return found


def updates_early(
    steps: list[Step], roots: set[Node], overwrites: Mapping[Node, str], *, parallel: bool = False
) -> list[Step]:
    """Move groups that only write next states, and single numbers, up to where they can stand.

    A gradient's memory is free again as soon as its parameter is updated. `overwrites` names the
    input in whose place an output is written: a group stays behind all that read it. With
    `parallel` single numbers move alone: all parameters are updated together.
    """
    moved: list[Step] = []
    for step in steps:
        at = len(moved)
        if isinstance(step, Group) and (
            not step.domain
            or (not parallel and all(root.target in overwrites for root in step.roots))
        ):
            old = {overwrites[r.target] for r in step.roots if r.target in overwrites}
            needs = _reads(step, roots)
            while at > 0 and not (
                _makes(moved[at - 1]) & needs or _names(moved[at - 1], roots) & old
            ):
                at -= 1
        moved.insert(at, step)
    return moved


def _makes(step: Step) -> set[Node]:
    return {step} if isinstance(step, Node) else {root.target for root in step.roots}


def _reads(step: Step, roots: set[Node]) -> set[Node]:
    if isinstance(step, Node):
        return {matrix_base(arg)[0] for arg in step.args}
    return {node for root in step.roots for node in touches(root, roots)}


def _names(step: Step, roots: set[Node]) -> set[str]:
    """Return the names of the inputs that a step reads."""
    return {str(node.detail) for node in _reads(step, roots) if node.op == "input"}
