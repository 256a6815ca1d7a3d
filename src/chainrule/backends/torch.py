"""PyTorch on the CPU or a CUDA device, through array-api-compat."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.base import DTYPES
from chainrule.backends.host import check_own, from_host, refuse_foreign
from chainrule.backends.scan import Advice, Scan, Step, eager_scan
from chainrule.errors import BackendError, InputError
from chainrule.typing import Array, Namespace, State, Tree

_torch: Any = import_module("torch")
_xp: Any = import_module("array_api_compat.torch")
VERSION = str(_torch.__version__)
TF32 = True


def devices() -> tuple[str, ...]:
    """Return the devices that can be used, the CPU first."""
    if _torch.version.cuda is None and getattr(_torch.version, "hip", None) is None:
        return ("cpu",)
    try:
        _torch.cuda.init()
    except Exception:
        return ("cpu",)
    return ("cpu", *(f"cuda:{i}" for i in range(_torch.cuda.device_count())))


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps unasked, and what is missing for it: nothing does here."""
    return "", "", ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in."""
    return DTYPES


def nondeterminism(device: str) -> str:
    """Return what keeps two runs on `device` from the same bits, and the way out."""
    variable = "CUBLAS_WORKSPACE_CONFIG"
    if device == "cpu" or os.environ.get(variable) in (":4096:8", ":16:8"):
        return ""
    return f"cuBLAS may vary its workspaces; set {variable}=:4096:8 before Python starts"


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    if not device.startswith("cuda"):
        return f"PyTorch's device {device!r} is not offered"
    if _torch.version.cuda is None and getattr(_torch.version, "hip", None) is None:
        return f"PyTorch {VERSION} is built without CUDA (0 CUDA devices)"
    try:
        _torch.cuda.init()
    except Exception as error:
        return f"PyTorch finds 0 CUDA devices ({str(error).splitlines()[0]})"
    return f"PyTorch finds {_torch.cuda.device_count()} CUDA devices"


@contextmanager
def _products_in(precision: str) -> Generator[None, None, None]:
    """Have float32 products computed in ``float32`` or ``tf32``, and in what it was afterwards."""
    try:
        before, put = _torch.get_float32_matmul_precision(), _torch.set_float32_matmul_precision
        wanted = {"float32": "highest", "tf32": "high"}[precision]
    except RuntimeError:  # the newer setting is in use, with which the older may not be mixed
        matmul = _torch.backends.cuda.matmul
        before, put = matmul.fp32_precision, partial(setattr, matmul, "fp32_precision")
        wanted = {"float32": "ieee", "tf32": "tf32"}[precision]
    put(wanted)
    try:
        yield
    finally:
        put(before)


@contextmanager
def _deterministic() -> Generator[None, None, None]:
    """Have PyTorch refuse operations whose results vary, and do what it did afterwards."""
    before = _torch.are_deterministic_algorithms_enabled()
    warn_only = _torch.is_deterministic_algorithms_warn_only_enabled()
    _torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        _torch.use_deterministic_algorithms(before, warn_only=warn_only)


def _shareable(x: NDArray[Any]) -> NDArray[Any]:
    """Return `x`, or a copy where PyTorch would refuse or warn.

    NumPy calls an axis of length 1 contiguous whatever its stride; PyTorch looks at the stride.
    """
    strides_fit = all(stride >= 0 and stride % x.itemsize == 0 for stride in x.strides)
    if x.flags.writeable and x.flags.c_contiguous and strides_fit:
        return x
    return np.array(x, order="C", copy=True)


def _compiled(step: Step) -> Step:
    """Return the step as a program of TorchInductor for each layout of the arrays."""
    programs: dict[Any, Callable[[State, Tree], tuple[State, Tree]]] = {}

    def run(xp: Namespace, state: State, batch: Tree) -> tuple[State, Tree]:
        arrays: list[Any] = [*tree.leaves(state), *tree.leaves(batch)]
        layout = tuple((x.shape, x.stride(), x.dtype) for x in arrays)
        if layout not in programs:
            programs[layout] = _program(step, xp, state, batch)
        return programs[layout](state, batch)

    return run


def _program(
    step: Step, xp: Namespace, state: State, batch: Tree
) -> Callable[[State, Tree], tuple[State, Tree]]:
    """Trace the step by running it, and compile the graph of its operations.

    ``torch.compile`` of the step itself breaks at the wrappers of array-api-compat.
    Raises `InputError` if the step cannot be traced, `BackendError` if it cannot be compiled.
    """
    make_fx = import_module("torch.fx.experimental.proxy_tensor").make_fx
    try:
        graph = make_fx(partial(step, xp))(state, batch)
    except RuntimeError as error:
        raise InputError(f"PyTorch cannot trace the step: {_first_line(error)}") from error
    try:
        return import_module("torch._inductor").compile(graph, [state, batch])
    except Exception as error:
        raise BackendError(
            f"PyTorch cannot compile the step: {_first_line(error)}; if no C++ compiler was found, "
            "install g++; compile=False needs none"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


@dataclass(frozen=True)
class TorchBackend:
    """PyTorch without autograd; steps run eagerly, or compiled by TorchInductor."""

    device: str = "cpu"
    dtype: str = "float32"
    matmul_precision: str = "float32"
    deterministic: bool = False
    choice: str = field(default="", compare=False)
    name: str = field(default="torch", init=False)

    def compiled_by(self) -> str:
        return compiler()[0]

    @property
    def xp(self) -> Namespace:
        return _xp

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        if not isinstance(x, _torch.Tensor):
            host = from_host(x, dtype, backend=self.name, float_=self.dtype)
            x = _torch.from_numpy(_shareable(host))
        if x.layout is not _torch.strided:
            raise InputError(
                f"backend 'torch' got a sparse tensor ({x.layout}), expected a dense one; "
                "pass x.to_dense() if it fits in memory"
            )
        check_own(_xp, x, dtype, self.name)
        targets = {
            None: x.dtype,
            "float": getattr(_torch, self.dtype),
            "index": _torch.int64,
            "int32": _torch.int32,
        }
        return x.detach().to(self.device, targets[dtype])

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "torch", self.name)
        if isinstance(x, _torch.Tensor):
            tensor: Any = x
            host = tensor.detach().cpu().resolve_neg()
            x = (host.float() if host.dtype == _torch.bfloat16 else host).numpy()
        return np.array(x, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return isinstance(x, _torch.Tensor)

    def gather(self, x: Array, indices: Array) -> Array:
        return _torch.index_select(x, 0, indices)

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        return self.asarray(host, dtype)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return function

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        return Advice(
            True,
            False,
            "PyTorch takes seconds to compile for each size of batch, which pays after tens of "
            "thousands of steps; compile=True asks for it",
        )

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        """Return the step as it stands or compiled, called for each row of the controls."""
        return eager_scan(self, _compiled(step) if compiled else step)

    @contextmanager
    def scope(self) -> Generator[None, None, None]:
        """Switch autograd off, make this device the one new tensors are created on.

        Products are in `matmul_precision`; if `deterministic`, PyTorch refuses what varies.
        """
        device = _torch.device(self.device)
        with ExitStack() as stack:
            stack.enter_context(_torch.no_grad())
            stack.enter_context(_products_in(self.matmul_precision))
            if self.deterministic:
                stack.enter_context(_deterministic())
            if _torch.get_default_device() != device:
                stack.enter_context(device)
            yield

    def free_memory(self) -> int | None:
        """Return the free bytes of a CUDA device, with those that PyTorch holds for later."""
        if self.device == "cpu":
            return None
        cuda = _torch.cuda
        held = cuda.memory_reserved(self.device) - cuda.memory_allocated(self.device)
        return int(cuda.mem_get_info(self.device)[0] + held)

    def synchronize(self) -> None:
        if self.device != "cpu":
            _torch.cuda.synchronize(self.device)


Implementation = TorchBackend
