"""What crosses between the host and a backend: which library an array is of, and what is let in."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError
from chainrule.typing import Namespace

_ROOTS = {
    "numpy": "numpy",
    "cupy": "cupy",
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "array_api_strict": "array_api_strict",
    "pandas": "pandas",
}
_WAYS_OUT = {
    "scipy.sparse": "pass x.toarray() if it fits in memory",
    "cupyx.scipy.sparse": "pass x.toarray() if it fits in memory",
    "numpy.ma": "pass x.filled(value), or drop the masked rows",
    "pandas": "fill or drop missing values, then pass x.to_numpy()",
}
_TARGETS = ("float", "index", "int32")


def is_masked(x: object) -> bool:
    """Return whether `x` is a masked array; `numpy.ma` is not imported to find out."""
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(x, masked.MaskedArray)


def library_of(x: object) -> str | None:
    """Return the library an array belongs to, or None if it is no array known here.

    One of numpy, numpy.ma, cupy, torch, jax, array_api_strict, pandas, scipy.sparse and
    cupyx.scipy.sparse. The class's module decides, so nothing is imported.
    """
    if is_masked(x):
        return "numpy.ma"
    if isinstance(x, (np.ndarray, np.generic)):
        return "numpy"
    if not hasattr(x, "shape") or isinstance(x, (type, np.dtype)):
        return None
    for cls in type(x).__mro__:
        module = cls.__module__
        for sparse in ("scipy.sparse", "cupyx.scipy.sparse"):
            if module == sparse or module.startswith(sparse + "."):
                return sparse
        root = module.partition(".")[0]
        if root in _ROOTS:
            return _ROOTS[root]
    return None


def from_host(
    x: Any, dtype: str | None, *, backend: str, float_: str, index: str = "int64"
) -> NDArray[Any]:
    """Return host data as a plain, aligned NumPy array in native byte order, of the dtype wanted.

    `dtype` is as in `Backend.asarray`; `float_` and `index` are the backend's dtypes for
    ``"float"`` and ``"index"``. An `index` of int32 means that the backend holds no 64-bit
    integers: those that fit are narrowed. A `float_` of bfloat16, which NumPy lacks, gives float32
    for the backend to round. No copy is made unless one is needed.
    Raises `InputError` for other libraries' arrays, for values that are not real numbers, for
    floats where integers are wanted and for integers that do not fit.
    """
    refuse_foreign(x, "numpy", backend)
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"backend {backend!r} got no rectangular array: {error}") from error
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError(
            f"backend {backend!r} got an array of dtype {array.dtype}, expected booleans, "
            "integers or floats of at most 64 bits; convert it with x.astype('float64')"
        )
    wanted = _wanted(array.dtype, dtype, backend=backend, float_=float_, index=index)
    if wanted.kind == "i" and array.dtype.kind in "iu":
        _check_range(array, wanted, backend)
    array = array.astype(wanted, copy=False)
    return array if array.flags.aligned else array.copy()


def _wanted(
    have: np.dtype[Any], dtype: str | None, *, backend: str, float_: str, index: str
) -> np.dtype[Any]:
    check_target(dtype)
    if dtype == "float":
        return np.dtype("float32" if float_ == "bfloat16" else float_)
    if dtype is None:
        narrow = index == "int32" and have.kind in "iu" and have.itemsize == 8
        return np.dtype("int32") if narrow else have.newbyteorder("=")
    if have.kind == "f":
        raise InputError(
            f"backend {backend!r} got {have} values for dtype={dtype!r}, expected integers; "
            "round them first: x.astype('int64')"
        )
    return np.dtype(index if dtype == "index" else "int32")


def _check_range(array: NDArray[Any], wanted: np.dtype[Any], backend: str) -> None:
    if array.size == 0 or np.can_cast(array.dtype, wanted):
        return
    limits = np.iinfo(wanted)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        raise InputError(
            f"backend {backend!r} got integers from {low} to {high}, which do not fit {wanted}; "
            "renumber them"
        )


def is_bfloat16(dtype: object) -> bool:
    """Return whether a library's dtype is bfloat16, which NumPy's and CuPy's `isdtype` refuse."""
    return str(dtype).endswith("bfloat16")


def check_target(dtype: str | None) -> None:
    """Raise `InputError` unless `dtype` is one that `Backend.asarray` takes."""
    if dtype is not None and dtype not in _TARGETS:
        raise InputError(
            f"asarray: dtype={dtype!r}, expected 'float', 'index', 'int32' or None to keep it"
        )


def check_own(xp: Namespace, x: Any, dtype: str | None, backend: str) -> None:
    """Raise `InputError` if the library's own array `x` cannot become one of `dtype`."""
    check_target(dtype)
    floating = is_bfloat16(x.dtype) or xp.isdtype(x.dtype, "real floating")
    if not floating and not xp.isdtype(x.dtype, ("bool", "integral")):
        raise InputError(
            f"backend {backend!r} got an array of dtype {x.dtype}, expected booleans, integers "
            "or floats"
        )
    if dtype in ("index", "int32") and floating:
        raise InputError(
            f"backend {backend!r} got {x.dtype} values for dtype={dtype!r}, expected integers"
        )


def refuse_foreign(x: object, own: str, backend: str) -> None:
    """Raise `InputError` if `x` is an array of a library other than NumPy and `own`."""
    library = library_of(x)
    if library in (None, "numpy", own):
        return
    way_out = _WAYS_OUT.get(
        library or "", "pass a NumPy array, or choose the backend of the array's own library"
    )
    raise InputError(
        f"backend {backend!r} got a {library} {type(x).__name__}, expected a NumPy array or one "
        f"of its own; {way_out}"
    )
