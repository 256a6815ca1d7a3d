"""Small networks around each layer, with inputs and targets drawn away from every kink."""

from typing import Any

import numpy as np
from numpy.random import Generator

from chainrule.layers import (
    ELU,
    GELU,
    LAYERS,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from chainrule.losses import LOSSES, Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.ops.random import Key, Rng, host_key
from chainrule.typing import Tree

KINK = 0.05
"""How far the layer's inputs and the loss's errors stay from a kink."""

DELTA = 0.8


def layer(name: str, rng: Generator) -> Any:
    """Return the layer of that name with settings drawn by `rng`.

    BatchNorm and LayerNorm divide by the spread of what a Dense layer gives; eps bounds that from
    below so that five points are enough. Small eps are proven in tests/ops.
    """
    makers: dict[str, Any] = {
        "BatchNorm": lambda: BatchNorm(eps=rng.uniform(0.05, 0.5)),
        "Dense": lambda: Dense(3, use_bias=bool(rng.integers(2))),
        "Dropout": lambda: Dropout(rng.uniform(0.0, 0.8)),
        "ELU": lambda: ELU(alpha=rng.uniform(0.2, 2.0)),
        "Flatten": Flatten,
        "GELU": lambda: GELU(approximate=bool(rng.integers(2))),
        "LayerNorm": lambda: LayerNorm(eps=rng.uniform(0.05, 0.5)),
        "LeakyReLU": lambda: LeakyReLU(slope=rng.uniform(0.0, 0.9)),
        "ReLU": ReLU,
        "Sequential": lambda: Sequential(Dense(2), Sequential(Tanh(), Dropout(0.2)), Softplus()),
        "SiLU": SiLU,
        "Sigmoid": Sigmoid,
        "Softmax": Softmax,
        "Softplus": Softplus,
        "Tanh": Tanh,
    }
    assert makers.keys() == LAYERS.keys(), "a new layer needs a maker"
    return makers[name]()


def network(name: str, outputs: int, rng: Generator) -> tuple[Sequential, tuple[int, ...]]:
    """Return a network that holds the layer, and the shape of its input without the batch."""
    if name == "Flatten":
        return Sequential(Flatten(), Dense(outputs)), (2, 2)
    features = int(rng.integers(1, 4))
    hidden = int(rng.integers(1, 4))
    return Sequential(Dense(hidden), layer(name, rng), Dense(outputs)), (features,)


def away(z: Any) -> Any:
    """Return a bias (hidden,) that keeps ``z + bias``, (rows, hidden), away from zero."""
    bias = np.zeros(z.shape[1])
    for column in range(z.shape[1]):
        ordered = np.sort(z[:, column])
        middle = (ordered[1:] + ordered[:-1]) / 2.0
        gaps = np.diff(ordered)
        if gaps.size and gaps.max() > 2.0 * KINK:
            bias[column] = -middle[np.argmax(gaps)]
        elif ordered.size:
            bias[column] = KINK - ordered[0]
    return bias


def draw_params(net: Sequential, in_shape: tuple[int, ...], x: Any, rng: Generator) -> Tree:
    """Return parameters; the first Dense layer's bias keeps its outputs away from zero."""
    params, _ = net.init(Rng(int(rng.integers(2**32))), in_shape)
    for own in params.values():
        for key in own.keys() & {"bias", "scale", "shift"}:
            own[key] = rng.normal(size=own[key].shape)
    if isinstance(net.layers[0], Dense):
        params["0"]["bias"] = away(x @ params["0"]["weight"])
    return params


def make_loss(name: str, rng: Generator) -> Any:
    """Return the loss of that name with settings drawn by `rng`."""
    if name == "huber":
        return Huber(delta=DELTA)
    smoothing = float(rng.choice([0.0, 0.2]))
    if name == "softmax_cross_entropy":
        return SoftmaxCrossEntropy(label_smoothing=smoothing)
    if name == "sigmoid_cross_entropy":
        return SigmoidCrossEntropy(label_smoothing=smoothing)
    return LOSSES[name]()


def draw_targets(name: str, output: Any, rng: Generator) -> Any:
    """Return targets for the output (rows, outputs), off the loss's kinks."""
    rows, outputs = output.shape
    if name == "softmax_cross_entropy":
        if rng.random() < 0.5:
            return rng.integers(0, outputs, rows)
        return rng.dirichlet(np.ones(outputs), rows)
    if name == "sigmoid_cross_entropy":
        return rng.random(output.shape)
    sign = rng.choice([-1.0, 1.0], output.shape)
    if name == "huber" and rng.random() < 0.5:
        return output + sign * rng.uniform(DELTA + KINK, 3.0, output.shape)
    return output + sign * rng.uniform(KINK, DELTA - KINK, output.shape)


def draw_key(rng: Generator) -> Key:
    """Return a key of a seed and a step."""
    return Key(host_key(int(rng.integers(2**32)), int(rng.integers(1000))), "dropout")
