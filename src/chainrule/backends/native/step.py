"""A training step as one native program that runs many steps in one call."""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.native import cache, emit, machine
from chainrule.backends.native.blas import find_blas
from chainrule.errors import BackendError
from chainrule.trace.loops import Program
from chainrule.trace.program import ALIGNMENT, make_program
from chainrule.trace.tracing import trace
from chainrule.typing import Namespace, State, Tree

Arrays = dict[str, NDArray[Any]]


def plan(step: Callable[..., Any], state: State, data: Tree, controls: Tree) -> Program:
    """Trace ``step(xp, state, batch)`` on the rows that one step's `controls` choose; lay it out.

    controls: trees of one value a step. The program's arrays are named ``state.…``, ``data.…``,
    ``controls.…`` and ``metrics.…``. Raises `TraceError` for what cannot be traced.
    """

    def whole(xp: Namespace, state: State, data: Tree, controls: Tree) -> Tree:
        indices = controls["indices"]
        batch = {name: xp.take(array, indices, axis=0) for name, array in data.items()}
        batch |= {name: value for name, value in controls.items() if name != "indices"}
        state, metrics = step(xp, state, batch)
        return {"next": state, "metrics": metrics}

    one = tree.map(_first, controls)
    traced = trace(whole, state=state, data=data, controls=one)
    names = (name for name in traced.outputs if name.startswith("next."))
    return make_program(traced, {name: name.replace("next", "state", 1) for name in names})


@dataclass(frozen=True)
class _Like:
    shape: tuple[int, ...]
    dtype: Any


def _first(stacked: NDArray[Any]) -> _Like:
    """What one step sees of an array that holds a value for each."""
    return _Like(stacked.shape[1:], stacked.dtype)


@dataclass
class Executable:
    """A program's machine code, with its constants and its working memory."""

    program: Program
    stepped: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        blas = find_blas()
        if blas is None:
            raise BackendError("the BLAS that NumPy uses was not found")
        arrays = self.program.arrays
        self.stepped = {
            name: array.size
            for name, array in arrays.items()
            if name.startswith(("controls.", "metrics."))
        }
        text = emit.emitted(self.program, self.stepped, blas.whole)
        name = cache.name_of(text, machine.signature())
        code = cache.load(name)
        if code is None:
            code = machine.machine_code(text)
            cache.save(name, code)
        self._entry, self._library = machine.linked(code, blas)
        self._arguments = emit.arguments(self.program)
        self._constants: Arrays = {
            name: array.value for name, array in arrays.items() if array.place == "constant"
        }
        self._memory = np.empty(self.program.arena + ALIGNMENT, dtype=np.uint8)
        self._arena = -(-self._memory.ctypes.data // ALIGNMENT) * ALIGNMENT

    def run(self, given: Mapping[str, NDArray[Any]], steps: int) -> tuple[Arrays, int]:
        """Run so many steps on the arrays given; return the metrics, and the steps done.

        Fewer are done only when Python was interrupted before the call.
        """
        metrics = {
            name: np.empty(
                (steps, *self.program.shapes.get(name, ())), self.program.arrays[name].dtype
            )
            for name in self.stepped
            if name.startswith("metrics.")
        }
        known = {**given, **metrics, **self._constants}
        pointers = (ctypes.c_void_p * (len(self._arguments) + 1))(
            *(known[name].ctypes.data for name in self._arguments), self._arena
        )
        done = ctypes.c_int64(0)
        interrupted = None
        try:
            self._entry(pointers, steps, ctypes.byref(done))
        except KeyboardInterrupt as error:
            interrupted = error
        del interrupted
        return metrics, done.value


class NativeSteps:
    """Runs chunks of steps; a program is made for each shape of batch."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self._executables: dict[Any, Executable] = {}
        self._held: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    def program(self, state: State, data: Tree, controls: Tree) -> Program:
        return self._executable(state, data, controls).program

    def _executable(self, state: State, data: Tree, controls: Tree) -> Executable:
        given = tree.flatten({"state": state, "data": data})
        key = tuple((name, x.shape, x.dtype.str) for name, x in given.items())
        key += tuple((name, x.shape[1:], x.dtype.str) for name, x in controls.items())
        if key not in self._executables:
            self._executables[key] = Executable(plan(self._step, state, data, controls))
        return self._executables[key]

    def __call__(self, state: State, data: Tree, controls: Tree) -> tuple[State, Tree]:
        """Make one step for each row of the controls; the state's arrays are written over."""
        state = cast(State, _owned(state))
        executable = self._executable(state, data, controls)
        given: Arrays = tree.flatten({"state": state})
        for name, array in {**_named("data", data), **_named("controls", controls)}.items():
            given[name] = self._straight(name, array)
        metrics, done = executable.run(given, len(controls["indices"]))
        return state, {name.partition(".")[2]: v[:done] for name, v in metrics.items()}

    def _straight(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array in row order; a copy is kept for as long as the same array comes."""
        if array.flags.c_contiguous and array.flags.aligned:
            return array
        held = self._held.get(name)
        if held is None or held[0] is not array:
            held = self._held[name] = (array, np.array(array, order="C"))
        return held[1]


def _named(prefix: str, arrays: Tree) -> Arrays:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _owned(state: Tree) -> Tree:
    """Return the state with every array in row order, writable, and in memory of its own."""
    seen: set[int] = set()

    def own(array: Any) -> NDArray[Any]:
        fits = isinstance(array, np.ndarray) and array.flags.carray and array.flags.writeable
        address = array.ctypes.data if fits else 0
        if not fits or address in seen:
            array = np.array(array, order="C", copy=True)
            address = array.ctypes.data
        seen.add(address)
        return array

    return tree.map(own, state)
