"""The check of a network: every parameter, every layer's input, and the loss."""

from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends import get
from chainrule.backends.base import Backend
from chainrule.errors import InputError, choice
from chainrule.gradcheck.numerical import EPS, STEPS, Floats, central, look_closer, step_sizes
from chainrule.gradcheck.problem import Problem, Target
from chainrule.gradcheck.report import GradientEntry, GradientReport
from chainrule.layers.layer import Layer
from chainrule.losses import LOSSES, Loss
from chainrule.ops.random import Rng, check_seed
from chainrule.train.settings import positive_integer
from chainrule.typing import Params

SMALL = 1e-4
"""The share of the largest derivative of all that every array is measured against at least."""

AGREE = 0.1
"""An element whose error is above this share of the tolerance is measured again."""

CLOSER = 0.01
"""The share of the tolerance within which it is then known, where rounding allows."""


def check_gradients(
    net: Layer,
    loss: str | Loss = "softmax_cross_entropy",
    *,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    seed: int = 0,
    tolerance: float = 1e-6,
    backend: str | Backend = "numpy",
    params: Params | None = None,
    max_elements: int | None = None,
) -> GradientReport:
    """Compare backpropagation with central differences, in float64, element by element.

    Checked are the parameters, the input ``x`` of each layer and the network's output, so that the
    report names the layer that makes a fault. x (rows, ...), y, sample_weight: as `Trainer.fit`
    takes them; 2 to 10 rows are enough. params: such as `trainer.params`; by default the initial
    ones for `seed`, moved at random by up to a quarter and off 0. Dropout keeps one mask.
    max_elements: how many elements of each array to draw; None checks all.

    The relative error of a derivative a, with the difference n, is |a - n| / max(|a|, |n|, the
    largest |n| of its array, 1e-4 times the largest of all, 8 eps |loss| / (step tolerance)). The
    last is what rounding hides; so the noise in a derivative that is truly 0, such as that of a
    bias in front of BatchNorm, is no error. An element that disagrees is measured again with a step
    that shrinks until no kink (ReLU has one) lies within it; where x is on the kink itself, a must
    lie between the one-sided derivatives.

    Raises `InputError` for x, y or settings that cannot be used, and for layers whose derivatives
    are not shaped like their arrays.

    >>> from chainrule.layers import Dense, ReLU, Sequential
    >>> net = Sequential(Dense(4), ReLU(), Dense(2))
    >>> check_gradients(net, x=[[0.5, -1.0], [2.0, 0.1]], y=[0, 1]).passed
    True
    """
    if isinstance(net, type) or not hasattr(net, "backward"):
        raise InputError(f"net={net!r}: expected a layer, such as Sequential(Dense(10))")
    if not (isinstance(tolerance, float | int) and isfinite(tolerance) and tolerance > 0):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"tolerance={tolerance!r}: expected a positive number")
    if max_elements is not None:
        positive_integer("max_elements", max_elements)
    own = get(backend, "float64") if isinstance(backend, str) else get(backend)
    if own.dtype != "float64":
        raise InputError(f"backend computes in {own.dtype}, gradient checks in float64")
    rng = Rng(check_seed(seed))
    with own.scope():
        problem = Problem(net, made_loss(loss), own, x, y, sample_weight, params, rng)
        targets, seconds = problem.targets(), problem.seconds()
        begin = perf_counter()
        arrays = [
            _measure(problem, target, rng, max_elements) for target in targets if target.host.size
        ]
        largest = max((array.largest for array in arrays), default=0.0)
        entries = tuple(_compare(problem, array, largest, tolerance) for array in arrays)
        seconds_numerical = perf_counter() - begin
    hidden = 8.0 * EPS * abs(problem.value) / STEPS[4]
    resolution = hidden / largest if largest > 0.0 else inf
    return GradientReport(entries, tolerance, resolution, seconds, seconds_numerical)


@dataclass
class _Measured:
    """One array's derivatives at the places that are checked, each flat: (checked,)."""

    target: Target
    places: NDArray[np.intp]
    steps: Floats
    analytic: Floats
    numerical: Floats

    @property
    def largest(self) -> float:
        finite = self.numerical[np.isfinite(self.numerical)]
        return float(np.max(np.abs(finite), initial=0.0))


def _measure(problem: Problem, target: Target, rng: Rng, max_elements: int | None) -> _Measured:
    """Take the differences at all places or some, and the worse of several analytic derivatives."""
    size = target.host.size
    places = np.arange(size)
    if max_elements is not None and size > max_elements:
        order = rng.at(f"sample.{target.layer}.{target.name}").uniform((size,)).argsort()
        places = np.sort(order[:max_elements])
    steps = step_sizes(target.host, STEPS[4]).reshape(-1)[places]
    numerical = np.asarray(
        [
            central(problem.line(target, int(place)), float(step))
            for place, step in zip(places, steps, strict=True)
        ],
        dtype=np.float64,
    )
    worst, *others = (grad.reshape(-1)[places] for grad in target.analytic)
    for other in others:
        nearer = np.abs(other - numerical) <= np.abs(worst - numerical)
        worst = np.where(nearer, worst, other)
    return _Measured(target, places, steps, worst, numerical)


def _compare(problem: Problem, array: _Measured, largest: float, tolerance: float) -> GradientEntry:
    """Look closer where the two disagree, and name the worst element."""
    analytic, numerical = array.analytic, array.numerical
    hidden = 8.0 * EPS * abs(problem.value) / (array.steps * tolerance)
    least = np.maximum(max(array.largest, SMALL * largest), hidden)
    errors = _relative(analytic, numerical, least)
    kinks = 0
    for k in np.flatnonzero(errors > AGREE * tolerance):
        a = float(analytic[k])
        slope = look_closer(
            problem.line(array.target, int(array.places[k])),
            float(array.steps[k]),
            abs(problem.value),
            CLOSER * tolerance * max(abs(a), float(least[k])),
        )
        kinks += slope.kink
        numerical[k] = slope.nearest(a)
    errors = _relative(analytic, numerical, least)
    worst = int(np.argmax(errors))
    shape = array.target.host.shape
    return GradientEntry(
        layer=array.target.layer,
        parameter=array.target.name,
        shape=shape,
        index=tuple(int(i) for i in np.unravel_index(int(array.places[worst]), shape)),
        analytic=float(analytic[worst]),
        numerical=float(numerical[worst]),
        relative_error=float(errors[worst]),
        kinks=kinks,
        checked=int(errors.size),
        passed=bool(errors[worst] <= tolerance),
    )


def _relative(analytic: Floats, numerical: Floats, least: Floats) -> Floats:
    """Return |a - n| / max(|a|, |n|, least); 0 where they are equal, infinite where one is NaN."""
    error = np.abs(analytic - numerical)
    size = np.maximum(np.maximum(np.abs(analytic), np.abs(numerical)), least)
    ratio = np.where(error == 0.0, 0.0, error / size)
    return np.where(np.isfinite(ratio), ratio, np.inf)


def made_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name with default settings, or the loss itself."""
    if isinstance(loss, str):
        return LOSSES[choice("loss", loss, LOSSES)]()
    if isinstance(loss, type) or not hasattr(loss, "row_weights"):
        raise InputError(f"loss={loss!r}: expected its name or an object: {', '.join(LOSSES)}")
    return loss
