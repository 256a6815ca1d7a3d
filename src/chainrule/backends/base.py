"""What every backend offers: one object for a library, a device and a float dtype."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from chainrule.backends.scan import Advice, Scan, Step
from chainrule.typing import Array, Namespace, Shape, State, Tree

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""The float dtypes a backend can compute in; a backend may offer fewer."""

SHORT_DTYPES = ("float16", "bfloat16")
"""Those in which a network computes while its parameters and optimizer stay in float32."""

MATMUL_PRECISIONS = ("float32", "tf32")
"""What float32 matrix products are computed in; ``tf32`` needs a library that knows it."""


@runtime_checkable
class Backend(Protocol):
    """An array library on one device, computing in one float dtype."""

    @property
    def name(self) -> str:
        """The library's short name: ``numpy``, ``cupy``, ``torch``, ``jax`` or ``strict``."""
        ...

    @property
    def device(self) -> str:
        """The device's name, such as ``cpu`` or ``cuda:0``."""
        ...

    @property
    def dtype(self) -> str:
        """The float dtype: ``float32``, ``float64``, ``float16`` or ``bfloat16``."""
        ...

    @property
    def matmul_precision(self) -> str:
        """What products of float32 matrices are computed in, inside `scope`.

        ``float32``, or ``tf32``: operands rounded to 10 bits of fraction, sums in float32. On a
        CPU, which has no TF32, PyTorch and JAX take it and compute in float32 or close to it.
        """
        ...

    @property
    def deterministic(self) -> bool:
        """Whether the same work gives the same bits each time, inside `scope`.

        On the same machine, with the same versions and as many threads.
        """
        ...

    def compiled_by(self) -> str:
        """What compiles steps unless told otherwise, such as ``jax.jit``; empty if nothing does."""
        ...

    @property
    def choice(self) -> str:
        """What ``auto`` chose and why; empty when the backend was named."""
        ...

    @property
    def xp(self) -> Namespace:
        """The library's Array API namespace."""
        ...

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        """Return `x`, a host array or one of this library's own, on this device.

        `dtype` is ``"float"`` (this backend's float dtype), ``"index"`` (int64; int32 on JAX),
        ``"int32"``, or ``None`` to keep the values' own. The values are kept bit for bit unless
        the dtype changes. The result may be `x` itself, or share memory with it on NumPy, PyTorch
        and array-api-strict: copy what will be donated.
        Raises `InputError` for another library's arrays and for dtypes that are not real numbers.
        """
        ...

    def to_numpy(self, x: Array) -> NDArray[Any]:
        """Return a copy of `x` as an ordinary writable C-ordered NumPy array.

        bfloat16, which NumPy lacks, becomes float32.
        """
        ...

    def owns(self, x: object) -> bool:
        """Return whether `x` is an array of this library, on any of its devices."""
        ...

    def gather(self, x: Array, indices: Array) -> Array:
        """Return the rows ``x[indices]``; indices (n,) of dtype ``"index"``, all in range."""
        ...

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        """Return what steps read slice by slice (indices, rates, keys), in the form that is
        cheapest.

        `dtype` as in `asarray`. A slice is passed to a compiled function or used with own arrays.
        """
        ...

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        """Return `function`, a pure function of arrays, made as fast as this library can.

        `donate` gives the positions of the arguments that are dead after the call.
        """
        ...

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        """Say whether `scan` can compile this step, and whether that pays for so many `steps`.

        It looks at sizes and counts alone, so that a run decides the same whenever it is repeated.
        """
        ...

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        """Return what runs many steps, compiled or as they stand; see `Scan`."""
        ...

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context to wrap around all work; it restores the library's state on leaving."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished what it was given."""
        ...


class RowBuffer(Protocol):
    """Arrays that steps read rows from, filled again and again from the host, a half at a time.

    `data` holds them by name, each of ``halves * rows`` rows; half `h` begins at row ``h * rows``.
    """

    halves: int
    data: Tree

    def fill(self, half: int, count: int, write: Callable[[Mapping[str, Any]], None]) -> None:
        """Fill the first `count` rows of a half, after the steps that `used` it.

        `write` puts them into NumPy arrays, given by name. It is called before `fill` returns; the
        copy to the device may still be under way.
        """
        ...

    def ready(self, half: int) -> None:
        """Have the steps that come see what a half was filled with."""
        ...

    def used(self, half: int) -> None:
        """Have what fills a half next wait for the steps that were begun."""
        ...

    def close(self) -> None:
        """Wait for copies under way; the arrays may be let go of."""
        ...


@runtime_checkable
class DeviceMemory(Protocol):
    """What a backend adds whose arrays lie in a memory of the device's own."""

    def free_memory(self) -> int | None:
        """Return the bytes that arrays may still take on the device; None where none can tell."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """What a backend adds that can copy to the device while the device computes."""

    def row_buffer(self, rows: int, layout: Mapping[str, tuple[Shape, str]]) -> RowBuffer:
        """Return a buffer of `rows` rows a half, of the shape and dtype given for each name."""
        ...


@dataclass(frozen=True)
class Status:
    """What can be used here, what compiles its steps; what is missing, and what to install."""

    name: str
    usable: bool
    version: str = ""
    devices: tuple[str, ...] = ()
    compiler: str = ""
    reason: str = ""
    install: str = ""


class StatusTable(list[Status]):
    """A list of `Status` that prints as a table."""

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("backend", "usable", "version", "devices", "compiles with", "what is missing")
        ]
        for s in self:
            note = "; ".join(part for part in (s.reason, s.install) if part)
            usable = "yes" if s.usable else "no"
            devices = ", ".join(s.devices)
            cells = (s.version, devices, s.compiler)
            rows.append((s.name, usable, *(cell or "-" for cell in cells), note))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__
