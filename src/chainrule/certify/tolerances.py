"""How far a run may be from the float64 NumPy reference, and why that far."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """The largest relative distances that pass; how each is measured stands in `distances`."""

    gradient: float
    loss: float
    parameter: float


TOLERANCES = {
    "float64": Tolerance(gradient=1e-10, loss=1e-8, parameter=1e-8),
    "float32": Tolerance(gradient=1e-5, loss=1e-3, parameter=1e-3),
}
"""The tolerances by dtype; batches, masks and initial weights have none, they agree bit for bit.

Libraries may sum in any order, fuse, and round their elementary functions differently. That costs a
gradient a few units in the last place: near 1e-6 in float32 and 1e-15 in float64. The float32
tolerance leaves a factor of ten; the float64 one is far above rounding and still below anything
computed in float32 by mistake (1e-8 at the least).

Training then multiplies the distance: an optimizer such as Adam divides small gradients by their
own size, and a ReLU whose input is within rounding of zero may open on one library only, which
moves parameters by 1e-4 for good. So losses and parameters have a hundred times as much. A wrong
formula, a lost batch or another mask moves them by 1e-2 and more within a hundred steps.
"""


def within(distance: float, tolerance: float) -> bool:
    """Tell whether a distance passes; the tolerance itself does, NaN does not.

    >>> within(1e-5, 1e-5), within(1.001e-5, 1e-5), within(float("nan"), 1e-5)
    (True, False, False)
    """
    return distance <= tolerance
