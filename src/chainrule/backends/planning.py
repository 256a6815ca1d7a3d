"""From a training step to its program."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.scan import Step
from chainrule.trace.array import TraceError
from chainrule.trace.loops import Program
from chainrule.trace.program import make_program
from chainrule.trace.tracing import Trace, trace
from chainrule.typing import Namespace, State, Tree


def traced_step(step: Step, state: State, data: Tree, controls: Tree) -> Trace:
    """Trace the step and the gathering of its batch; `controls` hold a value for each step.

    Inputs are named ``state.…``, ``data.…`` and ``controls.…``, outputs ``next.…`` (the state) and
    ``metrics.…``. Raises `TraceError` for what cannot be traced.
    """

    def whole(xp: Namespace, state: State, data: Tree, controls: Tree) -> Tree:
        indices = controls["indices"]
        batch = {name: xp.take(array, indices, axis=0) for name, array in data.items()}
        batch |= {name: value for name, value in controls.items() if name != "indices"}
        state, metrics = step(xp, state, batch)
        return {"next": state, "metrics": metrics}

    return trace(whole, state=state, data=data, controls=tree.map(_first, controls))


def plan(
    step: Step, state: State, data: Tree, controls: Tree, *, parallel: bool = False
) -> Program:
    """Return the program of a step, which writes the next state over the old one.

    `parallel` as in `make_program`.

    Raises `TraceError` for what cannot be traced, and for a state that comes out unlike it went in.
    """
    return laid_out(traced_step(step, state, data, controls), parallel=parallel)


def laid_out(traced: Trace, *, parallel: bool = False) -> Program:
    """Return the program of a traced step; see `plan`."""
    names = [name for name in traced.outputs if name.startswith("next.")]
    replaces = {name: name.replace("next", "state", 1) for name in names}
    for name in traced.inputs:
        if name.startswith("state.") and name not in replaces.values():
            raise TraceError(f"a state that loses {name}")
    for name, node in traced.outputs.items():
        if name.startswith("metrics.") and node.shape:
            raise TraceError(f"{name} of shape {node.shape}, expected one number a step,")
    return make_program(traced, replaces, parallel=parallel)


@dataclass(frozen=True)
class _Like:
    shape: tuple[int, ...]
    dtype: Any


def _first(stacked: NDArray[Any]) -> _Like:
    """What one step sees of an array that holds a value for each."""
    return _Like(stacked.shape[1:], stacked.dtype)
