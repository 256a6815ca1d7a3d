"""NumPy on the CPU; steps are compiled by LLVM where the extra ``fast`` is installed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.host import from_host, is_masked, refuse_foreign
from chainrule.backends.numpy_namespace import namespace
from chainrule.backends.scan import Advice, Scan, Step, eager_scan
from chainrule.typing import Array, Namespace, State, Tree

VERSION = np.__version__
TF32 = False
_STAGED = {"index": np.int64, "int32": np.int32}


def devices() -> tuple[str, ...]:
    """Return the devices that can be used."""
    return ("cpu",)


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps, or nothing, what is missing for it, and how to get it."""
    missing, install = _missing()
    if missing:
        return "", f"steps run eagerly: {missing}", install
    return "LLVM (llvmlite)", "", ""


def _missing() -> tuple[str, str]:
    """Return what compiling lacks here and how to get it, empty if nothing."""
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed", 'pip install "chainrule[fast]"'
    from chainrule.backends.native.blas import find_blas

    if find_blas() is None:
        return "NumPy's BLAS was not found", "use NumPy's wheel from PyPI"
    return "", ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in; NumPy has no bfloat16."""
    return ("float32", "float64", "float16")


def nondeterminism(device: str) -> str:
    """Return what keeps two runs from the same bits, and the way out: nothing.

    BLAS takes its sums in an order that follows from the shapes and its number of threads.
    """
    return ""


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    return "NumPy runs on the CPU alone"


@dataclass(frozen=True)
class NumpyBackend:
    """NumPy. Arrays share memory with the host's where the dtype allows."""

    device: str = "cpu"
    dtype: str = "float32"
    matmul_precision: str = "float32"
    deterministic: bool = False
    choice: str = field(default="", compare=False)
    name: str = field(default="numpy", init=False)

    def compiled_by(self) -> str:
        return compiler()[0]

    @property
    def xp(self) -> Namespace:
        return namespace

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        return from_host(x, dtype, backend=self.name, float_=self.dtype)

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "numpy", self.name)
        return np.array(x, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return not is_masked(x) and isinstance(x, np.ndarray | np.generic)

    def gather(self, x: Array, indices: Array) -> Array:
        return x.take(indices, 0, None, "clip")  # np.take's wrapper costs as much again

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        return host.astype(self.dtype if dtype == "float" else _STAGED[dtype], copy=False)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return function

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        missing, install = _missing()
        if missing:
            return Advice(False, False, f"{missing}; {install}")
        from chainrule.backends.native.advice import advise

        return advise(step, state, data, controls, steps)

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        """Return one native program of all the steps, or the step as it stands."""
        if not compiled:
            return eager_scan(self, step)
        from chainrule.backends.native.steps import NativeSteps

        return NativeSteps(step)

    def scope(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def synchronize(self) -> None:
        return None


Implementation = NumpyBackend
