"""Metrics on the host: NumPy arrays in, Python floats (or NumPy arrays) out, computed in float64.

Every function takes `weights`, (n,) of finite numbers >= 0 that do not sum to 0; None weighs rows
equally. Arrays that do not fit raise `InputError`: nothing broadcasts, so (n, 1) never meets (n,).
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import InputError, choice

Average: TypeAlias = Literal["macro", "micro", "weighted"]
Floats: TypeAlias = NDArray[np.float64]


def accuracy(
    labels: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Return the share of rows whose predicted label is the true one.

    labels, predictions (n,), both numbers or both text.

    >>> accuracy([0, 1, 2, 2], [0, 1, 1, 2])
    0.75
    """
    true = _vector("labels", labels)
    predicted = _vector("predictions", predictions)
    _same_shape("labels", true, "predictions", predicted)
    if (true.dtype.kind in "US") != (predicted.dtype.kind in "US"):
        raise InputError(
            f"labels has dtype {true.dtype}, predictions {predicted.dtype}; "
            "expected both numbers or both text"
        )
    return float(np.average(true == predicted, weights=_weights(weights, len(true))))


def top_k_accuracy(
    labels: ArrayLike, scores: ArrayLike, k: int = 5, *, weights: ArrayLike | None = None
) -> float:
    """Return the share of rows whose true label has one of the `k` highest scores.

    labels (n,) integers in [0, classes), scores (n, classes), 1 <= k <= classes. Of equal scores
    the lower class stands first, as in argmax, so that k=1 is the accuracy of argmax.

    >>> top_k_accuracy([2, 0], [[0.5, 0.2, 0.3], [0.1, 0.3, 0.6]], k=2)
    0.5
    """
    table = _numbers("scores", scores)
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(
            f"scores has shape {table.shape}; expected (rows, classes), none of them 0"
        )
    rows, classes = table.shape
    true = _labels("labels", labels, classes)
    if len(true) != rows:
        raise InputError(f"labels has {len(true)} rows, scores {rows}; expected as many")
    k = _integer("k", k, 1, classes)
    missing = np.isnan(table)
    if missing.any():
        first = ", ".join(str(i) for i in np.argwhere(missing)[0])
        raise InputError(f"scores holds {int(missing.sum())} NaN, the first at [{first}]")
    own = np.take_along_axis(table, true[:, None], axis=1)
    earlier = np.arange(classes, dtype=np.int64)[None, :] < true[:, None]
    rank = np.sum((table > own) | ((table == own) & earlier), axis=1)
    return float(np.average(rank < k, weights=_weights(weights, rows)))


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, classes: int, *, weights: ArrayLike | None = None
) -> NDArray[Any]:
    """Return (classes, classes): how many rows of true class i were predicted as class j.

    labels, predictions (n,) integers in [0, classes). int64 counts; with `weights`, float64 sums.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], classes=2)
    array([[1, 0],
           [1, 1]])
    """
    classes = _integer("classes", classes, 1, None)
    true = _labels("labels", labels, classes)
    predicted = _labels("predictions", predictions, classes)
    _same_shape("labels", true, "predictions", predicted)
    cells = np.bincount(
        true * classes + predicted,
        weights=_weights(weights, len(true)),
        minlength=classes * classes,
    )
    return cells.reshape(classes, classes)


def precision_recall_f1(
    labels: ArrayLike,
    predictions: ArrayLike,
    classes: int,
    average: Average | None = "macro",
    *,
    weights: ArrayLike | None = None,
) -> tuple[float, float, float] | tuple[Floats, Floats, Floats]:
    """Return (precision, recall, F1), averaged; with ``average=None`` three (classes,) arrays.

    labels, predictions (n,) integers in [0, classes). precision = hits / predicted,
    recall = hits / true, F1 = 2 hits / (predicted + true), and 0 where the divisor is 0. "macro" is
    the plain mean over all `classes`, "weighted" the mean weighted by each class's true rows,
    "micro" counts hits over all classes at once (all three are then the accuracy).
    """
    if average is not None:
        choice("average", average, ("macro", "micro", "weighted"))
    matrix = confusion_matrix(labels, predictions, classes, weights=weights).astype(np.float64)
    hits, predicted, true = np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    if average == "micro":
        hits, predicted, true = (
            hits.sum(keepdims=True),
            matrix.sum(keepdims=True)[0],
            true.sum(keepdims=True),
        )
    scores = (_ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true))
    if average is None:
        return scores
    support = true if average == "weighted" else None
    precision, recall, f1 = (float(np.average(score, weights=support)) for score in scores)
    return precision, recall, f1


