"""Huge inputs and tails: finite, exact where the limit is known, and no floating-point warning."""

from typing import Any

import numpy as np
import pytest
from scipy import special

from chainrule.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.ops.activations.erf import erf
from chainrule.ops.activations.gelu import gelu_forward
from chainrule.ops.activations.sigmoid import sigmoid
from chainrule.ops.activations.softmax import softmax
from chainrule.ops.activations.softplus import softplus
from chainrule.ops.losses.softmax_cross_entropy import softmax_cross_entropy_forward
from ops.pairs import CASES

HUGE = {"float32": 1e30, "float64": 1e300}
ACTIVATIONS = {case.name: case for case in CASES if "activations" in case.proves.__module__}

LIMITS: dict[str, tuple[float, float, float, float]] = {
    # y at -huge, y / huge at +huge (or y, for those that saturate), dx at -huge, dx at +huge
    "elu": (-0.5, 1.0, 0.0, 1.0),
    "gelu": (0.0, 1.0, 0.0, 1.0),
    "gelu_tanh": (0.0, 1.0, 0.0, 1.0),
    "leaky_relu": (-0.25, 1.0, 0.25, 1.0),
    "relu": (0.0, 1.0, 0.0, 1.0),
    "sigmoid": (0.0, 1.0, 0.0, 0.0),
    "silu": (0.0, 1.0, 0.0, 1.0),
    "softplus": (0.0, 1.0, 0.0, 1.0),
    "tanh": (-1.0, 1.0, 0.0, 0.0),
}
SETTINGS = {"elu": {"alpha": 0.5}, "leaky_relu": {"slope": 0.25}}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LIMITS)
def test_activation_at_plus_and_minus_huge(name, dtype, backend64):
    case, own, huge = ACTIVATIONS[name], SETTINGS.get(name, {}), HUGE[dtype]
    x = backend64.asarray(np.asarray([-huge, huge], dtype))
    dy = backend64.asarray(np.ones(2, dtype))
    with np.errstate(all="raise", under="ignore"):
        y, residuals = case.forward(backend64.xp, x, **own)
        (dx,) = case.backward(backend64.xp, residuals, dy, own)
    low, high, slope_low, slope_high = LIMITS[name]
    saturates = name in ("sigmoid", "tanh")
    expected = [low * huge if name == "leaky_relu" else low, high if saturates else high * huge]
    np.testing.assert_allclose(backend64.to_numpy(y), expected, rtol=1e-6)
    np.testing.assert_allclose(backend64.to_numpy(dx), [slope_low, slope_high], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_huge_inputs(dtype, backend64):
    huge, case = HUGE[dtype], ACTIVATIONS["softmax"]
    x = backend64.asarray(np.asarray([[huge, -huge], [huge, huge], [-huge, -huge]], dtype))
    dy = backend64.asarray(np.asarray([[1.0, 2.0]] * 3, dtype))
    with np.errstate(all="raise", under="ignore"):
        y, residuals = case.forward(backend64.xp, x)
        (dx,) = case.backward(backend64.xp, residuals, dy, {})
    np.testing.assert_array_equal(backend64.to_numpy(y), [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    expected = [[0.0, 0.0], [-0.25, 0.25], [-0.25, 0.25]]
    np.testing.assert_array_equal(backend64.to_numpy(dx), expected)


def test_every_activation_has_its_limits():
    assert LIMITS.keys() == ACTIVATIONS.keys() - {"softmax"}


@pytest.mark.parametrize("case", list(ACTIVATIONS.values()), ids=lambda case: case.name)
def test_nan_stays_nan(case, backend64):
    own = {name: low for name, (low, _) in case.ranges.items()}
    x = backend64.asarray(np.asarray([[np.nan, 1.0]]))
    y, _ = case.forward(backend64.xp, x, **own)
    assert np.isnan(backend64.to_numpy(y)[0, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_cross_entropy_of_huge_logits(dtype, backend64):
    """Value and derivative are known exactly: the largest logit takes all."""
    huge = HUGE[dtype]
    logits = np.asarray(
        [[huge, -huge, 0.0], [-huge, huge, 0.0], [huge, huge, huge], [0.0, 0.0, 0.0]], dtype
    )
    labels = np.asarray([0, 0, 1, 2])
    xp = backend64.xp
    loss = SoftmaxCrossEntropy()
    with np.errstate(all="raise", under="ignore"):
        for row, expected in enumerate([0.0, 2.0 * huge, np.log(3.0), np.log(3.0)]):
            output = backend64.asarray(logits[row : row + 1])
            y = backend64.asarray(labels[row : row + 1], "index")
            value, residuals = loss.forward(xp, output, y, 1.0)
            np.testing.assert_allclose(backend64.to_numpy(value), expected, rtol=1e-6)
            doutput = backend64.to_numpy(loss.backward(xp, residuals, 1.0))[0]
            third = np.full(3, 1.0 / 3.0)
            probs = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], third, third][row]
            np.testing.assert_allclose(
                doutput, probs - np.eye(3)[labels[row]], rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_of_huge_logits_are_finite(dtype, smoothing, backend64):
    huge, xp = HUGE[dtype], backend64.xp
    logits = backend64.asarray(np.asarray([[huge, -huge], [-huge, huge], [0.0, huge]], dtype))
    soft = backend64.asarray(np.asarray([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]], dtype))
    for loss in (SoftmaxCrossEntropy(smoothing), SigmoidCrossEntropy(smoothing)):
        with np.errstate(all="raise", under="ignore"):
            value, residuals = loss.forward(xp, logits, soft, 0.25)
            doutput = loss.backward(xp, residuals, 1.0)
        assert np.isfinite(backend64.to_numpy(value))
        assert np.all(np.abs(backend64.to_numpy(doutput)) <= 1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_cross_entropy_of_huge_logits(dtype, backend64):
    huge, xp = HUGE[dtype], backend64.xp
    logits = np.asarray([huge, -huge, huge, -huge, 0.0], dtype)
    targets = np.asarray([1.0, 0.0, 0.0, 1.0, 1.0], dtype)
    loss = SigmoidCrossEntropy()
    expected = [0.0, 0.0, huge, huge, np.log(2.0)]
    slopes = [0.0, 0.0, 1.0, -1.0, -0.5]
    for i in range(5):
        output, y = (backend64.asarray(a[i : i + 1]) for a in (logits, targets))
        with np.errstate(all="raise", under="ignore"):
            value, residuals = loss.forward(xp, output, y, 1.0)
            doutput = loss.backward(xp, residuals, 1.0)
        np.testing.assert_allclose(backend64.to_numpy(value), expected[i], rtol=1e-6)
        np.testing.assert_allclose(backend64.to_numpy(doutput), [slopes[i]], rtol=1e-6)


def test_targets_of_zero_probability_cost_nothing():
    """0 log 0 is 0: the logarithm is never taken of a probability."""
    logits, targets = np.asarray([[800.0, 0.0, -800.0]]), np.asarray([[1.0, 0.0, 0.0]])
    value, (probs, _, _) = softmax_cross_entropy_forward(np, logits, targets, 1.0)
    assert value == 0.0
    assert probs[0, 2] == 0.0


def _relative(actual: Any, expected: Any) -> float:
    return float(np.max(np.abs(actual / expected - 1.0)))


def test_tails_against_scipy():
    """Relative accuracy where the naive formulas lose all digits."""
    x = np.linspace(-700.0, 700.0, 14001)
    assert _relative(sigmoid(np, x), special.expit(x)) < 5e-16
    assert _relative(softplus(np, x), -special.log_expit(-x)) < 5e-16
    small = np.asarray([-1e-300, -1e-17, 1e-17, 1e-300])
    assert _relative(softplus(np, small), np.log(2.0)) < 3e-16
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 100.0
    np.testing.assert_allclose(softmax(np, logits), special.softmax(logits, axis=1), rtol=1e-12)
    labels = np.zeros(50, dtype="int64")
    value, _ = SoftmaxCrossEntropy().forward(np, logits, labels, 1.0)
    np.testing.assert_allclose(value, -special.log_softmax(logits, axis=1)[:, 0].sum(), rtol=1e-14)


def test_erf_has_its_stated_error(backend64):
    x = np.concatenate([np.linspace(-12.0, 12.0, 200001), [-1e300, -30.0, 0.0, 30.0, 1e300]])
    y = backend64.to_numpy(erf(backend64.xp, backend64.asarray(x)))
    assert np.max(np.abs(y - special.erf(x))) <= 5e-16
    assert y[-1] == 1.0
    assert y[-5] == -1.0
    narrow = x[:-5].astype("float32")
    y = backend64.to_numpy(erf(backend64.xp, backend64.asarray(narrow)))
    assert y.dtype == np.float32
    assert np.max(np.abs(y.astype("float64") - special.erf(narrow.astype("float64")))) <= 4e-7


def test_gelu_is_x_times_the_normal_distribution():
    x = np.linspace(-38.0, 38.0, 7601)
    y, _ = gelu_forward(np, x)
    np.testing.assert_allclose(y, x * special.ndtr(x), rtol=1e-14, atol=2e-15)
