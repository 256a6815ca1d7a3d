"""NumPy's own namespace, with the few functions replaced that cost small arrays most.

The values are NumPy's, bit for bit; only the way to them is shorter. Microseconds a call, in
training steps of the digits network (docs/performance.md):

- ``sum``, ``max``, ``min``: the reduction itself, without NumPy's Python wrapper (2.9 -> 1.6);
- ``where(mask, x, 0.0)``, the derivative of a rectifier: NumPy branches on every element, and
  a mask that differs from step to step is mispredicted every other time (19 -> 4). Multiplying
  the bits of x, as an integer, by 0 or 1 has no branch, and keeps NaN and infinity out.
"""

from math import copysign
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_add, _maximum, _minimum = (cast(Any, f).reduce for f in (np.add, np.maximum, np.minimum))
_BITS: dict[Any, Any] = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def _sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return _add(x, axis, dtype, None, keepdims)


def _max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _maximum(x, axis, None, None, keepdims)


def _min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _minimum(x, axis, None, None, keepdims)


def _where(condition: Any, x: Any, y: Any, /) -> NDArray[Any]:
    if type(y) is float and type(x) is np.ndarray and type(condition) is np.ndarray:
        values: NDArray[Any] = x
        whole = _BITS.get(values.dtype)
        fits = condition.dtype == np.bool_ and condition.shape == values.shape
        if whole is not None and fits and y == 0.0 and copysign(1.0, y) > 0:
            return np.multiply(values.view(whole), condition).view(values.dtype)
    return np.where(condition, x, y)


def _namespace() -> ModuleType:
    module = ModuleType("numpy", np.__doc__)
    module.__dict__.update(np.__dict__)
    module.__dict__.update(sum=_sum, max=_max, min=_min, where=_where)
    return module


namespace: Any = _namespace()
