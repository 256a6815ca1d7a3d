"""CuPy on a CUDA device, through array-api-compat."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import DTYPES
from chainrule.backends.host import check_own, from_host, refuse_foreign
from chainrule.backends.scan import Advice, Scan, Step, eager_scan
from chainrule.typing import Array, Namespace, State, Tree

_cupy: Any = import_module("cupy")
_xp: Any = import_module("array_api_compat.cupy")
VERSION = str(_cupy.__version__)


def devices() -> tuple[str, ...]:
    """Return the CUDA devices that can be used; none without a driver."""
    try:
        count = int(_cupy.cuda.runtime.getDeviceCount())
    except Exception:
        return ()
    return tuple(f"cuda:{i}" for i in range(count))


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps, and what is missing for it: nothing does here."""
    return "", "", ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in."""
    return DTYPES


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    try:
        count = int(_cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        return f"CuPy {VERSION} finds 0 CUDA devices ({str(error).splitlines()[0]})"
    return f"CuPy {VERSION} finds {count} CUDA devices"


@dataclass(frozen=True)
class CupyBackend:
    """CuPy, eagerly, on one CUDA device."""

    device: str = "cuda:0"
    dtype: str = "float32"
    choice: str = field(default="", compare=False)
    name: str = field(default="cupy", init=False)

    def compiled_by(self) -> str:
        return compiler()[0]

    @property
    def xp(self) -> Namespace:
        return _xp

    @property
    def _number(self) -> int:
        return int(self.device.partition(":")[2])

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        with self.scope():
            if not isinstance(x, _cupy.ndarray):
                host = from_host(x, dtype, backend=self.name, float_=self.dtype)
                return _cupy.array(host, order="C")
            own: Any = x
            check_own(_xp, own, dtype, self.name)
            if own.device.id != self._number:
                own = own.copy()
            names = {"float": self.dtype, "index": "int64", "int32": "int32"}
            return own if dtype is None else own.astype(names[dtype], copy=False)

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "cupy", self.name)
        if isinstance(x, _cupy.ndarray):
            return _cupy.asnumpy(x, order="C")
        return np.array(x, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return isinstance(x, _cupy.ndarray)

    def gather(self, x: Array, indices: Array) -> Array:
        return _cupy.take(x, indices, axis=0)

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        return self.asarray(host, dtype)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return function

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        return Advice(False, False, "on CuPy steps run eagerly")

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        return eager_scan(self, step)

    def scope(self) -> AbstractContextManager[Any]:
        return _cupy.cuda.Device(self._number)

    def synchronize(self) -> None:
        _cupy.cuda.Device(self._number).synchronize()


Implementation = CupyBackend
