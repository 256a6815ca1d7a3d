"""The table of pairs: one case for each way an op is used, with how to draw its inputs.

An op whose backward function no case names fails `test_every_pair_has_a_case`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from chainrule.ops.activations.elu import elu_backward, elu_forward
from chainrule.ops.activations.gelu import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
)
from chainrule.ops.activations.relu import (
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
)
from chainrule.ops.activations.sigmoid import sigmoid_backward, sigmoid_forward
from chainrule.ops.activations.silu import silu_backward, silu_forward
from chainrule.ops.activations.softmax import softmax_backward, softmax_forward
from chainrule.ops.activations.softplus import softplus_backward, softplus_forward
from chainrule.ops.activations.tanh import tanh_backward, tanh_forward
from chainrule.ops.batch_norm import batch_norm_backward, batch_norm_forward
from chainrule.ops.dropout import dropout_backward, dropout_forward
from chainrule.ops.layer_norm import layer_norm_backward, layer_norm_forward
from chainrule.ops.linear import linear_backward, linear_forward
from chainrule.ops.losses.absolute_error import absolute_error_backward, absolute_error_forward
from chainrule.ops.losses.huber import huber_backward, huber_forward
from chainrule.ops.losses.sigmoid_cross_entropy import (
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
)
from chainrule.ops.losses.softmax_cross_entropy import (
    one_hot,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from chainrule.ops.losses.squared_error import squared_error_backward, squared_error_forward
from chainrule.ops.random import Key, host_key
from ops.numerical import MARGIN

Shape = tuple[int, ...]
Settings = Mapping[str, float]
Inputs = tuple[NDArray[np.float64], ...]
Constants = tuple[Any, ...]
Draw = Callable[[Generator, Shape, Settings], tuple[Inputs, Constants]]


@dataclass(frozen=True)
class Case:
    """A pair, the ranges of its settings, and its inputs (differentiated) and constants (not)."""

    name: str
    forward: Callable[..., Any]
    proves: Callable[..., Any]
    draw: Draw
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ndims: tuple[int, ...] = (1, 2, 3)

    def backward(self, xp: Any, residuals: Any, dy: Any, settings: Settings) -> tuple[Any, ...]:
        """Return the derivatives as a tuple, in the order of the inputs."""
        taken = signature(self.proves).parameters
        own = {name: value for name, value in settings.items() if name in taken}
        grads = self.proves(xp, residuals, dy, **own)
        return grads if isinstance(grads, tuple) else (grads,)


def smooth(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Anywhere in (-6, 6)."""
    return (rng.uniform(-6.0, 6.0, shape),), ()


