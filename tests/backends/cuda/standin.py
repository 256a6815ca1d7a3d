"""A stand-in for CuPy and nvmath-python that runs kernels on the CPU, with captured graphs.

While a stream captures, launches, products and copies are written down and not done, and whatever
CUDA would refuse then (memory, transfers, looking at values) raises `CaptureError`.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backends.cuda.emulated import compiled, run
from chainrule import backends, tree


class CaptureError(Exception):
    """What may not happen while a stream captures."""


class Recorder:
    """What the device does: at once, or when the graph that is captured is launched."""

    def __init__(self) -> None:
        self.captured: list[Callable[[], None]] | None = None
        self.done: list[str] = []
        self.order = 0

    def work(self, name: str, action: Callable[[], None]) -> None:
        if self.captured is None:
            self.done.append(name)
            action()
        else:
            self.captured.append(action)

    def refuse(self, what: str) -> None:
        if self.captured is not None:
            raise CaptureError(f"{what} while a stream captures")


device = Recorder()


class DeviceArray(np.ndarray):
    """A NumPy array in the place of CuPy's, which says what a capture forbids."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=0)

    def __setitem__(self, key: Any, value: Any) -> None:
        device.refuse("a transfer")
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        device.refuse(ufunc.__name__)
        plain = [np.asarray(x) if isinstance(x, DeviceArray) else x for x in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(x) for x in options["out"])
        return np.asarray(getattr(ufunc, method)(*plain, **options)).view(DeviceArray)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        device.refuse(function.__name__)
        found = super().__array_function__(function, types, args, kwargs)
        return found.view(DeviceArray) if isinstance(found, np.ndarray) else found


def _made(function: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: Any, **options: Any) -> Any:
        device.refuse("memory")
        options.pop("device", None)
        return np.array(function(*args, **options)).view(DeviceArray)

    return make


def _empty(shape: Any, dtype: Any = "float64") -> Any:
    """Return an array of NaN or -1: what is read before it is written shows."""
    device.refuse("memory")
    made = np.frombuffer(bytearray(b"\xff" * np.empty(shape, dtype).nbytes), dtype)
    return made.reshape(shape).view(DeviceArray)


class Graph:
    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self, stream: Any) -> None:
        device.refuse("a graph")
        device.done.append("graph")
        for action in self.work:
            action()


class Stream:
    ptr = 7

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> "Stream":
        streams.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        streams.pop()

    def record(self) -> "Stream":
        device.refuse("an event of another stream")
        return self

    def wait_event(self, event: "Stream") -> None:
        device.refuse("an event of another stream")
        device.done.append(f"{self.name} waits for {event.name}")

    @property
    def name(self) -> str:
        return "own" if self.non_blocking else "caller"

    def synchronize(self) -> None:
        device.refuse("waiting")

    def begin_capture(self) -> None:
        assert device.captured is None
        assert self.non_blocking
        device.captured = []

    def end_capture(self) -> Graph:
        work, device.captured = device.captured, None
        assert work is not None
        return Graph(work)


streams = [Stream()]
"""The streams entered, the innermost last."""


