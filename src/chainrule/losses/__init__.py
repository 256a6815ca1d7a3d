"""Losses: frozen dataclasses of settings; the formulas stand in ``ops/losses``."""

from chainrule.losses.absolute_error import AbsoluteError, absolute_error
from chainrule.losses.huber import Huber, huber
from chainrule.losses.loss import Loss
from chainrule.losses.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid_cross_entropy
from chainrule.losses.softmax_cross_entropy import SoftmaxCrossEntropy, softmax_cross_entropy
from chainrule.losses.squared_error import SquaredError, squared_error

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (AbsoluteError, Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError)
}
"""The losses by name."""

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "Huber",
    "Loss",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "absolute_error",
    "huber",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]
