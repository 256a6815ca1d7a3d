"""array-api-strict: the Array API standard and nothing more, on NumPy; for tests."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.host import check_own, from_host, refuse_foreign
from chainrule.backends.scan import Advice, Scan, Step, eager_scan
from chainrule.errors import InputError
from chainrule.typing import Array, Namespace, State, Tree

_strict: Any = import_module("array_api_strict")
_Array: Any = _strict.empty(0).__class__
VERSION: str = _strict.__version__
TF32 = False


def devices() -> tuple[str, ...]:
    """Return the devices that can be used; all but ``cpu`` imitate other hardware's limits."""
    return ("cpu", "no_float64", "no_x64", "device1", "device2")


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps, and what is missing for it: nothing does here."""
    return "", "", ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in; the standard has none of 16 bits."""
    return ("float32",) if device in ("no_float64", "no_x64") else ("float32", "float64")


def nondeterminism(device: str) -> str:
    """Return what keeps two runs from the same bits, and the way out: nothing, as on NumPy."""
    return ""


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    return "array-api-strict has no such device"


def _device(name: str) -> Any:
    return _strict.Device("CPU_DEVICE" if name == "cpu" else name)


@dataclass(frozen=True)
class StrictBackend:
    """array-api-strict, eagerly."""

    device: str = "cpu"
    dtype: str = "float32"
    matmul_precision: str = "float32"
    deterministic: bool = False
    choice: str = field(default="", compare=False)
    name: str = field(default="strict", init=False)

    def compiled_by(self) -> str:
        return compiler()[0]

    @property
    def xp(self) -> Namespace:
        return _strict

    @property
    def _index(self) -> str:
        return "int32" if self.device == "no_x64" else "int64"

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        device = _device(self.device)
        if isinstance(x, _Array):
            check_own(_strict, x, dtype, self.name)
            names = {"float": self.dtype, "index": self._index, "int32": "int32"}
            own: Any = x.to_device(device)
            return own if dtype is None else _strict.astype(own, getattr(_strict, names[dtype]))
        host = from_host(x, dtype, backend=self.name, float_=self.dtype, index=self._index)
        allowed: dict[str, Any] = _strict.__array_namespace_info__().dtypes(device=device)
        if host.dtype.name not in allowed:
            raise InputError(
                f"backend 'strict' on device {self.device!r} holds no {host.dtype}; "
                "pass dtype='float'"
            )
        return _strict.asarray(host, device=device)

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "array_api_strict", self.name)
        if isinstance(x, _Array):
            x = x.to_device(_device("cpu"))
        return np.array(x, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return isinstance(x, _Array)

    def gather(self, x: Array, indices: Array) -> Array:
        return _strict.take(x, indices, axis=0)

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        return self.asarray(host, dtype)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return function

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        return Advice(False, False, "array-api-strict runs eagerly")

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        return eager_scan(self, step)

    def scope(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def synchronize(self) -> None:
        return None


Implementation = StrictBackend
