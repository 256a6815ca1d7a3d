"""Trees of arrays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import tree

NET = {"0": {"weight": 1, "bias": 2}, "2": {"0": {"scale": 3}}}

names = st.text(st.characters(exclude_characters="."), min_size=1, max_size=3)
trees = st.recursive(
    st.dictionaries(names, st.integers(), max_size=3),
    lambda inner: st.dictionaries(names, inner | st.integers(), max_size=3),
).filter(lambda t: all(_has_no_empty_branch(v) for v in t.values()))


def _has_no_empty_branch(value: object) -> bool:
    if not isinstance(value, dict):
        return True
    return bool(value) and all(_has_no_empty_branch(v) for v in value.values())


def test_map_keeps_the_structure():
    assert tree.map(lambda a: 10 * a, NET) == {
        "0": {"weight": 10, "bias": 20},
        "2": {"0": {"scale": 30}},
    }
    assert tree.map(lambda a, b: a - b, NET, NET) == tree.map(lambda a: 0, NET)
    assert NET["0"]["weight"] == 1


def test_map_of_trees_that_differ_fails():
    with pytest.raises(KeyError, match="bias"):
        tree.map(lambda a, b: a, NET, {"0": {"weight": 1}, "2": NET["2"]})


def test_leaves_and_paths_are_in_order():
    assert tree.leaves(NET) == [1, 2, 3]
    assert tree.flatten(NET) == {"0.weight": 1, "0.bias": 2, "2.0.scale": 3}
    assert list(tree.flatten(NET)) == ["0.weight", "0.bias", "2.0.scale"]
    assert tree.flatten({"a": 1}, "state.") == {"state.a": 1}
    assert tree.leaves({}) == []


@given(trees)
def test_unflatten_is_the_inverse(value):
    flat = tree.flatten(value)
    assert tree.unflatten(flat) == value
    assert tree.leaves(value) == list(flat.values())
    assert tree.map(lambda leaf: leaf, value) == value


def test_unzip():
    pairs = tree.map(lambda a: (a, -a), NET)
    assert tree.unzip(2, pairs) == (NET, tree.map(lambda a: -a, NET))
    assert tree.unzip(2, {}) == ({}, {})
