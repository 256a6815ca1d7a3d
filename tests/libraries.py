"""The array libraries the tests run on.

`make_backend` skips the test when a library cannot be used here. The environment variable
CHAINRULE_REQUIRE, a list such as ``numpy,torch,jax,strict``, turns that skip into a failure.
"""

import os
from dataclasses import dataclass
from typing import Any

import pytest

from chainrule.backends import Backend, get
from chainrule.backends.numpy import NumpyBackend
from chainrule.errors import BackendError

NAMES = ("numpy", "numpy-readonly", "strict", "torch", "jax", "cupy")
PARAMS = [
    pytest.param(name, marks=pytest.mark.cuda) if name == "cupy" else pytest.param(name)
    for name in NAMES
]


@dataclass(frozen=True)
class ReadOnlyNumpy(NumpyBackend):
    """NumPy whose arrays cannot be written to: finds code that changes its arguments."""

    def asarray(self, x: Any, dtype: str | None = None) -> Any:
        array = super().asarray(x, dtype).view()
        array.flags.writeable = False
        return array

    def stage(self, host: Any, dtype: str) -> Any:
        return self.asarray(host, dtype)


def required() -> frozenset[str]:
    """Return the libraries that must not be skipped, from CHAINRULE_REQUIRE."""
    words = os.environ.get("CHAINRULE_REQUIRE", "").split(",")
    names = frozenset(word.strip() for word in words if word.strip())
    unknown = sorted(names - set(NAMES))
    if unknown:
        raise pytest.UsageError(f"CHAINRULE_REQUIRE names {unknown}, expected any of {NAMES}")
    return names


def make_backend(name: str, dtype: str = "float32") -> Backend:
    """Return the backend of that name; skip the test, or fail it if it is required."""
    if name == "numpy-readonly":
        return ReadOnlyNumpy(dtype=dtype)
    try:
        return get(name, dtype)
    except BackendError as error:
        if name in required():
            pytest.fail(f"CHAINRULE_REQUIRE asks for {name}: {error}")
        pytest.skip(str(error))
