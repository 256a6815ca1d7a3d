"""A training step as one native program that runs many steps in one call."""

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.native import cache, emit, machine
from chainrule.backends.native.blas import Blas, find_blas
from chainrule.backends.planning import plan
from chainrule.backends.scan import Step
from chainrule.errors import BackendError
from chainrule.trace.loops import Program
from chainrule.trace.memory import ALIGNMENT
from chainrule.typing import State, Tree

Arrays = dict[str, NDArray[Any]]


@dataclass(eq=False)
class Executable:
    """A program's machine code, with its constants and its working memory."""

    program: Program
    blas: Blas
    stepped: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        arrays = self.program.arrays
        self.stepped = {
            name: array.size
            for name, array in arrays.items()
            if name.startswith(("controls.", "metrics."))
        }
        text = emit.emitted(self.program, self.stepped, self.blas.whole)
        name = cache.name_of(text, machine.signature())
        code = cache.load(name)
        if code is None:
            code = machine.machine_code(text)
            cache.save(name, code)
        self._entry, self._library = machine.linked(code, self.blas)
        self._arguments = emit.arguments(self.program)
        self._constants: Arrays = {
            name: array.value for name, array in arrays.items() if array.place == "constant"
        }
        self._memory = np.empty(self.program.arena + ALIGNMENT, dtype=np.uint8)
        self._pointers = (ctypes.c_void_p * (len(self._arguments) + 1))()
        self._pointers[-1] = -(-self._memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self._places = {name: place for place, name in enumerate(self._arguments)}
        self._metrics = [name for name in self.stepped if name.startswith("metrics.")]
        self.bind(self._constants)

    def bind(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Let the program work on these arrays, until others of the same names are bound."""
        for name, array in arrays.items():
            place = self._places.get(name)
            if place is not None:
                self._pointers[place] = array.ctypes.data

    def run(self, steps: int) -> tuple[Arrays, int, KeyboardInterrupt | None]:
        """Run so many steps on the arrays that are bound.

        Return the metrics, the steps done (all or none), and an interrupt that came meanwhile.
        """
        arrays = self.program.arrays
        metrics = {name: np.empty(steps, arrays[name].dtype) for name in self._metrics}
        self.bind(metrics)
        done = ctypes.c_int64(0)
        interrupt = None
        try:
            if steps > 0:
                self._entry(self._pointers, steps, ctypes.byref(done))
        except KeyboardInterrupt as error:
            interrupt = error
        return metrics, done.value, interrupt


class NativeSteps:
    """Runs chunks of steps; a program is made for each shape of batch."""

    def __init__(self, step: Step) -> None:
        blas = find_blas()
        if blas is None:
            raise BackendError("NumPy's BLAS was not found")
        self._step = step
        self._blas = blas
        self._executables: dict[Any, Executable] = {}
        self._state: State = {}
        self._leaves: Arrays = {}
        self._links: list[tuple[Tree, str, Any]] = []
        self._shapes: Any = ()
        self._bound: list[Executable] = []
        self._data: Tree = {}
        self._data_links: list[tuple[Tree, str, Any]] = []
        self._straight: Arrays = {}

    def __call__(
        self, state: State, data: Tree, controls: Tree
    ) -> Iterator[tuple[State, int, Tree]]:
        """Make one step for each row of the controls; the state's arrays are written over."""
        if self._data is not data or not _unchanged(self._data_links):
            self._data, self._data_links = data, list(_links(data))
            self._straight = {f"data.{name}": _in_rows(array) for name, array in data.items()}
            self._links = []
        if state is not self._state or not self._links or not _unchanged(self._links):
            self._own(state)
        executable = self._executable(data, controls)
        if executable not in self._bound:
            executable.bind(self._leaves | self._straight)
            self._bound.append(executable)
        given = {f"controls.{name}": np.ascontiguousarray(x) for name, x in controls.items()}
        executable.bind(given)
        metrics, done, interrupt = executable.run(len(controls["indices"]))
        yield self._state, done, {name.partition(".")[2]: v for name, v in metrics.items()}
        if interrupt is not None:
            raise interrupt

    def __deepcopy__(self, memo: Any) -> "NativeSteps":
        return NativeSteps(self._step)

    def forget_data(self) -> None:
        """Hold on to the data no longer."""
        self._data, self._straight, self._data_links, self._bound = {}, {}, [], []

    def _executable(self, data: Tree, controls: Tree) -> Executable:
        key = (
            self._shapes,
            *((name, x.shape, x.dtype) for name, x in data.items()),
            *((name, x.shape[1:], x.dtype) for name, x in controls.items()),
        )
        found = self._executables.get(key)
        if found is None:
            program = plan(self._step, self._state, data, controls)
            found = self._executables[key] = Executable(program, self._blas)
        return found

    def _own(self, state: State) -> None:
        """Take a state: every array in row order, writable, in memory of its own."""
        leaves: dict[str, Any] = tree.flatten({"state": state})
        others = list(self._straight.values())
        for name, array in leaves.items():
            if not _fits(array) or any(np.may_share_memory(array, other) for other in others):
                leaves[name] = np.array(array, order="C", copy=True)
            others.append(leaves[name])
        self._leaves, self._bound = leaves, []
        self._shapes = tuple((name, x.shape, x.dtype) for name, x in leaves.items())
        self._state = _like(state, leaves, "state")
        self._links = list(_links(self._state))


def _links(branch: Tree) -> Iterator[tuple[Tree, str, Any]]:
    """Yield ``(branch, key, what is there)`` for all of a tree: the way to see a replacement."""
    for key, value in branch.items():
        yield branch, key, value
        if isinstance(value, dict):
            yield from _links(cast(Tree, value))


def _unchanged(links: list[tuple[Tree, str, Any]]) -> bool:
    return all(branch.get(key) is value for branch, key, value in links)


def _in_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that lies in row order, `array` itself if it does."""
    straight = array.flags.c_contiguous and array.flags.aligned
    return array if straight else np.array(array, order="C")


def _fits(array: Any) -> bool:
    """Whether a program can write to it: a whole array in row order."""
    return isinstance(array, np.ndarray) and cast("NDArray[Any]", array).flags.carray


def _like(state: Tree, leaves: Arrays, prefix: str) -> Tree:
    """Return a tree of the same branches, empty ones too, with leaves by their dotted names."""
    return {
        key: _like(cast(Tree, value), leaves, f"{prefix}.{key}")
        if isinstance(value, dict)
        else leaves[f"{prefix}.{key}"]
        for key, value in state.items()
    }
