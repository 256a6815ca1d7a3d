"""A training step as one CUDA graph, launched once a step.

A graph repeats what was captured, on the same addresses. So the state lives in arrays that never
move, and what differs between steps (rows, learning rates, keys) lies on the device for a whole
chunk: kernels read the number of their step from the device, and the last of them counts it up.
Nothing is allocated and nothing is read back while steps run.
"""

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from chainrule import tree
from chainrule.backends.cuda.products import Products
from chainrule.backends.cuda.source import OPTIONS, Launch, Source, make_source
from chainrule.backends.planning import plan
from chainrule.backends.scan import Step
from chainrule.trace.loops import Copy, Product, Program
from chainrule.typing import State, Tree

CAPACITY = 256
"""Steps in a chunk that arrays are made for, at least."""

_DEVICE_TO_DEVICE = 3
"""cudaMemcpyDeviceToDevice."""

Arrays = dict[str, Any]


class Executable:
    """A program's kernels and working memory, and the graph of its work on the arrays bound."""

    def __init__(self, program: Program, capacity: int, stream: Any, by: Products) -> None:
        self._cupy = cupy = import_module("cupy")
        self.program = program
        self.capacity = capacity
        self._stream = stream
        self._products = by
        stepped = {
            name: array.size
            for name, array in program.arrays.items()
            if name.startswith(("controls.", "metrics."))
        }
        self._source: Source = make_source(program, stepped)
        module = cupy.RawModule(code=self._source.text, options=OPTIONS)
        self._arena = cupy.empty(program.arena, "uint8")
        self._shared = cupy.zeros(self._source.shared, "uint8")
        self._step = cupy.zeros(1, "int64")
        self._arrays: Arrays = {}
        for name, array in program.arrays.items():
            if name in stepped:
                self._arrays[name] = cupy.empty(capacity * array.size, array.dtype)
            elif array.place == "constant":
                self._arrays[name] = cupy.array(array.value.reshape(-1))
        launches = [step for step in self._source.steps if isinstance(step, Launch)]
        self._kernels = {one.name: module.get_function(one.name) for one in launches}
        self._kernels["advance"] = module.get_function("advance")
        self._bound: Arrays = {}
        self._graph: Any = None
        self._warm = False

    def bind(self, given: Mapping[str, Any]) -> None:
        """Work on these arrays, the state's and the data's; elsewhere than before, capture anew."""
        places = [array.data.ptr for array in given.values()]
        if places != [array.data.ptr for array in self._bound.values()]:
            self._graph = None
        self._bound = dict(given)

    def forget(self) -> None:
        """Hold on to the arrays bound no longer."""
        self._bound, self._graph = {}, None

    def run(self, controls: Tree, steps: int) -> tuple[Arrays, int, KeyboardInterrupt | None]:
        """Put so many steps on the stream.

        Return the metrics, the steps done, and an interrupt that came meanwhile.
        """
        cupy, interrupt = self._cupy, None
        for name, values in controls.items():
            self._arrays[f"controls.{name}"][: values.size] = values.reshape(-1)
        self._step.fill(0)
        done = 0
        try:
            while done < steps:
                if self._graph is None:
                    self._graph = self._captured()
                self._graph.launch(self._stream)
                done += 1
        except KeyboardInterrupt as error:
            interrupt, done = error, int(cupy.asnumpy(self._step)[0])
        metrics = {
            name.partition(".")[2]: self._arrays[name][:done].copy()
            for name in self._arrays
            if name.startswith("metrics.")
        }
        return metrics, done, interrupt

    def _captured(self) -> Any:
        """Return the graph of a step.

        What CUDA loads at first use, it loads before: cuBLAS's kernels by products whose results
        are written over, CuPy's when the module was made. Garbage that would free memory of the
        device meanwhile, which a capture does not survive, is collected first.
        """
        if not self._warm:
            self._warm_up()
        gc.collect()
        self._stream.begin_capture()
        try:
            self._issue()
        finally:
            graph = self._stream.end_capture()
        return graph

    def _warm_up(self) -> None:
        """Compute every product once, into memory of its own."""
        for step in self._source.steps:
            if isinstance(step, Product):
                result = self._cupy.empty(step.rows * step.columns, step.dtype)
                left, right = self._at(step.left.array), self._at(step.right.array)
                self._products.multiply(step, left, right, int(result.data.ptr))
        self._warm = True

    def _issue(self) -> None:
        """Put the kernels and products of a step on the stream."""
        for step in self._source.steps:
            if isinstance(step, Launch):
                pointers = (self._step.data.ptr, self._shared.data.ptr, *map(self._at, step.arrays))
                self._launch(step.name, step.blocks, step.threads, pointers)
            elif isinstance(step, Product):
                left, right = self._at(step.left.array), self._at(step.right.array)
                self._products.multiply(step, left, right, self._at(step.result))
            else:
                self._copy(step)
        self._launch("advance", 1, 1, (self._step.data.ptr,))

    def _launch(self, name: str, blocks: int, threads: int, pointers: tuple[int, ...]) -> None:
        uint64 = self._cupy.uint64
        self._kernels[name]((blocks,), (threads,), tuple(uint64(p) for p in pointers))

    def _copy(self, copy: Copy) -> None:
        size = copy.size * copy.dtype.itemsize
        target, source = self._at(copy.target), self._at(copy.source)
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(target, source, size, _DEVICE_TO_DEVICE, self._stream.ptr)

    def _at(self, name: str) -> int:
        """Return an array's address."""
        array = self.program.arrays[name]
        if array.place == "arena":
            return int(self._arena.data.ptr) + array.offset
        own = self._arrays if name in self._arrays else self._bound
        return int(own[name].data.ptr)


