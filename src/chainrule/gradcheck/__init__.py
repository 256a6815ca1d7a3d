"""Gradient checks: written derivatives against central differences, in float64."""

from chainrule.gradcheck.catalogue import check_all
from chainrule.gradcheck.check import check_gradients
from chainrule.gradcheck.numerical import numerical_gradient
from chainrule.gradcheck.report import GradientEntry, GradientReport

__all__ = [
    "GradientEntry",
    "GradientReport",
    "check_all",
    "check_gradients",
    "numerical_gradient",
]
