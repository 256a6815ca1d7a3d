"""The matrix products of the library that NumPy itself uses: one copy, one pool of threads."""

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

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
    """Return the BLAS that NumPy's extension modules are linked to, or None if none is found."""
    for module in ("numpy.linalg._umath_linalg", "numpy._core._multiarray_umath"):
        try:
            library = ctypes.CDLL(str(import_module(module).__file__))
        except (ImportError, OSError):
            continue
        for pattern, whole in _NAMES:
            sgemm, dgemm = (_address(library, pattern.format(letter)) for letter in "sd")
            if sgemm and dgemm:
                return Blas(sgemm, dgemm, whole, pattern.format("?"))
    return None


def _address(library: Any, name: str) -> int:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0
