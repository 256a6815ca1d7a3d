"""Rows that stay on the host until a device needs them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import Backend
from chainrule.data.sampler import Rows
from chainrule.typing import Array, Shape

PIECE = 2**20
"""Bytes that are converted at a time, so that they stay in the processor's cache."""


def parts(rows: int, row_bytes: int, size: int) -> Iterator[slice]:
    """Yield slices of all rows, each of at most `size` bytes, or of one row."""
    step = max(1, size // max(row_bytes, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


@dataclass(frozen=True, eq=False)
class HostRows:
    """Rows of a host array, memory-mapped or not, converted when they are taken.

    It stands for the device's array of the same shape: a slice of it is that part, on the device.
    source: (any, ...) numbers that `kind`, "float" or "index" as in `Backend.asarray`, can hold.
    rows: which of them, in their order; None for all.
    """

    backend: Backend
    source: NDArray[Any]
    kind: Literal["float", "index"]
    rows: Rows | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that rows have when they are taken."""
        return np.dtype(self.backend.dtype if self.kind == "float" else np.int64)

    @property
    def shape(self) -> Shape:
        """The shape of the array that this stands for."""
        count = len(self.source if self.rows is None else self.rows)
        return (count, *self.source.shape[1:])

    @property
    def row_bytes(self) -> int:
        """The bytes of a row that was taken."""
        return prod(self.source.shape[1:]) * self.dtype.itemsize

    def take(self, rows: Rows, out: NDArray[Any]) -> None:
        """Write rows (n,) into `out` (n, ...), of `dtype` and in row order."""
        rows = rows if self.rows is None else self.rows[rows]
        source = self.source
        if source.dtype == out.dtype and source.flags.c_contiguous and source.flags.aligned:
            source.take(rows, 0, out, "clip")
            return
        for part in parts(len(rows), self.row_bytes, PIECE):
            out[part] = source[rows[part]]

    def host(self, part: slice) -> NDArray[Any]:
        """Return some rows as a NumPy array of `dtype`; it may share memory with the source."""
        taken = self.source[part if self.rows is None else self.rows[part]]
        return taken.astype(self.dtype, copy=False)

    def subset(self, rows: Rows) -> "HostRows":
        """Return some of the rows, still on the host."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def __getitem__(self, key: Any) -> Array:
        part: Any = cast(Any, key)[0] if isinstance(key, tuple) else key
        return self.backend.asarray(self.host(part), self.kind)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.host(slice(None)), dtype=dtype, copy=copy)