class RawModule:
    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        device.refuse("a module")
        assert "--fmad=false" in options
        self.code = code
        compiled(code)

    def get_function(self, name: str) -> Callable[..., None]:
        device.refuse("a module")

        def call(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
            assert all(isinstance(pointer, np.uint64) for pointer in args)
            assert streams[-1].non_blocking, "a launch on the stream of others"
            given = [int(pointer) for pointer in args]
            device.work(name, lambda: run(self.code, name, *grid, *block, given, device.order))

        return call


def _memcpy(target: int, source: int, size: int, kind: int, stream: int) -> None:
    assert kind == 3
    assert stream == Stream.ptr
    device.work("memcpy", lambda: ctypes.memmove(target, source, size) and None)


handle_settings: list[str] = []
"""What was set of the handle made last, in order."""


def _created() -> int:
    handle_settings.clear()
    return 11


def gemm_ex(
    handle: int, trans_a: int, trans_b: int, m: int, n: int, k: int, alpha: int, a: int,
    type_a: int, lda: int, b: int, type_b: int, ldb: int, beta: int, c: int, type_c: int,
    ldc: int, compute: int, algorithm: int,
) -> None:  # fmt: skip
    """C = op(A) op(B), all counted along columns, as cuBLAS's documentation has it."""
    assert handle_settings == ["stream", "workspace"], "set_stream takes the workspace away"
    dtype = {0: np.float32, 1: np.float64, 2: np.float16}[type_a]
    scalar = ctypes.c_double if compute == 70 else ctypes.c_float
    assert type_a == type_b == type_c
    assert compute in {2: (68,), 0: (68, 77), 1: (70,)}[type_a]
    assert (scalar.from_address(alpha).value, scalar.from_address(beta).value) == (1.0, 0.0)

    def matrix(pointer: int, rows: int, columns: int, leading: int) -> Any:
        assert leading >= rows
        whole = ctypes.c_char * (leading * columns * np.dtype(dtype).itemsize)
        flat = np.frombuffer(whole.from_address(pointer), dtype)
        return flat.reshape(columns, leading).T[:rows]

    def multiply() -> None:
        left = matrix(a, *((k, m) if trans_a else (m, k)), lda)
        right = matrix(b, *((n, k) if trans_b else (k, n)), ldb)
        wide = np.float32 if dtype == np.float16 else dtype
        left, right = (x.astype(wide) for x in (left, right))
        product = (left.T if trans_a else left) @ (right.T if trans_b else right)
        matrix(c, m, n, ldc)[...] = product.astype(dtype)

    device.work(f"gemm {compute}", multiply)


def _module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    made.__dict__.update(members)
    return made


@contextmanager
def installed() -> Iterator[Recorder]:
    """Put the stand-ins in the place of CuPy and nvmath-python; yield the device."""
    device.captured, device.done, device.order = None, [], 0
    forget_backend()
    with pytest.MonkeyPatch.context() as patch:
        for name, module in _modules().items():
            patch.setitem(sys.modules, name, module)
        yield device
    forget_backend()


def forget_backend() -> None:
    """Have CuPy's backend imported anew: it holds what CuPy was when it was imported."""
    sys.modules.pop("chainrule.backends.cupy", None)
    vars(backends).pop("cupy", None)


def _modules() -> dict[str, ModuleType]:

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        def __enter__(self) -> None: ...
        def __exit__(self, *exception: object) -> None: ...
        def synchronize(self) -> None:
            device.refuse("waiting")

    def asnumpy(x: Any, order: str = "C") -> Any:
        device.refuse("a transfer to the host")
        return np.array(x, order=order).view(np.ndarray)

    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1,
        memcpyAsync=_memcpy,
        memGetInfo=lambda: (2**33, 2**34),
        runtimeGetVersion=lambda: 13000,
    )
    pool = SimpleNamespace(free_bytes=lambda: 0, get_limit=lambda: 0, used_bytes=lambda: 0)
    cuda = SimpleNamespace(
        Device=Device,
        Stream=Stream,
        runtime=runtime,
        get_current_stream=lambda: streams[-1],
        nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
        cublas=None,
    )
    kept: dict[str, int] = {}
    core = SimpleNamespace(
        get_compute_type=lambda dtype: kept.get(dtype, 0),
        set_compute_type=lambda dtype, kind: kept.__setitem__(dtype, kind),
    )
    cupy = _module(
        "cupy", __version__="14.2.0", ndarray=DeviceArray, uint64=np.uint64, RawModule=RawModule,
        empty=_empty, zeros=_made(np.zeros), array=_made(np.array),
        ascontiguousarray=lambda x: x if x.flags.c_contiguous else _made(np.array)(x, order="C"),
        asnumpy=asnumpy, take=lambda x, indices, axis: np.take(x, indices, axis=axis), cuda=cuda,
        _core=core, get_default_memory_pool=lambda: pool,
    )  # fmt: skip
    cublas = _module(
        "nvmath.bindings.cublas",
        create=_created,
        destroy=lambda handle: None,
        set_stream=lambda handle, stream: handle_settings.append("stream"),
        set_workspace=lambda handle, pointer, size: handle_settings.append("workspace"),
        gemm_ex=gemm_ex,
    )
    namespace = {name: getattr(np, name) for name in dir(np) if not name.startswith("__")}
    for name in ("asarray", "zeros", "ones", "full", "arange", "empty"):
        namespace[name] = _made(getattr(np, name))
    return {
        "cupy": cupy,
        "array_api_compat.cupy": _module("array_api_compat.cupy", **namespace),
        "nvmath": _module("nvmath"),
        "nvmath.bindings": _module("nvmath.bindings", cublas=cublas),
        "nvmath.bindings.cublas": cublas,
    }


def on_device(step: Any) -> Any:
    """Return a scan that brings NumPy's arrays to the device and back."""
    from chainrule.backends.cuda.steps import CudaSteps

    steps = CudaSteps(step, "float32")

    def there(arrays: Any) -> Any:
        return tree.map(lambda x: np.array(x).view(DeviceArray), arrays)

    def scan(state: Any, data: Any, controls: Any) -> Iterator[Any]:
        for after, done, metrics in steps(there(state), there(data), there(controls)):
            yield tree.map(np.asarray, after), done, tree.map(np.asarray, metrics)

    return scan


def backwards(step: Any) -> Any:
    """Return `on_device`'s scan with threads and blocks from the last to the first."""
    return _in_order(step, 1)


def scattered(step: Any) -> Any:
    """Return `on_device`'s scan with the blocks scattered and each warp ahead of the next."""
    return _in_order(step, 2)


def _in_order(step: Any, order: int) -> Any:
    inner = on_device(step)

    def scan(*given: Any) -> Iterator[Any]:
        device.order = order
        yield from inner(*given)

    return scan
