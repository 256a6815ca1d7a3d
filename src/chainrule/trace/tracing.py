"""Running a function once over symbolic arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from chainrule import tree
from chainrule.trace.array import Traced
from chainrule.trace.graph import Graph, Node, needed
from chainrule.trace.namespace import Recorder
from chainrule.typing import Tree


@dataclass(frozen=True)
class Trace:
    """A traced function: its graph, and what goes in and comes out by dotted names."""

    graph: Graph
    inputs: dict[str, Node]
    outputs: dict[str, Node]

    @property
    def nodes(self) -> list[Node]:
        """The nodes that the outputs need, arguments first."""
        return needed(self.outputs.values())


def trace(function: Callable[..., Tree], **arguments: Mapping[str, Any]) -> Trace:
    """Call ``function(xp, **arguments)`` with symbolic arrays; return what it did.

    `arguments` are trees of things that have a shape and a dtype; the function returns a tree.
    Inputs are named ``<argument>.<path>``, outputs by their paths.
    Raises `TraceError` naming the operation that cannot be traced.
    """
    graph = Graph()
    inputs: dict[str, Node] = {}

    def symbols(prefix: str, like: Mapping[str, Any]) -> Tree:
        found: Tree = {}
        for key, value in like.items():
            name = f"{prefix}.{key}"
            if isinstance(value, dict):
                found[key] = symbols(name, cast("Mapping[str, Any]", value))
            else:
                shape = tuple(int(size) for size in value.shape)
                inputs[name] = graph.make("input", (), shape, np.dtype(value.dtype), name)
                found[key] = Traced(graph, inputs[name])
        return found

    given = {name: symbols(name, one) for name, one in arguments.items()}
    xp = Recorder(graph)
    result = tree.flatten(function(xp, **given))
    outputs = {path: cast(Traced, xp.array(leaf)).node for path, leaf in result.items()}
    return Trace(graph, inputs, outputs)
