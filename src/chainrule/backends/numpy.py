"""NumPy on the CPU."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import DTYPES
from chainrule.backends.host import from_host, is_masked, refuse_foreign
from chainrule.typing import Array, Namespace

VERSION = np.__version__


def devices() -> tuple[str, ...]:
    """Return the devices that can be used."""
    return ("cpu",)


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in."""
    return DTYPES


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    return "NumPy runs on the CPU alone"


@dataclass(frozen=True)
class NumpyBackend:
    """NumPy, eagerly. Arrays share memory with the host's where the dtype allows."""

    device: str = "cpu"
    dtype: str = "float32"
    choice: str = field(default="", compare=False)
    name: str = field(default="numpy", init=False)

    @property
    def xp(self) -> Namespace:
        return np

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        return from_host(x, dtype, backend=self.name, float_=self.dtype)

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "numpy", self.name)
        return np.array(x, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return not is_masked(x) and isinstance(x, np.ndarray | np.generic)

    def gather(self, x: Array, indices: Array) -> Array:
        return np.take(x, indices, axis=0, mode="clip")

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        return self.asarray(host, dtype)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return function

    def scope(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def synchronize(self) -> None:
        return None


Implementation = NumpyBackend
