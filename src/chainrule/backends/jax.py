"""JAX on any device it offers; steps are compiled by ``jax.jit``."""

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.base import DTYPES
from chainrule.backends.host import check_own, from_host, is_bfloat16, refuse_foreign
from chainrule.backends.scan import Advice, Scan, Step, eager_scan, gathered
from chainrule.errors import InputError
from chainrule.typing import Array, Namespace, State, Tree

_jax: Any = import_module("jax")
_jnp: Any = import_module("jax.numpy")
VERSION = str(_jax.__version__)
TF32 = True
_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32"}


@cache
def _by_name() -> dict[str, Any]:
    found = list(_jax.local_devices())
    with suppress(RuntimeError):  # JAX_PLATFORMS may leave the CPU out
        found += _jax.local_devices(backend="cpu")
    return {_name(device): device for device in found}


def _name(device: Any) -> str:
    if device.platform == "cpu" and device.id == 0:
        return "cpu"
    return f"{'cuda' if device.platform == 'gpu' else device.platform}:{device.id}"


def devices() -> tuple[str, ...]:
    """Return the devices that can be used, JAX's default first."""
    return tuple(_by_name())


def compiler() -> tuple[str, str, str]:
    """Return what compiles steps, and what is missing for it: nothing."""
    return "jax.jit", "", ""


def dtypes(device: str) -> tuple[str, ...]:
    """Return the float dtypes that `device` computes in."""
    return DTYPES


def nondeterminism(device: str) -> str:
    """Return what keeps two runs on `device` from the same bits, and the way out."""
    flag = "--xla_gpu_deterministic_ops"
    given = os.environ.get("XLA_FLAGS", "").split()
    if not device.startswith("cuda") or any(f"{flag}{on}" in given for on in ("", "=true", "=1")):
        return ""
    return f"XLA may add in any order; set XLA_FLAGS={flag}=true before Python starts"


def missing_device(device: str) -> str:
    """Return why there is no such device."""
    platform = device.partition(":")[0]
    try:
        count = len(_jax.local_devices(backend=platform))
    except RuntimeError as error:
        return f"JAX finds 0 devices of kind {platform!r} ({str(error).splitlines()[0]})"
    return f"JAX finds {count} devices of kind {platform!r}"


def _x64(enabled: bool) -> AbstractContextManager[Any]:
    if hasattr(_jax, "enable_x64"):
        return _jax.enable_x64(enabled)
    experimental: Any = import_module("jax.experimental")
    return experimental.enable_x64(enabled)


