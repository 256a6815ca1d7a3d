"""Whether compiling a step pays: a rule that looks at sizes and step counts alone."""

from chainrule import tree
from chainrule.backends.scan import Advice, Step
from chainrule.typing import State, Tree

CALL = 1.1e-6
"""Seconds that NumPy takes for an operation on a small array, beyond its arithmetic."""

ELEMENT = 0.15e-9
"""Seconds a pass over memory costs an element where loops are not fused."""

START = 0.2
"""Seconds to load LLVM and compile a small program."""

COMPILE = 1.0e-3
"""Seconds to compile an operation more."""


MARGIN = 1.5
"""What must be saved, in units of the cost: the estimates are rough."""

CALLS = 300
"""Operations in a step, at most, as long as it has not been looked at."""

PASSES = 40
"""Passes over the parameters in a step, at most, likewise."""


def advise(step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
    """Compare what fused loops save over so many steps with what compiling them costs.

    Both are estimates from the number of operations in the step and the sizes of their arrays,
    with constants measured once (docs/performance.md). A run too short for any such step is not
    even traced. Raises what the step does when it is traced, `TraceError` for one that cannot be.
    """
    parameters = sum(array.size for array in tree.leaves(state["params"]))
    most = steps * (CALLS * CALL + PASSES * ELEMENT * parameters)
    saved, cost = most, START
    if saved >= MARGIN * cost:
        from chainrule.backends.native.planning import traced_step

        nodes = traced_step(step, state, data, controls).nodes
        work = [node for node in nodes if node.is_call]
        saved = sum(CALL + ELEMENT * max(node.size, node.args[0].size) for node in work) * steps
        cost = START + COMPILE * len(work)
    if saved < MARGIN * cost:
        return Advice(True, False, f"{steps:,} steps are too few for compiling to pay")
    return Advice(True, True, "compiled by LLVM")
