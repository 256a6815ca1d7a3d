"""Indices through views, held against NumPy's own views."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.trace.graph import Graph, Shape
from chainrule.trace.index import (
    ZERO,
    Affine,
    Indices,
    domain_indices,
    flat,
    reshaped,
    seen_through,
    variable,
)

FLOAT = np.dtype(np.float64)
shapes: Any = st.lists(st.sampled_from((1, 2, 3, 4, 6)), max_size=4).map(tuple)


def places(index: Affine, shape: Shape) -> Any:
    """Return the flat place that an index means at each element of a nest over `shape`."""
    found = np.empty(shape, np.int64)
    for at in product(*map(range, shape)):
        names = {f"i{axis}": number for axis, number in enumerate(at)}
        found[at] = index.offset + sum(names[name] * c for name, c in index.terms)
    return found


def factorings(draw: Any, size: int) -> Shape:
    """Draw a shape of `size` elements, ones among its axes."""
    found: list[int] = []
    while size > 1:
        own = draw(st.sampled_from([n for n in range(2, size + 1) if size % n == 0]))
        found.append(own)
        size //= own
    for _ in range(draw(st.integers(0, 2))):
        found.insert(draw(st.integers(0, len(found))), 1)
    return tuple(found)


@st.composite
def reshapes(draw: Any) -> tuple[Shape, Shape]:
    source: Shape = draw(shapes)
    return source, factorings(draw, int(np.prod(source)))


def test_affine_arithmetic() -> None:
    i, j = variable("i"), variable("j")
    total = i * 3 + j * 2 + Affine((), 5)
    assert total == Affine((("i", 3), ("j", 2)), 5)
    assert total + i * -3 == Affine((("j", 2),), 5)
    assert total * 0 == ZERO
    assert (total.coefficient("i"), total.coefficient("k")) == (3, 0)
    assert total.without("i") == Affine((("j", 2),), 5)


@given(shapes)
def test_flat_is_row_order(shape: Shape) -> None:
    found = places(flat(domain_indices(shape), shape), shape)
    np.testing.assert_array_equal(found, np.arange(found.size).reshape(shape))


@given(reshapes())
def test_reshaped_points_at_the_same_element(pair: tuple[Shape, Shape]) -> None:
    source, shape = pair
    found = reshaped(domain_indices(shape), shape, source)
    if found is not None:
        assert len(found) == len(source)
        expected = np.arange(int(np.prod(source))).reshape(shape)
        np.testing.assert_array_equal(places(flat(found, source), shape), expected)


@pytest.mark.parametrize(
    ("shape", "source"),
    [
        ((6,), (6, 1)),
        ((1, 6), (6,)),
        ((2, 3), (6,)),
        ((4, 2, 3), (4, 6)),
        ((4, 2, 3, 1), (1, 4, 6)),
        ((2, 3, 4), (2, 3, 4, 1)),
        ((), (1, 1)),
        ((1, 1), ()),
        ((1, 4), (4, 1)),
    ],
)
def test_splits_need_no_division(shape: Shape, source: Shape) -> None:
    assert reshaped(domain_indices(shape), shape, source) is not None


@pytest.mark.parametrize(("shape", "source"), [((6,), (2, 3)), ((2, 3), (3, 2)), ((6, 4), (4, 6))])
def test_merges_need_division(shape: Shape, source: Shape) -> None:
    assert reshaped(domain_indices(shape), shape, source) is None


@st.composite
def views(draw: Any) -> Any:
    """Draw a host array, a chain of views of it in a graph, and the same chain in NumPy."""
    shape: Shape = draw(shapes)
    host = np.arange(int(np.prod(shape))).reshape(shape)
    graph = Graph()
    node = graph.make("input", (), shape, FLOAT, "x")
    chain = []
    for _ in range(draw(st.integers(1, 5))):
        kinds = ["reshape", "broadcast"] + (["permute", "slice"] if node.rank else [])
        kind = draw(st.sampled_from(kinds))
        before = node
        if kind == "permute":
            axes = tuple(draw(st.permutations(range(node.rank))))
            node, host = graph.permute(node, axes), host.transpose(axes)
        elif kind == "reshape":
            wanted = factorings(draw, node.size)
            node, host = graph.reshape(node, wanted), host.reshape(wanted)
        elif kind == "broadcast":
            wanted = (*draw(st.lists(st.integers(1, 2), max_size=1)), *node.shape)
            wanted = tuple(draw(st.sampled_from((1, 3))) if s == 1 else s for s in wanted)
            node, host = graph.broadcast(node, wanted), np.broadcast_to(host, wanted)
        else:
            axis = draw(st.integers(0, node.rank - 1))
            starts = draw(st.integers(0, node.shape[axis] - 1))
            back = draw(st.booleans())
            key = [slice(None)] * node.rank
            key[axis] = slice(starts, None, -1) if back else slice(starts, None)
            host = host[tuple(key)]
            ranges = [(0, 1)] * node.rank
            ranges[axis] = (starts, -1 if back else 1)
            node = graph.make("slice", [node], host.shape, FLOAT, tuple(ranges))
        if node is not before:
            chain.append(node)
        if node.size > 400:
            break
    return node, host


@given(views())
def test_views_of_views(drawn: Any) -> None:
    node, host = drawn
    indices: Indices | None = domain_indices(node.shape)
    at = node
    while at.op != "input" and indices is not None:
        indices, at = seen_through(at, indices), at.args[0]
    if indices is not None:
        np.testing.assert_array_equal(places(flat(indices, at.shape), node.shape), host)