def r2(targets: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Return the coefficient of determination, 1 - residual / total sum of squares.

    targets, predictions: one shape, (n,) or (n, outputs); the mean over outputs. An output whose
    targets are all equal counts 1 if predicted exactly, else 0. A single row has no R2: nan.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    true, error = _errors(targets, predictions)
    row_weights = _weights(weights, len(true))
    if len(true) < 2:
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        residual = np.average(error * error, axis=0, weights=row_weights)
        deviation = true - np.average(true, axis=0, weights=row_weights)
        total = np.average(deviation * deviation, axis=0, weights=row_weights)
        constant = (true == true[0]).all(axis=0) | (total == 0)
        explained = 1 - residual / np.where(constant, 1, total)
        return float(np.mean(np.where(constant, residual == 0, explained)))


def mean_absolute_error(
    targets: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Return the mean of abs(targets - predictions): one shape, (n,) or (n, outputs).

    >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    _, error = _errors(targets, predictions)
    return _row_mean(np.abs(error), weights)


def mean_squared_error(
    targets: ArrayLike, predictions: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Return the mean of (targets - predictions)²: one shape, (n,) or (n, outputs).

    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    _, error = _errors(targets, predictions)
    with np.errstate(over="ignore", invalid="ignore"):
        return _row_mean(error * error, weights)


def _errors(targets: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    """Return targets and targets - predictions as float64 (n, outputs)."""
    true, predicted = _numbers("targets", targets), _numbers("predictions", predictions)
    _same_shape("targets", true, "predictions", predicted)
    if true.ndim not in (1, 2) or 0 in true.shape:
        raise InputError(
            f"targets has shape {true.shape}; expected (n,) or (n, outputs), none of them 0"
        )
    true, predicted = true.reshape(len(true), -1), predicted.reshape(len(true), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        return true, true - predicted


def _row_mean(losses: Floats, weights: ArrayLike | None) -> float:
    """Return the mean over outputs, then the weighted mean over rows, of (n, outputs)."""
    row_weights = _weights(weights, len(losses))
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.average(np.mean(losses, axis=1), weights=row_weights))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def _vector(name: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biufUS":
        raise InputError(f"{name} has dtype {array.dtype}; expected numbers or text")
    if array.ndim != 1 or not len(array):
        way_out = f"; pass {name}.ravel()" if array.ndim == 2 and 1 in array.shape else ""
        raise InputError(f"{name} has shape {array.shape}; expected (n,), n >= 1{way_out}")
    return array


def _labels(name: str, values: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return `values` as int64 (n,), every one of them in [0, classes)."""
    array = _vector(name, values)
    if array.dtype.kind not in "biu":
        raise InputError(
            f"{name} has dtype {array.dtype}; expected integers, the numbers of the classes"
        )
    outside = (array < 0) | (array >= classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise InputError(f"{name}[{first}] is {array[first]}; expected 0 to {classes - 1}")
    return array.astype(np.int64)


def _numbers(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {array.dtype}; expected real numbers")
    return array.astype(np.float64)


def _same_shape(name: str, array: NDArray[Any], other_name: str, other: NDArray[Any]) -> None:
    if array.shape != other.shape:
        same_size = "; reshape one of them" if array.size == other.size else ""
        raise InputError(
            f"{name} has shape {array.shape}, {other_name} {other.shape}; "
            f"expected one shape{same_size}"
        )


def _weights(weights: ArrayLike | None, rows: int) -> Floats | None:
    if weights is None:
        return None
    array = _numbers("weights", weights)
    if array.shape != (rows,):
        raise InputError(f"weights has shape {array.shape}; expected ({rows},), one a row")
    if not np.isfinite(array).all() or (array < 0).any() or not array.any():
        raise InputError(
            "weights holds a negative, NaN or infinite number, or only zeros; expected >= 0"
        )
    return array


def _integer(name: str, value: int, low: int, high: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{name} is {value!r} ({type(value).__name__}); expected an integer")
    if value < low or (high is not None and value > high):
        expected = f">= {low}" if high is None else f"{low} to {high}"
        raise InputError(f"{name} is {value}; expected {expected}")
    return int(value)