def _loop(backend: "JaxBackend", step: Step) -> Callable[..., tuple[State, Tree]]:
    """Return ``loop(state, data, controls, count)``: the first `count` steps of the controls.

    The metrics have room for as many steps as the controls.
    """

    def one(state: State, data: Tree, controls: Tree, number: Array) -> tuple[State, Tree]:
        control = {name: array[number] for name, array in controls.items()}
        return step(_jnp, state, gathered(backend, data, control))

    def loop(state: State, data: Tree, controls: Tree, count: Array) -> tuple[State, Tree]:
        traced = _jax.jit(one)  # so that the shapes and the loop come from one trace
        room = controls["indices"].shape[0]
        _, shapes = _jax.eval_shape(traced, state, data, controls, count)
        found = {name: _jnp.zeros((room, *x.shape), x.dtype) for name, x in shapes.items()}

        def body(number: Array, carry: tuple[State, Tree]) -> tuple[State, Tree]:
            state, found = carry
            state, metrics = traced(state, data, controls, number)
            return state, {name: found[name].at[number].set(x) for name, x in metrics.items()}

        return _jax.lax.fori_loop(_jnp.int32(0), count, body, (state, found))

    return loop


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the array with zeros after it, (length, ...)."""
    if len(array) == length:
        return array
    padded = np.zeros((length, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


@dataclass(frozen=True)
class JaxBackend:
    """JAX; `compile` is ``jax.jit`` with donation.

    All work, the first call of a compiled function too, belongs inside `scope()`: JAX keeps one
    compiled program for each setting of x64 and default device.
    """

    device: str = "cpu"
    dtype: str = "float32"
    matmul_precision: str = "float32"
    deterministic: bool = False
    choice: str = field(default="", compare=False)
    name: str = field(default="jax", init=False)

    def compiled_by(self) -> str:
        return compiler()[0]

    @property
    def xp(self) -> Namespace:
        return _jnp

    @property
    def _wide(self) -> bool:
        return self.dtype == "float64"

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        with _x64(self._wide):
            if isinstance(x, _jax.Array):
                return self._own(x, dtype)
            host = self._host(x, dtype)
            if host.dtype == np.float64 and not self._wide:
                raise InputError(
                    f"backend 'jax' with dtype={self.dtype!r} holds no float64; "
                    "pass dtype='float', or choose dtype='float64' for the backend"
                )
            # device_put may share the memory it is given, so it gets a copy; jnp.array would not,
            # but compiles a program for each shape.
            return _jax.device_put(np.array(host, copy=True), _by_name()[self.device])

    def _host(self, x: Any, dtype: str | None) -> NDArray[Any]:
        host = from_host(x, dtype, backend=self.name, float_=self.dtype, index="int32")
        return host.astype(_jnp.dtype(self.dtype), copy=False) if dtype == "float" else host

    def _own(self, x: Any, dtype: str | None) -> Array:
        check_own(_jnp, x, dtype, self.name)
        if dtype is not None:
            x = x.astype(self.dtype if dtype == "float" else "int32")
        if isinstance(x, _jax.core.Tracer):
            return x
        return _jax.device_put(x, _by_name()[self.device])

    def to_numpy(self, x: Array) -> NDArray[Any]:
        refuse_foreign(x, "jax", self.name)
        wide = np.float32 if is_bfloat16(getattr(x, "dtype", None)) else None
        return np.array(x, dtype=wide, order="C", copy=True)

    def owns(self, x: object) -> bool:
        return isinstance(x, _jax.Array)

    def gather(self, x: Array, indices: Array) -> Array:
        return _jnp.take(x, indices, axis=0, mode="clip")

    def stage(self, host: NDArray[Any], dtype: str) -> Array:
        """Return a NumPy array: `jit` converts its parts more cheaply than JAX slices them."""
        return self._host(host, dtype)

    def compile(
        self, function: Callable[..., Any], donate: Sequence[int] = ()
    ) -> Callable[..., Any]:
        return _jax.jit(function, donate_argnums=tuple(donate))

    def advise(self, step: Step, state: State, data: Tree, controls: Tree, steps: int) -> Advice:
        return Advice(True, True, "jax.jit compiles a loop over the steps")

    def scan(self, step: Step, *, compiled: bool) -> Scan:
        """Return a jitted loop over the steps, or the step as it stands.

        How often the loop runs is an argument of the program, and the controls are padded to a
        power of two of steps, for a size of batch never to fewer than before: chunks of any
        lengths share one trace, or a few while they grow.
        """
        if not compiled:
            eager = eager_scan(self, step)
            return lambda state, data, controls: eager(
                state, data, tree.map(self.asarray, controls)
            )
        run = _jax.jit(_loop(self, step), donate_argnums=(0,))
        rooms: dict[int, int] = {}

        def scan(state: State, data: Tree, controls: Tree) -> Iterator[tuple[State, int, Tree]]:
            count, rows = controls["indices"].shape
            room = rooms[rows] = max(rooms.get(rows, 1), 1 << (count - 1).bit_length())
            padded = {name: _padded(array, room) for name, array in controls.items()}
            state, metrics = run(state, data, padded, np.int32(count))
            yield state, count, {}
            yield state, count, {name: np.asarray(x)[:count] for name, x in metrics.items()}

        return scan

    @contextmanager
    def scope(self) -> Generator[None, None, None]:
        """Set x64 by the dtype, the default device and the precision of products.

        Donation's warnings are silenced.
        """
        with (
            _x64(self._wide),
            _jax.default_matmul_precision(_PRECISIONS[self.matmul_precision]),
            _jax.default_device(_by_name()[self.device]),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
            yield

    def synchronize(self) -> None:
        _jax.block_until_ready(_jax.live_arrays())


Implementation = JaxBackend
