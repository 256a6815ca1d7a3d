"""Matrix products by cuBLAS through nvmath-python, in a form that a CUDA graph can capture.

CuPy's own products cannot be captured: they set the stream of CuPy's handle anew each time, which
CuPy refuses while a stream captures. A handle of our own, bound once to the stream and given its
workspace, allocates nothing and waits for nothing. One stream and one workspace also mean that two
runs take their sums in one order.
"""

import ctypes
import weakref
from importlib import import_module
from typing import Any

from chainrule.trace.loops import Product

WORKSPACE = 32 * 2**20
"""Bytes, what cuBLAS asks for on Hopper."""

_TYPES = {"float16": 2, "float32": 0, "float64": 1}
"""CUDA_R_16F, CUDA_R_32F, CUDA_R_64F."""

_COMPUTE = {"float16": 68, "float32": 68, "float64": 70}
"""CUBLAS_COMPUTE_32F and CUBLAS_COMPUTE_64F."""

_COMPUTE_TF32 = 77
"""CUBLAS_COMPUTE_32F_FAST_TF32."""

_DEFAULT = -1
"""CUBLAS_GEMM_DEFAULT."""


class Products:
    """A cuBLAS handle on one stream of the current device; `precision` as a backend's."""

    def __init__(self, stream: Any, precision: str) -> None:
        cupy = import_module("cupy")
        self._cublas = import_module("nvmath.bindings.cublas")
        self._handle = self._cublas.create()
        self._tf32 = precision == "tf32"
        self._stream = stream  # the handle works on it until it is destroyed
        self._workspace = cupy.empty(WORKSPACE, "uint8")
        self._cublas.set_stream(self._handle, stream.ptr)
        self._cublas.set_workspace(self._handle, self._workspace.data.ptr, WORKSPACE)
        self._scalars = {
            name: (kind(1.0), kind(0.0))
            for name, kind in (
                ("float16", ctypes.c_float),
                ("float32", ctypes.c_float),
                ("float64", ctypes.c_double),
            )
        }
        weakref.finalize(self, self._cublas.destroy, self._handle)

    def multiply(self, product: Product, left: int, right: int, result: int) -> None:
        """Put a product on the stream; the operands are given by their addresses.

        cuBLAS counts along columns. A matrix in row order is its transpose there, and the
        transpose of left @ right is right's times left's: the operands change places.
        """
        name = product.dtype.name
        if 0 in (product.rows, product.columns):
            return
        one, zero = (ctypes.addressof(number) for number in self._scalars[name])
        type_ = _TYPES[name]
        compute = _COMPUTE_TF32 if self._tf32 and name == "float32" else _COMPUTE[name]
        self._cublas.gemm_ex(
            self._handle,
            int(product.right.transposed),
            int(product.left.transposed),
            product.columns,
            product.rows,
            product.inner,
            one,
            right,
            type_,
            max(1, product.right.columns),
            left,
            type_,
            max(1, product.left.columns),
            zero,
            result,
            type_,
            product.columns,
            compute,
            _DEFAULT,
        )
