"""Whether capturing a step pays: a rule that looks at sizes and step counts alone."""

from chainrule.backends.cuda.source import make_source
from chainrule.backends.planning import laid_out, traced_step
from chainrule.backends.scan import Advice, Step
from chainrule.trace.loops import Product
from chainrule.typing import State, Tree

CALL = 10e-6
"""Seconds of Python and launch an operation costs CuPy; 8 to 15 were seen elsewhere."""

COMPILE = 1.0
"""Seconds to trace, compile and capture a step: NVRTC takes 0.3 for the digits network's
kernels, the rest is a margin. Not measured on CUDA."""


def advise(step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
    """Compare the launches that a graph saves over so many steps with compiling its kernels.

    Raises what the step does when it is traced, `TraceError` for one that cannot be.
    """
    traced = traced_step(step, state, data, controls)
    program = laid_out(traced, parallel=True)
    make_source(program, {})
    for one in program.steps:
        if isinstance(one, Product) and one.dtype.kind != "f":
            return Advice(False, False, f"cuBLAS has no products of {one.dtype.name}")
    calls = sum(node.is_call or node.op == "matmul" for node in traced.nodes)
    if steps * calls * CALL < COMPILE:
        return Advice(True, False, f"{steps:,} steps are too few for compiling to pay")
    return Advice(True, True, f"over {steps:,} steps one graph a step pays")
