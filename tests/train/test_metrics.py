"""Metrics against scikit-learn's, and what they refuse."""

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chainrule.errors import InputError
from chainrule.train import metrics

CLASSES = 4


@st.composite
def classified(draw):
    """Labels, predictions (n,) in [0, 4) and weights (n,) or None."""
    rows = draw(st.integers(1, 30))
    labels, predictions = (
        draw(arrays.arrays(np.int64, rows, elements=st.integers(0, CLASSES - 1))) for _ in range(2)
    )
    weights = arrays.arrays(np.float64, rows, elements=st.sampled_from([0.25, 1.0, 3.0]))
    return labels, predictions, draw(st.none() | weights)


@st.composite
def regressed(draw):
    """Targets, predictions, (n,) or (n, 2), and weights (n,) or None."""
    rows = draw(st.integers(2, 30))
    shape = draw(st.sampled_from([(rows,), (rows, 2)]))
    halves = st.integers(-50, 50).map(lambda i: i / 2)
    targets, predictions = (draw(arrays.arrays(np.float64, shape, elements=halves)) for _ in "tp")
    weights = arrays.arrays(np.float64, rows, elements=st.sampled_from([0.25, 1.0, 3.0]))
    return targets, predictions, draw(st.none() | weights)


@given(classified())
def test_accuracy_is_sklearns(case):
    labels, predictions, weights = case
    expected = oracle.accuracy_score(labels, predictions, sample_weight=weights)
    assert metrics.accuracy(labels, predictions, weights=weights) == pytest.approx(expected)


def test_accuracy_of_text():
    assert metrics.accuracy(["a", "b", "c"], np.asarray(["a", "b", "a"])) == pytest.approx(2 / 3)


@given(classified())
def test_confusion_matrix_is_sklearns(case):
    labels, predictions, weights = case
    expected = oracle.confusion_matrix(
        labels, predictions, labels=range(CLASSES), sample_weight=weights
    )
    matrix = metrics.confusion_matrix(labels, predictions, CLASSES, weights=weights)
    assert matrix.dtype == (np.int64 if weights is None else np.float64)
    np.testing.assert_allclose(matrix, expected)


@given(classified(), st.sampled_from(["macro", "micro", "weighted", None]))
def test_precision_recall_f1_are_sklearns(case, average):
    labels, predictions, weights = case
    expected = oracle.precision_recall_fscore_support(
        labels,
        predictions,
        labels=range(CLASSES),
        average=average,
        sample_weight=weights,
        zero_division=0,
    )[:3]
    scores = metrics.precision_recall_f1(labels, predictions, CLASSES, average, weights=weights)
    for score, wanted in zip(scores, expected, strict=True):
        np.testing.assert_allclose(score, wanted, rtol=1e-12, atol=1e-15)


def test_a_class_never_seen_scores_0():
    precision, recall, f1 = metrics.precision_recall_f1([0, 0], [0, 0], 2, None)
    assert precision.tolist() == recall.tolist() == f1.tolist() == [1.0, 0.0]
    assert metrics.precision_recall_f1([0, 0], [0, 0], 2) == (0.5, 0.5, 0.5)


@given(st.integers(1, CLASSES), st.integers(0, 2**32 - 1), st.booleans())
def test_top_k_accuracy_is_sklearns(k, seed, weighted):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(float(CLASSES)), (20, 1)), axis=1)
    labels = rng.integers(CLASSES, size=20)
    weights = rng.uniform(0.1, 2, 20) if weighted else None
    if k == CLASSES:
        expected = 1.0
    else:
        expected = oracle.top_k_accuracy_score(
            labels, scores, k=k, labels=range(CLASSES), sample_weight=weights
        )
    assert metrics.top_k_accuracy(labels, scores, k, weights=weights) == pytest.approx(expected)


@given(
    arrays.arrays(
        np.float32, (10, CLASSES), elements=st.sampled_from([0.0, 0.5, 1.0, np.inf, -np.inf])
    ),
    arrays.arrays(np.uint8, 10, elements=st.integers(0, CLASSES - 1)),
)
def test_top_1_accuracy_is_that_of_argmax_whatever_the_ties(scores, labels):
    expected = metrics.accuracy(labels, scores.argmax(axis=1))
    assert metrics.top_k_accuracy(labels, scores, k=1) == expected


@given(regressed())
def test_regression_metrics_are_sklearns(case):
    targets, predictions, weights = case
    for own, name in (
        (metrics.mean_absolute_error, "mean_absolute_error"),
        (metrics.mean_squared_error, "mean_squared_error"),
        (metrics.r2, "r2_score"),
    ):
        expected = getattr(oracle, name)(targets, predictions, sample_weight=weights)
        assert own(targets, predictions, weights=weights) == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )


def test_r2_of_constant_targets_and_of_one_row():
    constant = np.full(7, 0.1)
    assert metrics.r2(constant, constant) == 1.0
    assert metrics.r2(constant, constant + 1e-9) == 0.0
    both = np.stack([constant, np.arange(7.0)], axis=1)
    assert metrics.r2(both, both) == 1.0
    assert np.isnan(metrics.r2([1.0], [1.0]))


def test_nan_and_overflow_pass_through_without_a_warning():
    assert np.isnan(metrics.mean_squared_error([1.0, np.nan], [1.0, 1.0]))
    assert np.isnan(metrics.mean_absolute_error([np.inf, 1.0], [np.inf, 1.0]))
    assert metrics.mean_squared_error([1e200], [-1e200]) == np.inf
    assert np.isnan(metrics.r2([0.0, 1.0], [np.nan, 1.0]))


def test_low_precision_is_summed_in_float64():
    rows = np.full(100_000, 300.0, np.float16)
    assert metrics.mean_squared_error(rows, np.zeros_like(rows)) == 90_000.0


@pytest.mark.parametrize(
    "metric",
    [
        metrics.accuracy,
        metrics.r2,
        metrics.mean_absolute_error,
        metrics.mean_squared_error,
        lambda y, p: metrics.confusion_matrix(y, p, 3),
        lambda y, p: metrics.precision_recall_f1(y, p, 3),
    ],
)
@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        (np.zeros((3, 1), int), np.zeros(3, int)),
        (np.zeros(3, int), np.zeros((3, 1), int)),
        (np.zeros(3, int), np.zeros(1, int)),
        (np.zeros(3, int), np.int64(0)),
        (np.zeros(0, int), np.zeros(0, int)),
        (np.zeros((2, 2, 2), int), np.zeros((2, 2, 2), int)),
        (np.asarray([0j]), np.asarray([0j])),
        (np.asarray([object()]), np.asarray([object()])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(metric, labels, predictions):
    with pytest.raises(InputError, match=r"has (shape|dtype) .*; expected"):
        metric(labels, predictions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([0], ["0"]), "labels has dtype int64, predictions <U1"),
        (lambda: metrics.accuracy([[0], [1]], [0, 1]), r"shape \(2, 1\).*pass labels.ravel\(\)"),
        (lambda: metrics.confusion_matrix([0, 3], [0, 0], 3), r"labels\[1\] is 3; expected 0 to 2"),
        (lambda: metrics.confusion_matrix([0], [-1], 3), r"predictions\[0\] is -1"),
        (lambda: metrics.confusion_matrix([0.0], [0], 3), "labels has dtype float64"),
        (lambda: metrics.confusion_matrix([0], [0], 0), "classes is 0; expected >= 1"),
        (lambda: metrics.confusion_matrix([0], [0], 2.0), r"classes is 2.0 \(float\)"),
        (lambda: metrics.precision_recall_f1([0], [0], 2, "makro"), "did you mean 'macro'"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, 2.0]], 3), "k is 3; expected 1 to 2"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, 2.0]], True), "k is True"),
        (lambda: metrics.top_k_accuracy([0], [1.0], 1), r"scores has shape \(1,\)"),
        (lambda: metrics.top_k_accuracy([0, 1], [[1.0]], 1), r"labels\[1\] is 1"),
        (lambda: metrics.top_k_accuracy([0, 0], [[1.0]], 1), "labels has 2 rows, scores 1"),
        (lambda: metrics.top_k_accuracy([0], [[1.0, np.nan]], 1), r"1 NaN, the first at \[0, 1\]"),
        (lambda: metrics.r2([1.0], ["a"]), "predictions has dtype <U1"),
        (lambda: metrics.accuracy([0, 1], [0, 1], weights=[1.0]), r"expected \(2,\), one a row"),
        (lambda: metrics.accuracy([0], [0], weights=[-1.0]), "weights holds a negative"),
        (lambda: metrics.accuracy([0], [0], weights=[0.0]), "only zeros"),
        (lambda: metrics.accuracy([0], [0], weights=[np.nan]), "NaN or infinite"),
    ],
)
def test_messages(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_inputs_stay_as_they_were():
    labels, weights = np.asarray([2, 0, 1]), np.asarray([1.0, 2.0, 3.0])
    labels.flags.writeable = weights.flags.writeable = False
    metrics.precision_recall_f1(labels, labels[::-1], 3, weights=weights)
    metrics.r2(weights[::-1].astype(">f8"), weights, weights=weights)
