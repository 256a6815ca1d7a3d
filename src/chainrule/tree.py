"""Trees: nested dicts with string keys and arrays as leaves; dotted paths name the leaves."""

from collections.abc import Callable, Mapping
from typing import Any

from chainrule.typing import Tree


def map(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply `function` to the leaves of `tree` and the matching leaves of `rest`."""
    return {
        key: map(function, value, *(other[key] for other in rest))
        if isinstance(value, dict)
        else function(value, *(other[key] for other in rest))
        for key, value in tree.items()
    }


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves in order."""
    return list(flatten(tree).values())


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Return ``{dotted path: leaf}``.

    >>> flatten({"0": {"weight": 1, "bias": 2}})
    {'0.weight': 1, '0.bias': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))  # pyright: ignore[reportUnknownArgumentType]
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
    return tuple(map(lambda leaf, i=i: leaf[i], tree) for i in range(count))
