"""A program as CUDA C: its nests in as few launches as can be, between cuBLAS's products.

Nests that have nothing to do with each other share a launch, each in blocks of its own: the update
of all parameters is one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources

from chainrule.backends.cuda.expressions import stored
from chainrule.backends.cuda.kernels import THREADS, Kernel
from chainrule.trace.loops import Copy, Nest, Product, Program
from chainrule.trace.memory import reads_and_writes

OPTIONS = ("--std=c++17", "--fmad=false", "-ftz=true")
"""For the compiler: products and sums are rounded one by one, and float32's denormals are zeros, as
in eager execution on CuPy, which asks for the latter by itself.
"""

MOST = 200
"""Arrays that a launch takes, at most; CUDA passes 4 KiB of arguments."""


@dataclass
class Launch:
    """Nests that one kernel computes; `arrays` are its arguments behind the first two.

    Those are the number of the step and the memory that blocks share.
    """

    name: str
    nests: list[Nest] = field(default_factory=list[Nest])
    arrays: list[str] = field(default_factory=list[str])
    blocks: int = 0
    threads: int = THREADS


@dataclass(frozen=True)
class Source:
    """The text of all kernels, what a step consists of, and the bytes that blocks share."""

    text: str
    steps: list[Launch | Product | Copy]
    shared: int


def make_source(program: Program, stepped: Mapping[str, int]) -> Source:
    """Return a program's kernels.

    `stepped` names the arrays that hold something for each step, with the number of elements
    between two steps. Raises `TraceError` for what cannot be put so.
    """
    steps = grouped(program)
    launches = [step for step in steps if isinstance(step, Launch)]
    kernels = {
        nest.name: Kernel(program, nest, dict(stepped)) for one in launches for nest in one.nests
    }
    counters = 4 * sum(kernel.counters for kernel in kernels.values())
    shared, counter, texts = -(-counters // 16) * 16, 0, [prelude()]
    for launch in launches:
        calls: list[str] = []
        for nest in launch.nests:
            kernel = kernels[nest.name]
            texts.append(kernel.text())
            launch.arrays += [
                name for name in kernel.pointers.values() if not _has(program, launch.arrays, name)
            ]
            calls += _call(program, launch, kernel, counter, shared)
            launch.blocks += kernel.blocks
            counter += 4 * kernel.counters
            shared += -(-kernel.shared // 16) * 16
        given = ["const i64 *step", "char *shared"]
        given += [f"void *a{number}" for number in range(len(launch.arrays))]
        head = f"KERNEL void {launch.name}({', '.join(given)}) {{"
        texts.append("\n".join([head, "    i32 block = (i32)blockIdx.x;", *calls, "}"]))
    return Source("\n\n".join(texts) + "\n", steps, shared)


def prelude() -> str:
    """Return what every kernel stands on."""
    return resources.files("chainrule.backends.cuda").joinpath("prelude.cuh").read_text()


def _call(
    program: Program, launch: Launch, kernel: Kernel, counter: int, shared: int
) -> Iterator[str]:
    """Yield the lines that give a nest its blocks."""
    places = [program.place(name) for name in launch.arrays]
    given = [
        f"({stored(program.arrays[name].dtype)} *)a{places.index(at)}"
        for at, name in kernel.pointers.items()
    ]
    arguments = ["block", "*step", *given, f"(u32 *)(shared + {counter})", f"shared + {shared}"]
    yield f"    if (block >= 0 && block < {kernel.blocks})"
    yield f"        {kernel.nest.name}({', '.join(arguments)});"
    yield f"    block -= {kernel.blocks};"


def _has(program: Program, arrays: list[str], name: str) -> bool:
    return any(program.place(other) == program.place(name) for other in arrays)


def grouped(program: Program) -> list[Launch | Product | Copy]:
    """Return the steps, every nest in the last launch before it that it may run beside."""
    steps: list[Launch | Product | Copy] = []
    for step in program.steps:
        if not isinstance(step, Nest):
            steps.append(step)
            continue
        launch = next((one for one in _beside(program, step, steps)), None)
        if launch is None:
            launch = Launch(f"launch{len(steps)}")
            steps.append(launch)
        launch.nests.append(step)
    return steps


def _beside(program: Program, nest: Nest, steps: list[Launch | Product | Copy]) -> Iterator[Launch]:
    """Yield the launches that the nest may join, from the end."""
    for step in reversed(steps):
        if _conflict(program, nest, step):
            return
        if isinstance(step, Launch):
            taken = sum(len(program.places(one)) for one in (*step.nests, nest))
            if taken <= MOST:
                yield step


def _conflict(program: Program, nest: Nest, step: Launch | Product | Copy) -> bool:
    """Whether one of the two writes what the other touches."""
    reads, writes = reads_and_writes(nest)
    for one in step.nests if isinstance(step, Launch) else [step]:
        theirs, made = reads_and_writes(one)
        if _meet(program, writes, theirs | made) or _meet(program, reads, made):
            return True
    return False


def _meet(program: Program, some: set[str], others: set[str]) -> bool:
    """Whether any of these arrays lies where any of the others does."""
    if some & others:
        return True
    arrays = program.arrays
    return any(
        arrays[a].place == arrays[b].place == "arena"
        and arrays[a].offset < arrays[b].offset + arrays[b].bytes
        and arrays[b].offset < arrays[a].offset + arrays[a].bytes
        for a in some
        for b in others
    )
