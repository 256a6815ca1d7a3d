"""The array libraries chainrule runs on: `get` one by name, or ask which are `available`.

No array library but NumPy is imported until it is asked for.
"""

from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from chainrule.backends.base import DTYPES, MATMUL_PRECISIONS, Backend, Status, StatusTable
from chainrule.backends.host import library_of
from chainrule.errors import BackendError, InputError, choice, nearest

__all__ = ["Backend", "Status", "available", "get", "library_of"]


@dataclass(frozen=True)
class _Library:
    title: str
    module: str
    install: str


_LIBRARIES = {
    "numpy": _Library("NumPy", "numpy", "pip install numpy"),
    "cupy": _Library("CuPy", "cupy", 'pip install "chainrule[cuda12]" (or cuda13)'),
    "torch": _Library("PyTorch", "torch", 'pip install "chainrule[torch]"'),
    "jax": _Library("JAX", "jax", 'pip install "chainrule[jax]"'),
    "strict": _Library("array-api-strict", "array_api_strict", "pip install array-api-strict"),
}

_ELSEWHERE = {"bfloat16": "backend='torch' or 'jax' (or 'cupy': CuPy 14 with ml_dtypes)"}


@dataclass(frozen=True)
class _Numerics:
    """What a backend is asked to compute in; checked here as far as no library is needed."""

    dtype: str
    matmul_precision: str
    deterministic: bool

    def __post_init__(self) -> None:
        choice("dtype", self.dtype, DTYPES)
        choice("matmul_precision", self.matmul_precision, MATMUL_PRECISIONS)
        if self.matmul_precision != "float32" and self.dtype != "float32":
            raise InputError(
                f"matmul_precision={self.matmul_precision!r} is for dtype='float32' alone, "
                f"got dtype={self.dtype!r}; leave one of them out"
            )
        if not isinstance(self.deterministic, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"deterministic={self.deterministic!r:.80}: expected True or False")


_DEFAULTS = _Numerics("float32", "float32", False)


def get(
    spec: str | Backend,
    dtype: str = "float32",
    *,
    matmul_precision: str = "float32",
    deterministic: bool = False,
) -> Backend:
    """Return the backend that `spec` names, computing in `dtype`.

    `spec` is ``auto``, or ``numpy``, ``cupy``, ``torch``, ``jax`` or ``strict``, with a device
    after a colon if wanted (``cupy:1``, ``torch:cuda``, ``torch:cuda:1``, ``jax:cpu``). ``auto`` is
    CuPy where a CUDA device can be used and NumPy elsewhere; the result's `choice` says which and
    why. Without a device PyTorch runs on the CPU, JAX on its own default, CuPy on ``cuda:0``.
    A `Backend` is returned as it is, if no other settings than its own are asked for.

    `dtype` is ``float32``, ``float64``, ``float16`` (not on strict) or ``bfloat16`` (on PyTorch and
    JAX, and on CuPy 14 with ml_dtypes). `matmul_precision` and `deterministic` are as `Backend`
    says; ``tf32`` is for float32 on PyTorch, JAX and CuPy.
    Raises `BackendError` for what the library or device cannot do here, `InputError` for settings
    that are unknown or do not go together.

    >>> get("numpy").asarray([1, 2], dtype="float")
    array([1., 2.], dtype=float32)
    """
    numerics = _Numerics(dtype, matmul_precision, deterministic)
    if not isinstance(spec, str):
        return _checked(spec, numerics)
    name, _, device = spec.partition(":")
    if name == "auto":
        return _auto(device, numerics)
    if name not in _LIBRARIES:
        names = ("auto", *_LIBRARIES)
        raise BackendError(
            f"backend={spec!r} is unknown{nearest(name, names)}; expected one of "
            f"{', '.join(names)}, with a device after a colon if wanted"
        )
    status = _status(name)
    if not status.usable:
        raise BackendError(f"backend={spec!r}: {status.reason}; {status.install}")
    return _create(name, _device(spec, name, device, status), numerics)


def available() -> StatusTable:
    """Return the status of each backend here; printed, it is a table.

    Imports the libraries that are installed, to ask for their devices; one that fails to import
    is reported, never raised.
    """
    return StatusTable(_status(name) for name in _LIBRARIES)


def _checked(spec: Any, asked: _Numerics) -> Backend:
    if isinstance(spec, Backend):
        for name, value in asdict(asked).items():
            own, default = getattr(spec, name), getattr(_DEFAULTS, name)
            if value not in (own, default):
                raise InputError(f"{name}={value!r}: the backend given has {own!r}; choose one")
        return spec
    raise InputError(
        f"backend={spec!r} is a {type(spec).__name__}, expected a name such as 'numpy' or "
        "'torch:cuda', or a Backend"
    )


def _auto(device: str, numerics: _Numerics) -> Backend:
    if device:
        raise BackendError(
            f"backend='auto:{device}': auto takes no device; name the library, as in 'cupy:1'"
        )
    status = _status("cupy")
    if status.usable:
        found = status.devices[0]
        return _create("cupy", found, numerics, f"auto chose cupy on {found}")
    return _create("numpy", "cpu", numerics, f"auto chose numpy: {status.reason}")


def _create(name: str, device: str, numerics: _Numerics, chosen: str = "") -> Backend:
    module = _module(name)
    where = f"{_LIBRARIES[name].title} on {device}"
    offered: tuple[str, ...] = module.dtypes(device)
    if numerics.dtype not in offered:
        elsewhere = _ELSEWHERE.get(numerics.dtype, "another backend")
        raise BackendError(
            f"dtype={numerics.dtype!r}: {where} has none; use {', '.join(offered)}, or {elsewhere}"
        )
    if numerics.matmul_precision == "tf32" and not module.TF32:
        raise BackendError(
            f"matmul_precision='tf32': {where} has none; leave it out, or use "
            "backend='cupy', 'torch' or 'jax'"
        )
    varies: str = module.nondeterminism(device) if numerics.deterministic else ""
    if varies:
        raise BackendError(f"deterministic=True: {where}: {varies}")
    return module.Implementation(device=device, choice=chosen, **asdict(numerics))


def _device(spec: str, name: str, device: str, status: Status) -> str:
    wanted = device or status.devices[0]
    if wanted.isdecimal() and name == "cupy":
        wanted = f"cuda:{wanted}"
    if wanted in ("gpu", "cuda", "tpu"):
        wanted = f"{wanted.replace('gpu', 'cuda')}:0"
    if wanted not in status.devices:
        raise BackendError(
            f"backend={spec!r}: no device {wanted!r}: {_module(name).missing_device(wanted)}; "
            f"devices here: {', '.join(status.devices)}"
        )
    return wanted


def _status(name: str) -> Status:
    library = _LIBRARIES[name]
    if not _installed(library.module):
        return Status(
            name, False, reason=f"{library.title} is not installed", install=library.install
        )
    try:
        module = _module(name)
        version: str = module.VERSION
        devices: tuple[str, ...] = module.devices()
    except Exception as error:
        return Status(
            name,
            False,
            reason=f"{library.title} is installed but does not work ({_one_line(error)})",
            install=f"reinstall it: {library.install}",
        )
    if not devices:
        return Status(
            name,
            False,
            version,
            reason=module.missing_device("cuda:0"),
            install="install an NVIDIA driver that fits, or use backend='numpy'",
        )
    compiler, reason, install = module.compiler()
    return Status(name, True, version, devices, compiler, reason, install)


def _module(name: str) -> Any:
    return import_module(f"chainrule.backends.{name}")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # imported by hand, without a spec
        return True


def _one_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
