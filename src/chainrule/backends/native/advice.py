"""Whether compiling a step pays: a rule that looks at sizes and step counts alone."""

from math import prod

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

LONGEST = 10.0
"""Seconds that a run may be held up by compiling, unless it is asked to."""

PASSES = 40
"""Passes over parameters and activations in a step, at most, as long as it has not been traced."""


def advise(step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
    """Compare what fused loops save over so many steps with what compiling them costs.

    Both are estimates from the number of operations in the step and the sizes of their arrays,
    with constants measured once (docs/performance.md). A run too short for any such step is not
    even traced. Raises what the step does when it is traced, `TraceError` for one that cannot be.
    """
    params, x = tree.leaves(state["params"]), data["x"]
    widths = sum(array.shape[-1] for array in params if array.ndim) + prod(x.shape[1:])
    elements = sum(array.size for array in params) + controls["indices"].shape[-1] * widths
    calls_pay = steps * CALL >= MARGIN * COMPILE
    if not calls_pay and steps * PASSES * ELEMENT * elements < MARGIN * START:
        return Advice(True, False, f"{steps:,} steps are too few for compiling to pay")
    from chainrule.backends.planning import laid_out, traced_step

    traced = traced_step(step, state, data, controls)
    laid_out(traced)
    work = [node for node in traced.nodes if node.is_call]
    saved = sum(CALL + ELEMENT * max(node.size, node.args[0].size) for node in work) * steps
    cost = START + COMPILE * len(work)
    if cost > LONGEST:
        return Advice(True, False, f"compiling would take some {cost:.0f} s")
    if saved < MARGIN * cost:
        return Advice(True, False, f"{steps:,} steps are too few for compiling to pay")
    return Advice(True, True, f"over {steps:,} steps compiling pays")
