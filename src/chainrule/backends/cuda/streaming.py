"""Rows on their way to the device while it computes: pinned memory, and a stream for the copies."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.typing import Shape, Tree


class DoubleBuffer:
    """A `RowBuffer` of two halves: one is filled while steps read the other.

    The device's arrays stay the same ones, so that a captured graph may hold them. Steps must be
    launched on the current stream, or ordered with what it is given before and after them.
    """

    halves = 2

    def __init__(self, cupy: Any, rows: int, layout: Mapping[str, tuple[Shape, str]]) -> None:
        self._cuda = cupy.cuda
        self._rows = rows
        self._copier = cupy.cuda.Stream(non_blocking=True)
        self._copied = [cupy.cuda.Event(disable_timing=True) for _ in range(self.halves)]
        self._used = [cupy.cuda.Event(disable_timing=True) for _ in range(self.halves)]
        self.data: Tree = {}
        self._pinned: dict[str, NDArray[Any]] = {}
        for name, (shape, dtype) in layout.items():
            whole = (self.halves * rows, *shape)
            self.data[name] = cupy.empty(whole, dtype)
            self._pinned[name] = _pinned(cupy, whole, np.dtype(dtype))
        for half in range(self.halves):
            self.used(half)  # what used the arrays' memory before them may be under way

    def fill(self, half: int, count: int, write: Callable[[Mapping[str, Any]], None]) -> None:
        rows = slice(half * self._rows, half * self._rows + count)
        self._copied[half].synchronize()
        write({name: array[rows] for name, array in self._pinned.items()})
        self._copier.wait_event(self._used[half])
        for name, array in self.data.items():
            array[rows].set(self._pinned[name][rows], stream=self._copier)
        self._copied[half].record(self._copier)

    def ready(self, half: int) -> None:
        self._cuda.get_current_stream().wait_event(self._copied[half])

    def used(self, half: int) -> None:
        self._used[half].record(self._cuda.get_current_stream())

    def close(self) -> None:
        self._copier.synchronize()


def _pinned(cupy: Any, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a host array that the device copies from by itself."""
    count = prod(shape)
    memory = cupy.cuda.alloc_pinned_memory(count * dtype.itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)
