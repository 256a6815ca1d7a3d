"""Layers: frozen dataclasses that hold hyperparameters and no arrays."""

from chainrule.layers.activations import (
    ELU,
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from chainrule.layers.batch_norm import BatchNorm
from chainrule.layers.dense import Dense
from chainrule.layers.dropout import Dropout
from chainrule.layers.flatten import Flatten
from chainrule.layers.layer import Layer
from chainrule.layers.layer_norm import LayerNorm
from chainrule.layers.sequential import Sequential

LAYERS: dict[str, type] = {
    layer.__name__: layer
    for layer in (
        BatchNorm,
        Dense,
        Dropout,
        ELU,
        Flatten,
        GELU,
        LayerNorm,
        LeakyReLU,
        ReLU,
        Sequential,
        SiLU,
        Sigmoid,
        Softmax,
        Softplus,
        Tanh,
    )
}
"""The layers a saved network may name."""

__all__ = [
    "ELU",
    "GELU",
    "LAYERS",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]
