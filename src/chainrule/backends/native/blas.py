"""The matrix products of the library that NumPy itself uses: one copy, one pool of threads."""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = (
    ("scipy_cblas_{}gemm64_", "i64"),
    ("cblas_{}gemm64_", "i64"),
    ("cblas_{}gemm$NEWLAPACK$ILP64", "i64"),
    ("cblas_{}gemm_64", "i64"),
    ("scipy_cblas_{}gemm", "i32"),
    ("cblas_{}gemm", "i32"),
)
"""What distributors of NumPy call it, and the integers it takes."""


@dataclass(frozen=True)
class Blas:
    """Addresses of sgemm and dgemm, the integer type of their sizes, and the library's name."""

    sgemm: int
    dgemm: int
    whole: str
    name: str


@cache
def find_blas() -> Blas | None:
    """Return the BLAS that NumPy's extension modules are linked to, or None if none is found.

    A symbol is looked up in a module and all it is linked to; Windows looks in the module alone, so
    there it is found in the libraries that NumPy's wheel brings along.
    """
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for pattern, whole in _NAMES:
            sgemm, dgemm = (_address(library, pattern.format(letter)) for letter in "sd")
            if sgemm and dgemm:
                return Blas(sgemm, dgemm, whole, pattern.format("?"))
    return None


def _libraries() -> Iterator[str]:
    for name in ("numpy.linalg._umath_linalg", "numpy._core._multiarray_umath"):
        with suppress(ImportError):
            yield str(import_module(name).__file__)
    wheel = Path(str(np.__file__)).parent.parent / "numpy.libs"
    yield from map(str, sorted(wheel.glob("*openblas*")))


def _address(library: Any, name: str) -> int:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0
