"""Where a fit's data are, and how steps get at their rows: resident, or streamed from the host."""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import Backend, Overlapping, RowBuffer
from chainrule.data.sampler import Rows, Sampler
from chainrule.errors import InputError
from chainrule.train.host_rows import HostRows, parts
from chainrule.train.memory import explained, free_memory
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

Mode: TypeAlias = Literal["auto"] | bool

SHARE = 0.5
"""The part of the device's free memory that data may take, unless they are asked to."""

HALF_BYTES = 64 * 2**20
"""Bytes that are streamed at a time, or one batch if that is more; twice as many are in memory."""

THREADS = 4
"""Threads that take rows together: one alone copies slower than a device reads."""


class Resident:
    """All rows are on the device; `data` is a tree of its arrays."""

    def __init__(self, data: Tree, sampler: Sampler) -> None:
        self.data = data
        self._batches = sampler.batches
        self._order = lru_cache(maxsize=1)(sampler.order)

    def end(self, batch: int) -> int:
        """Return the batch before which a chunk that starts at `batch` must end."""
        return self._batches

    def rows(self, epoch: int, batch: int) -> tuple[Rows, int]:
        """Return where the rows of batch `batch` and those after it are in `data`.

        As an order (rows,), and the number of the batch that it begins with.
        """
        return self._order(epoch), 0

    def begun(self, epochs: int) -> None:
        """Take note that all steps whose rows were asked for are under way, of `epochs` epochs."""

    def close(self) -> None:
        """Let go of what is not the caller's."""


