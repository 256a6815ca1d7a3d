"""Medians, ranges, ratios in pairs, exponents: what the tables say about the samples."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

Samples = list[dict[str, Any]]


class Spread(NamedTuple):
    """The median, the smallest and the largest of some numbers."""

    median: float
    low: float
    high: float

    def times(self, factor: float) -> "Spread":
        """Return the spread in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of one number or more."""
    numbers = list(values)
    return Spread(median(numbers), min(numbers), max(numbers))


def by_place(samples: Samples) -> dict[tuple[str, ...], Samples]:
    """Return the samples of each place, in their order."""
    found: dict[tuple[str, ...], Samples] = {}
    for sample in samples:
        found.setdefault(tuple(sample["place"]), []).append(sample)
    return found


def of(samples: Samples, name: str) -> Spread:
    """Return the spread of one quantity."""
    return spread(sample[name] for sample in samples)


def paired(ours: Samples, theirs: Samples, name: str) -> Spread | None:
    """Return the spread of ours / theirs, each ratio from one repetition; None without a pair."""
    other = {sample["repetition"]: sample[name] for sample in theirs}
    ratios = [s[name] / other[s["repetition"]] for s in ours if s["repetition"] in other]
    return spread(ratios) if ratios else None


def exponent(points: Mapping[float, float]) -> float | None:
    """Return the slope of log(y) over log(x), least squares over the upper half of the points.

    The upper half, because a fixed cost hides the growth where the work is small, but two at least;
    None for fewer than two points in all.
    """
    if len(points) < 2:
        return None
    upper = sorted(points.items())[-max(2, -(-len(points) // 2)) :]
    x, y = np.log(np.asarray(upper, dtype=float).T)
    return float(np.polyfit(x, y, 1)[0])


def crossings(xs: Sequence[float], ours: Sequence[float], theirs: Sequence[float]) -> list[str]:
    """Return in words between which points the order of two curves changes.

    >>> crossings([8, 32, 128], [1.0, 2.0, 9.0], [3.0, 3.0, 3.0])
    ['32 and 128']
    """
    first = [a <= b for a, b in zip(ours, theirs, strict=True)]
    return [f"{xs[i - 1]:g} and {xs[i]:g}" for i in range(1, len(xs)) if first[i - 1] != first[i]]
