"""Initial weights. Each is a function of a generator and the shape (in_features, out_features)."""

from collections.abc import Callable
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError, choice
from chainrule.ops.random import Rng
from chainrule.settings import number
from chainrule.typing import Shape

Initializer = Callable[[Rng, Shape], NDArray[np.float64]]


def glorot_uniform(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)."""
    return _uniform(rng, shape, sqrt(6.0 / max(sum(shape), 1)))


def glorot_normal(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 12)."""
    return rng.normal(shape) * sqrt(2.0 / max(sum(shape), 1))


def he_uniform(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """U(-a, a), a = sqrt(6 / fan_in) (He et al. 2015, eq. 10)."""
    return _uniform(rng, shape, sqrt(6.0 / max(shape[0], 1)))


def he_normal(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """N(0, 2 / fan_in) (He et al. 2015, eq. 10)."""
    return rng.normal(shape) * sqrt(2.0 / max(shape[0], 1))


def lecun_uniform(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """U(-a, a), a = sqrt(3 / fan_in) (LeCun et al. 1998, section 4.6)."""
    return _uniform(rng, shape, sqrt(3.0 / max(shape[0], 1)))


def lecun_normal(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """N(0, 1 / fan_in) (LeCun et al. 1998, eq. 16)."""
    return rng.normal(shape) * sqrt(1.0 / max(shape[0], 1))


def orthogonal(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """Orthonormal rows or columns, uniform over such matrices (Saxe et al. 2014; Mezzadri 2007)."""
    tall = (max(shape), min(shape))
    q, r = np.linalg.qr(rng.normal(tall))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if shape[0] >= shape[1] else np.ascontiguousarray(q.T)


def zeros(rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """All zero."""
    return np.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {
    rule.__name__: rule
    for rule in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
        zeros,
    )
}


def check_initializer(argument: str, init: str | float) -> None:
    """Raise `InputError` unless `init` is the name of an initialiser or a finite constant."""
    if isinstance(init, str):
        choice(argument, init, INITIALIZERS)
    elif not isfinite(number(init)):
        raise InputError(
            f"{argument}={init!r:.80}: expected a finite constant or an initialiser's name"
        )


def initial(init: str | float, rng: Rng, shape: Shape) -> NDArray[np.float64]:
    """Return the initial array for an initialiser's name or a constant."""
    if isinstance(init, str):
        return INITIALIZERS[init](rng, shape)
    return np.full(shape, float(init))


def _uniform(rng: Rng, shape: Shape, bound: float) -> NDArray[np.float64]:
    return (2.0 * rng.uniform(shape) - 1.0) * bound