class Streamed:
    """The rows stay on the host; windows of an epoch's order are in `data` for a while.

    A window is a fixed stretch of batches of an epoch. Where the backend can copy while it
    computes, the next window is taken and copied while the steps of this one run.
    """

    def __init__(self, backend: Backend, source: Mapping[str, HostRows], sampler: Sampler) -> None:
        self._source = dict(source)
        self._sampler = sampler
        self._order = lru_cache(maxsize=2)(sampler.order)
        self._row_bytes = sum(array.row_bytes for array in self._source.values())
        fitting = HALF_BYTES // (self._row_bytes * sampler.batch_size)
        self._batches = max(1, min(fitting, sampler.batches))
        self._room = self._batches * sampler.batch_size
        layout = {name: (a.shape[1:], a.dtype.name) for name, a in self._source.items()}
        make = backend.row_buffer if isinstance(backend, Overlapping) else None
        self._buffer: RowBuffer = (
            make(self._room, layout) if make else PlainBuffer(backend, self._room, self._source)
        )
        self._held: list[tuple[int, int] | None] = [None] * self._buffer.halves
        self._half = self._buffer.halves - 1
        self._pool = ThreadPoolExecutor(THREADS)

    @property
    def data(self) -> Tree:
        """The device's arrays, always of one shape."""
        return self._buffer.data

    def end(self, batch: int) -> int:
        """Return the batch before which a chunk that starts at `batch` must end."""
        return min((batch // self._batches + 1) * self._batches, self._sampler.batches)

    def rows(self, epoch: int, batch: int) -> tuple[Rows, int]:
        """Return where the rows of batch `batch` and those after it are in `data`.

        As an order (rows,), and the number of the batch that it begins with.
        """
        number = batch // self._batches
        if (epoch, number) not in self._held:
            self._load(epoch, number)
        self._half = self._held.index((epoch, number))
        self._buffer.ready(self._half)
        start = self._half * self._room
        count = min(self._room, self._sampler.rows - number * self._room)
        return np.arange(start, start + count), number * self._batches

    def begun(self, epochs: int) -> None:
        """Take note that all steps whose rows were asked for are under way, of `epochs` epochs.

        Takes the rows of the window after theirs, if there is a half for them.
        """
        self._buffer.used(self._half)
        window = self._held[self._half]
        if window is None or self._buffer.halves == 1:
            return
        epoch, number = window
        after = (epoch, number + 1)
        if after[1] * self._batches >= self._sampler.batches:
            after = (epoch + 1, 0)
        if after[0] < epochs and after not in self._held:
            self._load(*after)

    def close(self) -> None:
        """Wait for copies under way."""
        self._pool.shutdown()
        self._buffer.close()

    def _load(self, epoch: int, number: int) -> None:
        """Take a window's rows into the half that was not used last."""
        rows = self._order(epoch)[number * self._room : (number + 1) * self._room]
        half = (self._half + 1) % self._buffer.halves
        self._held[half] = None
        self._buffer.fill(half, len(rows), lambda out: self._take(rows, out))
        self._held[half] = (epoch, number)

    def _take(self, rows: Rows, out: Mapping[str, NDArray[Any]]) -> None:
        """Write rows of all inputs into `out`, each thread a part of them."""

        def take(part: slice) -> None:
            for name, array in self._source.items():
                array.take(rows[part], out[name][part])

        share = -(-len(rows) // THREADS) * self._row_bytes
        list(self._pool.map(take, parts(len(rows), self._row_bytes, share)))


class PlainBuffer:
    """A `RowBuffer` of one half for any backend: it is copied whole, and nothing overlaps."""

    halves = 1

    def __init__(self, backend: Backend, rows: int, source: Mapping[str, HostRows]) -> None:
        self._backend = backend
        self._kinds = {name: array.kind for name, array in source.items()}
        self._host = {name: np.zeros((rows, *a.shape[1:]), a.dtype) for name, a in source.items()}
        self.data: Tree = {}
        self._copy()

    def fill(self, half: int, count: int, write: Callable[[Mapping[str, Any]], None]) -> None:
        write({name: array[:count] for name, array in self._host.items()})
        self._copy()

    def ready(self, half: int) -> None: ...

    def used(self, half: int) -> None: ...

    def close(self) -> None: ...

    def _copy(self) -> None:
        for name, array in self._host.items():
            self.data[name] = self._backend.asarray(array, self._kinds[name])


def feed(backend: Backend, data: Tree, sampler: Sampler) -> Resident | Streamed:
    """Return what gives steps the rows of `data`, the device's arrays or all of them `HostRows`."""
    if isinstance(data["x"], HostRows):
        size = sampler.batch_size
        way_out = f"streaming keeps batches of {size:,} rows there: choose a smaller batch_size"
        with explained(backend, lambda: way_out):
            return Streamed(backend, cast("dict[str, HostRows]", data), sampler)
    return Resident(data, sampler)


def choose(
    trainer: "Trainer", asked: Mode, arrays: Mapping[str, Any], validation: Any, *, quiet: bool
) -> bool:
    """Decide whether a fit's data stay on the host; leave it in ``trainer.streamed``.

    arrays: ``X``, ``y`` and ``sample_weight`` as the user gave them. Says on standard error what
    "auto" chose, if that is to stream and not `quiet`. Raises `InputError` if they cannot stay.
    """
    if asked != "auto" and not isinstance(asked, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"stream={asked!r:.80}: expected 'auto', True or False")
    backend, fault = trainer.backend, ""
    if trainer.full_batch:
        fault = f"{trainer.optimizer.name} takes all rows at once"
    elif _is_own(backend, arrays["X"]):
        fault = "X is an array of the backend already; pass a NumPy array"
    if asked is True and fault:
        raise InputError(f"stream=True: {fault}")
    if asked != "auto":
        trainer.streamed, trainer.stream_reason = asked, f"stream={asked}"
    elif fault:
        trainer.streamed, trainer.stream_reason = False, fault
    else:
        taken = device_bytes(backend, *arrays.values())
        if isinstance(validation, Real):
            taken *= 2  # the two parts are copies
        elif isinstance(validation, tuple | list):
            taken += device_bytes(backend, *cast("list[Any]", validation))
        trainer.streamed, trainer.stream_reason = too_large(backend, taken)
        if trainer.streamed and not quiet:
            print(f"chainrule: streaming: {trainer.stream_reason}", file=sys.stderr)
    return trainer.streamed


def too_large(backend: Backend, taken: int) -> tuple[bool, str]:
    """Return whether so many bytes of data are too many for the device, and why."""
    free = free_memory(backend)
    if free is None:
        return False, f"{backend.name} tells no limit to the memory of {backend.device}"
    verdict = "at most" if taken <= SHARE * free else "more than"
    return taken > SHARE * free, (
        f"the data take {taken:,} bytes, {verdict} {SHARE:.0%} of the {free:,} free on "
        f"{backend.device}"
    )


def device_bytes(backend: Backend, *arrays: Any) -> int:
    """Return what arrays take on the device, not counting lists and what is there already."""
    shapes = (getattr(a, "shape", None) for a in arrays if not _is_own(backend, a))
    return sum(prod(shape) for shape in shapes if shape) * np.dtype(backend.dtype).itemsize


def _is_own(backend: Backend, array: Any) -> bool:
    return backend.owns(array) and not isinstance(array, np.ndarray)
