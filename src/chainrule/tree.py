"""Trees: nested dicts with string keys and arrays as leaves; dotted paths name the leaves."""

from collections.abc import Callable, Mapping
from typing import Any, cast, overload

from chainrule.typing import Tree


@overload
def map(function: Callable[[Any], Any], tree: Tree, /) -> Tree: ...
@overload
def map(function: Callable[[Any, Any], Any], tree: Tree, other: Tree, /) -> Tree: ...
@overload
def map(function: Callable[..., Any], tree: Tree, /, *rest: Tree) -> Tree: ...
def map(function: Callable[..., Any], tree: Tree, /, *rest: Tree) -> Tree:
    """Apply `function` to the leaves of `tree` and the matching leaves of `rest`."""
    mapped: Tree = {}
    for key, value in tree.items():
        matching = [other[key] for other in rest]
        if isinstance(value, dict):
            mapped[key] = map(function, cast(Tree, value), *matching)
        else:
            mapped[key] = function(value, *matching)
    return mapped


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves in order."""
    found: list[Any] = []
    for value in tree.values():
        if isinstance(value, dict):
            found += leaves(cast(Tree, value))
        else:
            found.append(value)
    return found


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Return ``{dotted path: leaf}``.

    >>> flatten({"0": {"weight": 1, "bias": 2}})
    {'0.weight': 1, '0.bias': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(cast(Tree, value), f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """Return the tree whose dotted paths are `flat`'s keys; the inverse of `flatten`."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def unzip(count: int, tree: Tree) -> tuple[Tree, ...]:
    """Turn a tree of `count`-tuples into `count` trees."""
    trees: tuple[Tree, ...] = tuple({} for _ in range(count))
    for key, value in tree.items():
        parts = unzip(count, cast(Tree, value)) if isinstance(value, dict) else value
        for target, part in zip(trees, parts, strict=True):
            target[key] = part
    return trees
