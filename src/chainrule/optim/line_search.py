"""A line search for the strong Wolfe conditions, on host floats."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9


class Trial(NamedTuple):
    """A step length tried: the loss there, its slope along the direction, and what to keep."""

    length: float
    loss: float
    slope: float
    kept: Any


def strong_wolfe(
    measure: Callable[[float], Trial],
    start: Trial,
    length: float,
    *,
    max_evaluations: int,
    tolerance: float = 0.0,
) -> Trial | None:
    """Find a step that lowers the loss enough and flattens the slope enough.

    loss <= loss_0 + 1e-4 length slope_0 and |slope| <= 0.9 |slope_0|. `start` is the trial of
    length 0 (slope_0 < 0), `length` the first one to try; `measure` is called at most
    `max_evaluations` times. When they are spent, or the bracket is shorter than `tolerance`, the
    best trial of sufficient decrease is returned; None if there is none. A loss that is not finite
    counts as too high. Source: Nocedal & Wright 2006, algorithms 3.5 and 3.6, eq. 3.59.
    """
    previous = start
    for evaluation in range(max_evaluations):
        trial = measure(length)
        left = max_evaluations - evaluation - 1
        if _too_high(start, trial) or (evaluation > 0 and trial.loss >= previous.loss):
            return _zoom(measure, start, previous, trial, left, tolerance)
        if _flat(start, trial):
            return trial
        if trial.slope >= 0:
            return _zoom(measure, start, trial, previous, left, tolerance)
        length = _extrapolate(previous, trial)
        previous = trial
    return previous if previous.length > 0 else None


def _zoom(
    measure: Callable[[float], Trial],
    start: Trial,
    low: Trial,
    high: Trial,
    evaluations: int,
    tolerance: float,
) -> Trial | None:
    """Shrink a bracket whose `low` end is the best of sufficient decrease (algorithm 3.6)."""
    width = math.inf
    for _ in range(evaluations):
        last, width = width, abs(high.length - low.length)
        if width <= tolerance:
            break
        slow = width > 0.66 * last
        trial = measure(_middle(low, high) if slow else _interpolate(low, high))
        if _too_high(start, trial) or trial.loss >= low.loss:
            high = trial
            continue
        if _flat(start, trial):
            return trial
        if trial.slope * (high.length - low.length) >= 0:
            high = low
        low = trial
    return low if low.length > 0 else None


def _too_high(start: Trial, trial: Trial) -> bool:
    allowed = start.loss + SUFFICIENT_DECREASE * trial.length * start.slope
    return not (trial.loss <= allowed and math.isfinite(trial.slope))


def _flat(start: Trial, trial: Trial) -> bool:
    return abs(trial.slope) <= CURVATURE * abs(start.slope)


def _middle(a: Trial, b: Trial) -> float:
    return 0.5 * (a.length + b.length)


def _interpolate(a: Trial, b: Trial) -> float:
    """Return the minimum of the cubic through both, a tenth of the bracket away from its ends."""
    guess = _cubic_minimum(a, b)
    if guess is None:
        return _middle(a, b)
    margin = 0.1 * abs(b.length - a.length)
    return min(max(guess, min(a.length, b.length) + margin), max(a.length, b.length) - margin)


def _extrapolate(previous: Trial, trial: Trial) -> float:
    """Return the minimum of the cubic beyond `trial`, between 1.1 and 4 strides further."""
    stride = trial.length - previous.length
    guess = _cubic_minimum(previous, trial)
    furthest = trial.length + 4.0 * stride
    return furthest if guess is None else min(max(guess, trial.length + 1.1 * stride), furthest)


def _cubic_minimum(a: Trial, b: Trial) -> float | None:
    """Return the minimum of the cubic with both losses and slopes (eq. 3.59), None without one."""
    if not (math.isfinite(b.loss) and math.isfinite(b.slope) and a.length != b.length):
        return None
    chord = 3.0 * (a.loss - b.loss) / (a.length - b.length)
    d1 = a.slope + b.slope - chord
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return None
    d2 = math.copysign(math.sqrt(square), b.length - a.length)
    bottom = b.slope - a.slope + 2.0 * d2
    if bottom == 0:
        return None
    return b.length - (b.length - a.length) * ((b.slope + d2 - d1) / bottom)
