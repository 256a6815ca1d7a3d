"""Outputs and scores outside training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import Backend
from chainrule.errors import InputError
from chainrule.losses.loss import Loss
from chainrule.ops.activations.sigmoid import sigmoid
from chainrule.ops.activations.softmax import softmax
from chainrule.train.metrics import accuracy, mean_absolute_error, r2
from chainrule.train.step import row_shares
from chainrule.typing import Array, Namespace, Tree

ROWS = 4096
"""Rows in memory at a time."""


def outputs(run: Callable[..., Array], xp: Namespace, state: Tree, x: Array) -> Array:
    """Return the network's output for all rows, computed `ROWS` at a time by ``Programs.infer``."""
    rows, params, running = x.shape[0], state["params"], state["running"]
    if rows <= ROWS:
        return run(params, running, x)
    parts = [
        run(params, running, x[start : min(start + ROWS, rows), ...])
        for start in range(0, rows, ROWS)
    ]
    return xp.concat(parts, axis=0)


def scores(
    backend: Backend, loss: Loss, output: Array, y: Array, weight: Array | None
) -> dict[str, float]:
    """Return the loss and accuracy, or the loss, R² and mean absolute error; weighted by rows.

    Where an output is not finite, everything but the loss is nan.
    """
    xp = backend.xp
    batch: Tree = {"x": output, "y": y} | ({} if weight is None else {"weight": weight})
    shares, _ = row_shares(xp, loss, batch, output.dtype)
    value, _ = loss.forward(xp, output, y, shares)
    found = {"loss": float(value)}
    host, targets = backend.to_numpy(output), backend.to_numpy(y)
    weights = None if weight is None else backend.to_numpy(weight)
    finite = bool(np.isfinite(host).all())
    if loss.task == "regression":
        flat, flat_targets = (a.reshape(len(a), -1) for a in (host, targets))
        found["r2"] = r2(flat_targets, flat, weights=weights) if finite else np.nan
        found["mae"] = (
            mean_absolute_error(flat_targets, flat, weights=weights) if finite else np.nan
        )
        return found
    labels = targets if targets.ndim == 1 and loss.task == "classification" else hard(loss, targets)
    found["accuracy"] = (
        _accuracy(labels, predicted_labels(loss, host), weights) if finite else np.nan
    )
    return found


def hard(loss: Loss, targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return the labels that targets given as probabilities stand for."""
    if loss.task == "classification":
        return targets.argmax(axis=1).astype(np.int64)
    return (_vector(targets) >= 0.5).astype(np.int64)


def predicted_labels(loss: Loss, output: NDArray[Any]) -> NDArray[np.int64]:
    """Return the most probable label of each row, or 0 and 1 for each output of yes or no."""
    if loss.task == "classification":
        return output.argmax(axis=1).astype(np.int64)
    if loss.task == "binary":
        return (_vector(output) > 0).astype(np.int64)
    raise InputError(f"loss={loss.name!r} is for numbers: there are no labels; use predict")


def probabilities(xp: Namespace, loss: Loss, output: Array) -> Array:
    """Return the probability of each class, (rows, classes), or of yes for several outputs."""
    if loss.task == "classification":
        return softmax(xp, output)
    if loss.task == "binary":
        yes = sigmoid(xp, output)
        if yes.ndim == 2 and yes.shape[1] == 1:
            return xp.concat([1.0 - yes, yes], axis=1)
        return yes
    raise InputError(f"loss={loss.name!r} is for numbers: there are no probabilities; use predict")


def _accuracy(labels: NDArray[Any], predicted: NDArray[Any], weights: NDArray[Any] | None) -> float:
    """Return the share of right labels, over the outputs of a row, then over rows."""
    if labels.ndim == 1:
        return accuracy(labels, predicted, weights=weights)
    right = np.mean(labels == predicted, axis=tuple(range(1, labels.ndim)))
    return float(np.average(right, weights=weights))


def _vector(array: NDArray[Any]) -> NDArray[Any]:
    """Return a column (rows, 1) as (rows,), anything else as it is."""
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
