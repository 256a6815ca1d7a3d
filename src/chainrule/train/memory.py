"""Memory on the device: how much is free, and what to say when it is not enough."""

import re
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import get
from chainrule.backends.base import Backend, DeviceMemory
from chainrule.layers.layer import train_forward
from chainrule.ops.random import Key, host_key

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
ASKED = re.compile(r"(?:allocating|to allocate) ([\d.,]+) (bytes|[KMG]iB)")
FREE = re.compile(r"of which ([\d.,]+) (bytes|[KMG]iB) is free")
"""How CuPy and PyTorch say what they were asked for, and PyTorch what was free."""


def free_memory(backend: Backend) -> int | None:
    """Return the free bytes of the backend's device; None where the backend does not tell."""
    return backend.free_memory() if isinstance(backend, DeviceMemory) else None


@contextmanager
def explained(backend: Backend, way_out: Callable[[], str]) -> Generator[None, None, None]:
    """Say what was asked for, what was free and the way out, where the device's memory runs out.

    `way_out` is called after the arrays of the work that failed are let go of. Raises `MemoryError`
    in place of the library's own error.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        free = free_memory(backend)
        free = _bytes(FREE, error) if free is None else free
        asked = _bytes(ASKED, error)
        traceback.clear_frames(error.__traceback__)
        raise MemoryError(
            f"{backend.device}: {_said(asked)} asked, {_said(free)} free; {way_out()}"
        ) from error


def fitting_rows(trainer: "Trainer", rows: int) -> tuple[int, str]:
    """Return how many rows should fit where `rows` did not, fewer than those, and by what estimate.

    A row takes twice what a training pass keeps of it for the backward pass: values and their
    derivatives.
    """
    needed = 2 * kept_bytes(trainer)
    free = free_memory(trainer.backend)
    if not needed or free is None:
        return max(1, rows // 2), "half of it"
    fitting = max(1, min(free // needed, rows // 2))
    return fitting, f"a row takes about {needed:,} bytes in a step, {free:,} are free for them"


def kept_bytes(trainer: "Trainer") -> int:
    """Return the bytes that a training pass keeps of a row, found by a pass of zeros on the host.

    0 if the network does not run on NumPy.
    """
    dtype = np.dtype("float16" if trainer.short else trainer.backend.dtype)
    xp = get("numpy").xp
    zero = np.zeros((), dtype)
    params = tree.map(
        lambda array: np.broadcast_to(zero, tuple(array.shape)), trainer.state["params"]
    )
    key = Key(host_key(trainer.seed, 0), "") if trainer.random else None

    def kept(rows: int) -> int:
        x = np.zeros((rows, *(trainer.in_shape or ())), dtype)
        _, residuals = train_forward(trainer.model, xp, params, x, key)
        return sum({id(array): array.nbytes for array in _arrays((x, residuals))}.values())

    try:
        with np.errstate(all="ignore"):
            return max(0, kept(2) - kept(1))
    except Exception:
        return 0


def _arrays(kept: Any) -> Iterator[NDArray[Any]]:
    """Yield the arrays in nested tuples, lists and dicts."""
    if isinstance(kept, np.ndarray):
        yield cast("NDArray[Any]", kept)
    elif isinstance(kept, dict):
        yield from _arrays(list(cast("dict[str, Any]", kept).values()))
    elif isinstance(kept, list | tuple):
        for value in cast("list[Any]", kept):
            yield from _arrays(value)


def _bytes(pattern: re.Pattern[str], error: Exception) -> int | None:
    found = pattern.search(str(error))
    return int(float(found[1].replace(",", "")) * UNITS[found[2]]) if found else None


def _said(count: int | None) -> str:
    return "an unknown number of bytes" if count is None else f"{count:,} bytes"
