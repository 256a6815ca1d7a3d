"""Where an element stands: indices that are linear in loop variables, and how views change them."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from chainrule.trace.graph import Node, Shape


@dataclass(frozen=True)
class Affine:
    """``offset + sum coefficient * variable``; the variables are loops or integers read before."""

    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    def __add__(self, other: "Affine") -> "Affine":
        sums = dict(self.terms)
        for name, coefficient in other.terms:
            sums[name] = sums.get(name, 0) + coefficient
        kept = tuple(sorted((name, c) for name, c in sums.items() if c))
        return Affine(kept, self.offset + other.offset)

    def __mul__(self, factor: int) -> "Affine":
        if factor == 0:
            return Affine()
        return Affine(tuple((n, c * factor) for n, c in self.terms), self.offset * factor)

    def coefficient(self, name: str) -> int:
        return dict(self.terms).get(name, 0)

    def without(self, name: str) -> "Affine":
        return Affine(tuple(term for term in self.terms if term[0] != name), self.offset)


Indices = tuple[Affine, ...]
ZERO = Affine()


def variable(name: str) -> Affine:
    return Affine(((name, 1),))


def domain_indices(shape: Shape) -> Indices:
    """The loop variables ``i0``, ``i1``, … of a nest over `shape`; an axis of size 1 has none."""
    return tuple(variable(f"i{axis}") if size != 1 else ZERO for axis, size in enumerate(shape))


def flat(indices: Iterable[Affine], shape: Shape) -> Affine:
    """The place of an element in a contiguous array of `shape`."""
    place, stride = ZERO, prod(shape)
    for index, size in zip(indices, shape, strict=True):
        stride //= max(size, 1)
        place = place + index * stride
    return place


def reshaped(indices: Indices, shape: Shape, source: Shape) -> Indices | None:
    """Turn indices into an array of `shape` to those of `source`, of which it is a reshape.

    None where that needs a division. Both shapes are cut where their products agree; in each
    part one side must be a single axis that the other's axes make up, read in one direction.
    """
    found: list[Affine] = []
    a = b = 0
    while a < len(shape) or b < len(source):
        start_a, start_b = a, b
        a, b = _next_cut(shape, source, a, b)
        own = [k for k in range(start_a, a) if shape[k] != 1]
        theirs = [k for k in range(start_b, b) if source[k] != 1]
        if len(theirs) > 1 and [shape[k] for k in own] != [source[k] for k in theirs]:
            return None
        if len(theirs) <= 1:
            merged = flat([indices[k] for k in own], tuple(shape[k] for k in own))
            parts = [merged]
        else:
            parts = [indices[k] for k in own]
        by_axis = dict(zip(theirs, parts, strict=False))
        found += [by_axis.get(k, ZERO) for k in range(start_b, b)]
    return tuple(found)


def _next_cut(shape: Shape, source: Shape, a: int, b: int) -> tuple[int, int]:
    """The smallest parts from `a` and `b` on whose products agree."""
    left = right = 1
    while True:
        if left <= right and a < len(shape):
            left, a = left * shape[a], a + 1
        elif b < len(source):
            right, b = right * source[b], b + 1
        else:
            left, a = left * shape[a], a + 1
        ended = a == len(shape) and b == len(source)
        if ended or (left == right and left != 1):
            return a, b


def seen_through(node: Node, indices: Indices) -> Indices | None:
    """Indices into a view's array from indices into the view; None for a reshape that divides.

    ``take`` and ``take_along`` are not among them: their index is a value.
    """
    (x,) = node.args
    if node.op == "permute":
        found = [ZERO] * x.rank
        for axis, index in zip(node.detail, indices, strict=True):
            found[axis] = index
        return tuple(found)
    if node.op == "broadcast":
        tail = indices[len(indices) - x.rank :]
        return tuple(ZERO if size == 1 else i for size, i in zip(x.shape, tail, strict=True))
    if node.op == "slice":
        return tuple(
            i * step + Affine((), start)
            for i, (start, step) in zip(indices, node.detail, strict=True)
        )
    return reshaped(indices, node.shape, x.shape)


def choosing(node: Node, indices: Indices) -> Indices:
    """Indices into the numbers that a gather chooses by, from indices into the gather."""
    axis: int = node.detail
    return (indices[axis],) if node.op == "take" else indices
