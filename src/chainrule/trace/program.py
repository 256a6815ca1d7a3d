"""From a trace to a program: which outputs are made, its steps in order, and its arrays."""

from collections.abc import Mapping

from chainrule.trace.array import TraceError
from chainrule.trace.graph import Node, needed
from chainrule.trace.loops import (
    Array,
    Copy,
    Nest,
    Operand,
    Product,
    Program,
)
from chainrule.trace.lower import Lowering, array_name
from chainrule.trace.memory import placed
from chainrule.trace.schedule import (
    SOURCES,
    Step,
    find_roots,
    in_row,
    make_schedule,
    matrix_base,
    touches,
    updates_early,
)
from chainrule.trace.tracing import Trace


def make_program(trace: Trace, replaces: Mapping[str, str], *, parallel: bool = False) -> Program:
    """Return the program of a trace; `replaces` names the input that an output overwrites.

    With `parallel`, for many threads at once: nests that update parameters stay together at the
    end, and a row's values are computed again rather than kept.
    """
    for name, old in replaces.items():
        if old not in trace.inputs:
            raise TraceError(f"a state that gains {old}")
        _check_like(trace.outputs[name], trace.inputs[old])
    outputs = {name: node for name, node in trace.outputs.items() if _changed(name, node, replaces)}
    finals = _finals(trace, outputs, replaces)
    nodes = needed(finals.values())
    roots = find_roots(nodes, finals.values())
    schedule = make_schedule(nodes, roots, parallel=parallel)
    over = _overwritten(finals, replaces)
    schedule = updates_early(schedule, roots, over, parallel=parallel)
    stored = _stored(schedule, roots) | {node for node in finals.values() if node in roots}
    arrays: dict[str, Array] = {}
    for node in nodes:
        if node.op in SOURCES:
            place = "input" if node.op == "input" else "constant"
            value = node.detail if node.op == "array" else None
            arrays[array_name(node)] = Array(
                array_name(node), node.size, node.dtype, place, 0, value
            )
        elif node in stored:
            arrays[array_name(node)] = Array(array_name(node), node.size, node.dtype, "arena")
    steps: list[Nest | Product | Copy] = []
    for number, step in enumerate(schedule):
        if isinstance(step, Node):
            steps.append(_product(step))
            continue
        lowering = Lowering(f"nest{number}", step, roots, stored, parallel=parallel)
        steps.append(lowering.build())
        for name, (size, dtype) in lowering.scratch.items():
            arrays[name] = Array(name, size, dtype, "arena")
    results = {name: array_name(node) for name, node in finals.items()}
    program = Program(steps, arrays, results)
    for name, node in trace.inputs.items():
        if name not in arrays:
            arrays[name] = Array(name, node.size, node.dtype, "input")
    return placed(program, replaces)


def _check_like(new: Node, old: Node) -> None:
    """Raise `TraceError` unless an output has the shape and dtype of the input it overwrites."""
    for what in ("dtype", "shape"):
        if getattr(new, what) != getattr(old, what):
            raise TraceError(
                f"{old.detail}, whose {what} changes from {getattr(old, what)} to "
                f"{getattr(new, what)},"
            )


def _changed(name: str, node: Node, replaces: Mapping[str, str]) -> bool:
    """Whether an output is anything but the input it would overwrite."""
    return not (node.op == "input" and replaces.get(name) == node.detail)


def _finals(
    trace: Trace, outputs: Mapping[str, Node], replaces: Mapping[str, str]
) -> dict[str, Node]:
    """Return the outputs, each a node of its own that is computed and not merely looked at."""
    taken: set[Node] = set()
    found: dict[str, Node] = {}
    for name, node in outputs.items():
        if node.op in (*SOURCES, "const") or node in taken or node.op == "reshape":
            node = trace.graph.make("copy", [node], node.shape, node.dtype, name)
        taken.add(node)
        found[name] = node
    return found


def _overwritten(finals: Mapping[str, Node], replaces: Mapping[str, str]) -> dict[Node, str]:
    """Return the outputs that overwrite an input, and its name."""
    return {node: replaces[name] for name, node in finals.items() if name in replaces}


def _stored(schedule: list[Step], roots: set[Node]) -> set[Node]:
    """Return the roots that are read from an array: by a product, or by another group."""
    found: set[Node] = set()
    for step in schedule:
        if isinstance(step, Node):
            found |= {step, *(matrix_base(arg)[0] for arg in step.args)}
            continue
        own = {root.target for root in step.roots}
        for root in step.roots:
            if root.target.op == "concat" or (root.reduces and not in_row(root.target)):
                found.add(root.target)
            for node, aligned in touches(root, roots).items():
                if node in roots and (node not in own or not aligned):
                    found.add(node)
    return found - {node for node in found if node.op in SOURCES}


def _product(node: Node) -> Product:
    left, right = (_operand(arg) for arg in node.args)
    (rows, inner), (_, columns) = node.args[0].shape, node.args[1].shape
    return Product(array_name(node), left, right, rows, inner, columns, node.dtype)


def _operand(node: Node) -> Operand:
    base, transposed = matrix_base(node)
    columns = node.shape[0] if transposed else node.shape[1]
    return Operand(array_name(base), columns, transposed)