class CudaSteps:
    """Runs chunks of steps on the current device; a graph is made for each shape of batch."""

    def __init__(self, step: Step, precision: str) -> None:
        self._cupy = import_module("cupy")
        self._step = step
        self._precision = precision
        self._stream: Any = None
        self._products: Any = None
        self._executables: dict[Any, Executable] = {}
        self._layout: dict[str, Any] = {}
        self._arrays: State = {}

    def __call__(
        self, state: State, data: Tree, controls: Tree
    ) -> Iterator[tuple[State, int, Tree]]:
        """Make one step for each row of the controls; the state's arrays are written over."""
        cuda = self._cupy.cuda
        if self._stream is None:
            self._stream = cuda.Stream(non_blocking=True)
            self._products = Products(self._stream, self._precision)
        caller = cuda.get_current_stream()
        self._stream.wait_event(caller.record())
        try:
            with self._stream:
                self._own(state)
                executable = self._executable(data, controls)
                steps = len(controls["indices"])
                metrics, done, interrupt = executable.run(controls, steps)
        finally:
            caller.wait_event(self._stream.record())
        yield tree.map(lambda own: own, self._arrays), done, metrics
        if interrupt is not None:
            raise interrupt

    def __deepcopy__(self, memo: Any) -> "CudaSteps":
        return CudaSteps(self._step, self._precision)

    def forget_data(self) -> None:
        """Hold on to the data no longer."""
        if self._stream is not None:
            self._stream.synchronize()
        for executable in self._executables.values():
            executable.forget()

    def _executable(self, data: Tree, controls: Tree) -> Executable:
        given = {f"data.{name}": self._cupy.ascontiguousarray(x) for name, x in data.items()}
        key = (
            *((name, x.shape, x.dtype) for name, x in data.items()),
            *((name, x.shape[1:], x.dtype) for name, x in controls.items()),
        )
        steps, found = len(controls["indices"]), self._executables.get(key)
        if found is None or found.capacity < steps:
            program = plan(self._step, self._arrays, data, controls, parallel=True)
            found = Executable(program, max(steps, CAPACITY), self._stream, self._products)
            self._executables[key] = found
        found.bind(given | tree.flatten({"state": self._arrays}))
        return found

    def _own(self, state: State) -> None:
        """Bring the state into the arrays that the graphs know, which then are the state."""
        layout = {name: (x.shape, x.dtype) for name, x in tree.flatten(state).items()}
        if layout != self._layout:
            self._executables, self._layout = {}, layout
            self._arrays = tree.map(lambda x: self._cupy.array(x, order="C"), state)
        else:
            tree.map(_into, self._arrays, state)


def _into(own: Any, given: Any) -> Any:
    if given is not own:
        own[...] = given
    return own
