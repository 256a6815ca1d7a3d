"""What is trained: the data, and the network, loss and optimizer for those not given."""

from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.data.builtin import load
from chainrule.errors import InputError
from chainrule.layers import BatchNorm, Dense, Dropout, Layer, ReLU, Sequential
from chainrule.losses import Loss, softmax_cross_entropy, squared_error
from chainrule.optim import FullBatchOptimizer, Optimizer, adam


@dataclass(frozen=True)
class Subject:
    """The data on the host and what is trained on it."""

    name: str
    X: NDArray[Any]
    y: NDArray[Any]
    network: Layer
    loss: str | Loss
    optimizer: str | Optimizer | FullBatchOptimizer


def make_subject(
    dataset: str | tuple[Any, Any],
    network: Layer | None,
    loss: str | Loss | None,
    optimizer: str | Optimizer | FullBatchOptimizer | None,
) -> Subject:
    """Return the data set by its name, or the arrays given, with defaults for what is None.

    Without a loss integers (rows,) make a classification, floats a regression. Raises `InputError`
    for an unknown name, and for what is neither a name nor a pair of arrays.
    """
    if isinstance(dataset, str):
        named = load(dataset)
        name, x, y = dataset, named.X, named.y
    else:
        name, x, y = "arrays", *_pair(dataset)
    width = prod(y.shape[1:])
    if loss is None:
        loss = softmax_cross_entropy() if y.dtype.kind in "iub" and width == 1 else squared_error()
    if network is None:
        labels = getattr(loss, "name", loss) == "softmax_cross_entropy" and width == 1
        network = default_network(max(int(y.max()) + 1, 2) if labels else width)
    chosen = adam(1e-3) if optimizer is None else optimizer
    if chosen == "lbfgs" or hasattr(chosen, "iterate"):
        raise InputError(
            "optimizer='lbfgs' takes all rows at once; certify compares optimizers that take "
            "batches, such as 'adam'"
        )
    return Subject(name, x, y, network, loss, chosen)


def default_network(outputs: int) -> Sequential:
    """Return a network with masks and running state, two hidden layers, `outputs` outputs.

    BatchNorm stands first: behind Dense it would cancel that layer's bias, whose gradient would be
    rounding noise that Adam turns into whole steps.
    """
    hidden: list[Any] = [Dense(128), ReLU(), Dropout(0.1), Dense(64), ReLU(), Dropout(0.1)]
    return Sequential(BatchNorm(), *hidden, Dense(outputs))


def _pair(dataset: object) -> tuple[NDArray[Any], NDArray[Any]]:
    kind = type(dataset).__name__
    pair = cast("tuple[Any, ...]", dataset) if isinstance(dataset, tuple) else ()
    if len(pair) != 2:
        raise InputError(
            f"dataset is a {kind}: expected the name of a data set, or a tuple "
            "of host arrays (X, y)"
        )
    try:
        x, y = np.asarray(pair[0]), np.asarray(pair[1])
    except ValueError:
        raise InputError("dataset is ragged: its rows differ in length") from None
    if x.ndim == 0 or y.ndim == 0 or len(x) == 0 or len(x) != len(y):
        raise InputError(
            f"dataset has X of shape {x.shape} and y of shape {y.shape}; expected one target a row"
        )
    return x, y
