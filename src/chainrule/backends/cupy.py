"""CuPy on a CUDA device, through array-api-compat."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import DTYPES, RowBuffer
from chainrule.backends.cuda.streaming import DoubleBuffer
from chainrule.backends.host import check_own, from_host, is_bfloat16, refuse_foreign
from chainrule.backends.scan import Advice, Scan, Step, eager_scan
from chainrule.typing import Array, Namespace, Shape, State, Tree

_cupy: Any = import_module("cupy")
VERSION = str(_cupy.__version__)
TF32 = True
_COMPUTE_TYPES = {"float32": 1, "tf32": 7}
"""CuPy's COMPUTE_TYPE_DEFAULT, which for float32 is float32, and COMPUTE_TYPE_TF32."""


def _namespace() -> ModuleType:
    """Return array-api-compat's namespace, with bfloat16 where CuPy has it through ml_dtypes."""
    module = ModuleType("cupy")
    module.__dict__.update(import_module("array_api_compat.cupy").__dict__)
    if int(VERSION.partition(".")[0]) >= 14 and find_spec("ml_dtypes") is not None:
        module.__dict__["bfloat16"] = np.dtype(import_module("ml_dtypes").bfloat16)
    return module


_xp: Any = _namespace()


def devices() -> tuple[str, ...]:
    """Return the CUDA devices that can be used; none without a driver.

    Raises what CuPy does if it cannot load NVRTC or cuBLAS, which its wheel does not hold.
    """
    try:
        count = int(_cupy.cuda.runtime.getDeviceCount())
    except Exception:
        return ()
    if count:
        _ = _cupy.cuda.nvrtc.getVersion(), _cupy.cuda.cublas
    return tuple(f"cuda:{i}" for i in range(count))


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps, or nothing, what is missing for it, and how to get it."""
    missing, install = _missing()
    if missing:
        return "", f"steps run eagerly: {missing}", install
    return "CUDA graphs (NVRTC, cuBLAS)", "", ""


def _missing() -> tuple[str, str]:
    """Return what compiling lacks here and how to get it, empty if nothing."""
    if find_spec("nvmath") is None:
        cuda = int(_cupy.cuda.runtime.runtimeGetVersion()) // 1000
        return "nvmath-python is not installed", f'pip install "chainrule[cuda{cuda}-graph]"'
    fault = _cublas_fault()
    return fault, "its CUDA libraries must fit CuPy's" if fault else ""


@cache
def _cublas_fault() -> str:
    """Return why nvmath-python cannot use cuBLAS, empty if it can."""
    try:
        cublas = import_module("nvmath.bindings.cublas")
        cublas.destroy(cublas.create())
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"nvmath-python cannot use cuBLAS: {reason}"
    return ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in."""
    return tuple(name for name in DTYPES if name != "bfloat16" or hasattr(_xp, name))


def nondeterminism(device: str) -> str:
    """Return what keeps two runs from the same bits, and the way out: nothing.

    No step adds in the order of arrival, and cuBLAS on one stream takes its sums in one order.
    """
    return ""


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    try:
        count = int(_cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        return f"CuPy {VERSION} finds 0 CUDA devices ({str(error).splitlines()[0]})"
    return f"CuPy {VERSION} finds {count} CUDA devices"


@dataclass(frozen=True)
class CupyBackend:
    """CuPy on one CUDA device, eagerly or as captured graphs."""

    device: str = "cuda:0"
    dtype: str = "float32"
    matmul_precision: str = "float32"
    deterministic: bool = False
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
        with _cupy.cuda.Device(self._number):
            if isinstance(x, _cupy.ndarray):
                own: Any = x
            else:
                host = from_host(x, dtype, backend=self.name, float_=self.dtype)
                own = _cupy.array(host, order="C")
            check_own(_xp, own, dtype, self.name)
            if own.device.id != self._number:
                own = own.copy()
            names = {"float": self.dtype, "index": "int64", "int32": "int32"}
            return own if dtype is None else own.astype(names[dtype], copy=False)

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "cupy", self.name)
        if isinstance(x, _cupy.ndarray):
            host = _cupy.asnumpy(x, order="C")
            return host.astype(np.float32) if is_bfloat16(host.dtype) else host
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
        missing, install = _missing()
        if missing:
            return Advice(False, False, f"{missing}; {install}")
        from chainrule.backends.cuda.advice import advise

        return advise(step, state, data, controls, steps)

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        """Return a captured graph that is launched for each step, or the step as it stands."""
        if not compiled:
            return eager_scan(self, step)
        from chainrule.backends.cuda.steps import CudaSteps

        return CudaSteps(step, self.matmul_precision)

    @contextmanager
    def scope(self) -> Generator[None, None, None]:
        """Make this device the current one, and have products in `matmul_precision`."""
        with _cupy.cuda.Device(self._number):
            before = _cupy._core.get_compute_type("float32")
            _cupy._core.set_compute_type("float32", _COMPUTE_TYPES[self.matmul_precision])
            try:
                yield
            finally:
                _cupy._core.set_compute_type("float32", before)

    def synchronize(self) -> None:
        _cupy.cuda.Device(self._number).synchronize()

    def free_memory(self) -> int:
        """Return the free bytes of the device, with those that CuPy's pool holds for later."""
        with _cupy.cuda.Device(self._number):
            pool = _cupy.get_default_memory_pool()
            free = int(_cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return min(free, limit - int(pool.used_bytes())) if limit else free

    def row_buffer(self, rows: int, layout: Mapping[str, tuple[Shape, str]]) -> RowBuffer:
        with _cupy.cuda.Device(self._number):
            return DoubleBuffer(_cupy, rows, layout)


Implementation = CupyBackend
