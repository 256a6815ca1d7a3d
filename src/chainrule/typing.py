"""Names for what flows through chainrule.

An array belongs to one of five libraries and its namespace is an argument of every function, so the
static types say `Any`; shapes and dtypes stand in the docstrings and are checked by the tests.
"""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of the library whose namespace goes with it."""

Namespace: TypeAlias = Any
"""An Array API namespace (``xp``)."""

Shape: TypeAlias = tuple[int, ...]

Tree: TypeAlias = dict[str, Any]
"""Nested dicts with string keys and arrays as leaves."""

Params: TypeAlias = Tree
Grads: TypeAlias = Tree
State: TypeAlias = Tree

Residuals: TypeAlias = Any
"""What a forward pass keeps for its backward pass, and nothing else."""