def off_zero(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """In (-3, 3), at least MARGIN from 0, where the derivative jumps."""
    sign = rng.choice([-1.0, 1.0], shape)
    return (sign * rng.uniform(MARGIN, 3.0, shape),), ()


def affine(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """x (batch, in), weight (in, out), bias (out,)."""
    units = int(rng.integers(1, 4))
    return (rng.normal(size=shape), rng.normal(size=(shape[1], units)), rng.normal(size=units)), ()


def affine_no_bias(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """x (batch, in), weight (in, out)."""
    inputs, _ = affine(rng, shape, settings)
    return inputs[:2], ()


def by_row(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Rows whose elements differ by at least 0.4, so that dividing by their spread is tame."""
    places = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
    x = rng.normal() + places + rng.uniform(-0.3, 0.3, shape)
    return (x, rng.normal(size=shape[-1]), rng.normal(size=shape[-1])), ()


def by_column(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Columns whose elements differ by at least 0.4."""
    flat = (shape[-1], int(np.prod(shape[:-1])))
    (x, _, _), _ = by_row(rng, flat, settings)
    return (x.T.reshape(shape), rng.normal(size=shape[-1]), rng.normal(size=shape[-1])), ()


def masked(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """x and the words of a key."""
    return (rng.normal(size=shape),), (host_key(int(rng.integers(2**32)), int(rng.integers(100))),)


def row_weight(rng: Generator, rows: int) -> float | NDArray[np.float64]:
    """A number, or an array (rows,) that sums to 1 and may hold zeros."""
    if rng.random() < 0.5:
        return 1.0 / max(rows, 1)
    weight = rng.uniform(0.0, 1.0, rows) * (rng.random(rows) < 0.8)
    return weight / max(weight.sum(), 1e-3)


def regression(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Outputs; any targets; weights."""
    output, targets = rng.normal(size=(2, *shape))
    return (output,), (targets, row_weight(rng, shape[0]))


def regression_off_zero(
    rng: Generator, shape: Shape, settings: Settings
) -> tuple[Inputs, Constants]:
    """Outputs; targets at least MARGIN away; weights."""
    (error,), _ = off_zero(rng, shape, settings)
    targets = rng.normal(size=shape)
    return (targets + error,), (targets, row_weight(rng, shape[0]))


def regression_off_delta(
    rng: Generator, shape: Shape, settings: Settings
) -> tuple[Inputs, Constants]:
    """Outputs; targets whose distance is at least MARGIN from delta; weights."""
    inside = rng.uniform(0.0, settings["delta"] - MARGIN, shape)
    outside = rng.uniform(settings["delta"] + MARGIN, 6.0, shape)
    error = np.where(rng.random(shape) < 0.5, inside, outside) * rng.choice([-1.0, 1.0], shape)
    targets = rng.normal(size=shape)
    return (targets + error,), (targets, row_weight(rng, shape[0]))


def yes_or_no(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Logits; targets 0, 1 or between; weights."""
    targets = rng.random(shape)
    if rng.random() < 0.5:
        targets = np.round(targets)
    return (rng.uniform(-6.0, 6.0, shape),), (targets, row_weight(rng, shape[0]))


def probabilities(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Logits (batch, classes); rows of probabilities; weights."""
    targets = rng.dirichlet(np.ones(shape[1]), shape[0])
    return (rng.uniform(-6.0, 6.0, shape),), (targets, row_weight(rng, shape[0]))


def labels(rng: Generator, shape: Shape, settings: Settings) -> tuple[Inputs, Constants]:
    """Logits (batch, classes); labels (batch,); weights."""
    numbers = rng.integers(0, shape[1], shape[0])
    return (rng.uniform(-6.0, 6.0, shape),), (numbers, row_weight(rng, shape[0]))


def _linear_no_bias(xp: Any, x: Any, weight: Any) -> Any:
    return linear_forward(xp, x, weight, None)


def _dropout(xp: Any, x: Any, words: Any, *, rate: float) -> Any:
    return dropout_forward(xp, x, Key(words, "dropout"), rate=rate)


def _softmax_labels(xp: Any, logits: Any, y: Any, weight: Any, *, smoothing: float = 0.0) -> Any:
    targets = one_hot(xp, y, logits.shape[1], logits.dtype, smoothing=smoothing)
    return softmax_cross_entropy_forward(xp, logits, targets, weight)


_EPS = {"eps": (1e-5, 0.1)}

CASES = (
    Case("elu", elu_forward, elu_backward, off_zero, {"alpha": (0.1, 2.0)}),
    Case("gelu", gelu_forward, gelu_backward, smooth),
    Case("gelu_tanh", gelu_tanh_forward, gelu_tanh_backward, smooth),
    Case("leaky_relu", leaky_relu_forward, leaky_relu_backward, off_zero, {"slope": (0.0, 0.99)}),
    Case("relu", relu_forward, relu_backward, off_zero),
    Case("sigmoid", sigmoid_forward, sigmoid_backward, smooth),
    Case("silu", silu_forward, silu_backward, smooth),
    Case("softmax", softmax_forward, softmax_backward, smooth, ndims=(2, 3)),
    Case("softplus", softplus_forward, softplus_backward, smooth),
    Case("tanh", tanh_forward, tanh_backward, smooth),
    Case("linear", linear_forward, linear_backward, affine, ndims=(2,)),
    Case("linear, no bias", _linear_no_bias, linear_backward, affine_no_bias, ndims=(2,)),
    Case("layer_norm", layer_norm_forward, layer_norm_backward, by_row, _EPS, ndims=(2, 3)),
    Case("batch_norm", batch_norm_forward, batch_norm_backward, by_column, _EPS, ndims=(2, 3)),
    Case("dropout", _dropout, dropout_backward, masked, {"rate": (0.0, 0.99)}),
    Case("squared_error", squared_error_forward, squared_error_backward, regression),
    Case("absolute_error", absolute_error_forward, absolute_error_backward, regression_off_zero),
    Case("huber", huber_forward, huber_backward, regression_off_delta, {"delta": (0.1, 3.0)}),
    Case(
        "sigmoid_cross_entropy",
        sigmoid_cross_entropy_forward,
        sigmoid_cross_entropy_backward,
        yes_or_no,
    ),
    Case(
        "softmax_cross_entropy, probabilities",
        softmax_cross_entropy_forward,
        softmax_cross_entropy_backward,
        probabilities,
        ndims=(2,),
    ),
    Case(
        "softmax_cross_entropy, labels",
        _softmax_labels,
        softmax_cross_entropy_backward,
        labels,
        ndims=(2,),
    ),
    Case(
        "softmax_cross_entropy, smoothed labels",
        _softmax_labels,
        softmax_cross_entropy_backward,
        labels,
        {"smoothing": (0.0, 0.9)},
        ndims=(2,),
    ),
)
