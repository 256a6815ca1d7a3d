"""The ways an array can lie in memory."""

from typing import Any

import numpy as np

LAYOUTS = ("C", "F", "reversed", "strided", "read-only")


def arrange(x: Any, layout: str) -> Any:
    """Return `x` laid out in memory as `layout` says; numbers stay as they are."""
    if not isinstance(x, np.ndarray):
        return x
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "reversed":
        back = (slice(None, None, -1),) * x.ndim
        return x[back].copy()[back]
    if layout == "strided":
        wide = np.full([2 * size for size in x.shape], 77, x.dtype)
        every_other = (slice(None, None, 2),) * x.ndim
        wide[every_other] = x
        return wide[every_other]
    x = np.array(x, order="C")
    x.flags.writeable = layout != "read-only"
    return x
