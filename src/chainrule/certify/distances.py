"""How far two runs are apart. The reference is float64; a distance of NaN counts as infinite."""

from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from chainrule.certify.start import Arrays

GRADIENT_FLOOR = 1e-2
"""Gradients below this part of the network's largest are measured as if they were that large.

A gradient is a sum whose rounding error scales with the terms it is made of, not with what is left.
"""

UNDETERMINED = 1e-10
"""Parameters whose gradients are below this part of the network's largest are undetermined.

Their true gradient is zero, as that of a bias in front of BatchNorm, which subtracts it again. What
is computed is rounding error; Adam divides it by its own size and takes whole steps in random
directions. The loss does not feel them, so they are not compared, and neither is running state,
which follows them. Their gradients are measured against the network's largest.
"""

STATE_FLOOR = 1e-2
"""Arrays whose root mean square is below this are measured as if it were this.

Biases start at zero: one update in, a relative distance would compare rounding with rounding.
"""

LOSS_FLOOR = 1e-3
"""Losses below this part of the reference's largest are measured as if they were that large.

A loss near zero is a difference of larger numbers, and its last bits are theirs.
"""


def gradient_distances(found: Arrays, reference: Arrays) -> dict[str, float]:
    """Return max |g - r| / max |r| for each parameter, with `GRADIENT_FLOOR`."""
    largest = max(map(_largest, reference.values()), default=0.0)
    open_ = undetermined(reference)
    return {
        name: _ratio(
            _largest(found[name] - r),
            largest if name in open_ else max(_largest(r), GRADIENT_FLOOR * largest),
        )
        for name, r in reference.items()
    }


def undetermined(gradients: Arrays) -> tuple[str, ...]:
    """Return the names of the parameters that the loss does not depend on; see `UNDETERMINED`."""
    limit = UNDETERMINED * max(map(_largest, gradients.values()), default=0.0)
    return tuple(name for name, r in gradients.items() if _largest(r) <= limit)


def state_distances(found: Arrays, reference: Arrays) -> dict[str, float]:
    """Return ||p - r|| / ||r|| (2-norms) for each array of the state, with `STATE_FLOOR`."""
    return {
        name: _ratio(_norm(found[name] - r), max(_norm(r), STATE_FLOOR * r.size**0.5))
        for name, r in reference.items()
    }


def loss_distances(found: list[float], reference: list[float]) -> list[float]:
    """Return |l - r| / |r| for each step both have, with `LOSS_FLOOR`."""
    floor = LOSS_FLOOR * max(map(abs, reference), default=0.0)
    return [
        _ratio(abs(loss - r), max(abs(r), floor)) for loss, r in zip(found, reference, strict=False)
    ]


def _largest(array: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(array), initial=0.0))


def _norm(array: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(array.ravel()))


def _ratio(distance: float, scale: float) -> float:
    if isnan(distance):
        return inf
    if distance == 0.0:
        return 0.0
    return distance / scale if scale > 0.0 else inf
