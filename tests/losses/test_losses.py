"""Losses as users meet them: weights, targets, every library, settings that are refused."""

import numpy as np
import pytest

from chainrule.errors import InputError
from chainrule.losses import (
    LOSSES,
    AbsoluteError,
    Huber,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    absolute_error,
    huber,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from chainrule.ops.losses.softmax_cross_entropy import one_hot


def test_names_and_aliases():
    aliases = (absolute_error, huber, sigmoid_cross_entropy, softmax_cross_entropy, squared_error)
    assert set(LOSSES.values()) == set(aliases)
    assert all(LOSSES[alias.name] is alias for alias in aliases)
    assert {name: loss.task for name, loss in LOSSES.items()} == {
        "absolute_error": "regression",
        "huber": "regression",
        "squared_error": "regression",
        "sigmoid_cross_entropy": "binary",
        "softmax_cross_entropy": "classification",
    }
    assert softmax_cross_entropy(label_smoothing=0.1) == SoftmaxCrossEntropy(label_smoothing=0.1)


def test_values_worked_by_hand():
    output, y = np.asarray([[1.0, 4.0], [0.0, -2.0]]), np.asarray([[0.0, 1.0], [0.0, 0.0]])
    assert SquaredError().forward(np, output, y, 0.5)[0] == 0.5 * (10.0 / 2.0 + 4.0 / 2.0)
    assert AbsoluteError().forward(np, output, y, 0.5)[0] == 0.5 * (4.0 / 2.0 + 2.0 / 2.0)
    assert Huber().forward(np, output, y, 0.5)[0] == 0.5 * ((0.5 + 2.5) / 2.0 + 1.5 / 2.0)
    uniform = SoftmaxCrossEntropy().forward(np, np.zeros((3, 8)), np.zeros(3, int), 1.0 / 3.0)[0]
    assert uniform == pytest.approx(np.log(8.0), rel=1e-15)
    coin = SigmoidCrossEntropy().forward(np, np.zeros(4), np.ones(4), 0.25)[0]
    assert coin == pytest.approx(np.log(2.0), rel=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_batch_add_up_to_the_whole(name):
    """Weights that sum to 1 make micro-batches of any sizes one batch."""
    rng = np.random.default_rng(0)
    loss, output = LOSSES[name](), rng.normal(size=(7, 3))
    y = rng.dirichlet(np.ones(3), 7)
    weight = rng.random(7)
    weight /= weight.sum()
    whole, residuals = loss.forward(np, output, y, weight)
    doutput = loss.backward(np, residuals, 1.0)
    parts = [slice(0, 3), slice(3, 6), slice(6, 7), slice(7, 7)]
    values, pieces = [], []
    for part in parts:
        value, kept = loss.forward(np, output[part], y[part], weight[part])
        values.append(value)
        pieces.append(loss.backward(np, kept, 1.0))
    assert sum(values) == pytest.approx(float(whole), rel=1e-14)
    np.testing.assert_allclose(np.concatenate(pieces), doutput, rtol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_are_the_mean(name):
    rng = np.random.default_rng(1)
    loss, output = LOSSES[name](), rng.normal(size=(4, 3))
    y = rng.dirichlet(np.ones(3), 4)
    number, _ = loss.forward(np, output, y, 0.25)
    array, _ = loss.forward(np, output, y, np.full(4, 0.25))
    rows = [float(loss.forward(np, output[i : i + 1], y[i : i + 1], 1.0)[0]) for i in range(4)]
    assert number == pytest.approx(float(array), rel=1e-14)
    assert number == pytest.approx(np.mean(rows), rel=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_gradient_and_weights_on_every_library(name, dtype, backend64):
    rng = np.random.default_rng(2)
    loss, xp = LOSSES[name](), backend64.xp
    host = {"output": rng.normal(size=(5, 3)), "y": rng.random((5, 3)), "weight": rng.random(5)}
    own = {key: backend64.asarray(value.astype(dtype)) for key, value in host.items()}
    if name == "softmax_cross_entropy":
        host["y"] = rng.integers(0, 3, 5)
        own["y"] = backend64.asarray(host["y"], "index")
    value, residuals = loss.forward(xp, own["output"], own["y"], own["weight"])
    doutput = loss.backward(xp, residuals, backend64.asarray(np.asarray(1.0, dtype)))
    assert value.dtype == doutput.dtype == getattr(xp, dtype)
    assert value.shape == ()
    expected, kept = loss.forward(np, host["output"], host["y"], host["weight"])
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(backend64.to_numpy(value), expected, rtol=tolerance)
    np.testing.assert_allclose(
        backend64.to_numpy(doutput), loss.backward(np, kept, 1.0), rtol=tolerance, atol=tolerance
    )
    assert loss.row_weights(xp, own["y"], own["weight"], own["output"].dtype) is own["weight"]
    assert loss.row_weights(xp, own["y"], None, own["output"].dtype) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_weights_on_every_library(dtype, backend64):
    xp, own_dtype = backend64.xp, getattr(backend64.xp, dtype)
    labels = backend64.asarray(np.asarray([2, 0, 1, 2]), "index")
    probs = backend64.asarray(np.asarray([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype))
    sample = backend64.asarray(np.asarray([1.0, 2.0, 3.0, 4.0], dtype))
    loss = SoftmaxCrossEntropy(class_weight=[1, 2.0, 4.0])
    for y, weight, expected in (
        (labels, None, [4.0, 1.0, 2.0, 4.0]),
        (labels, sample, [4.0, 2.0, 6.0, 16.0]),
        (probs, None, [1.5, 4.0]),
    ):
        rows = loss.row_weights(xp, y, weight, own_dtype)
        assert rows.dtype == own_dtype
        np.testing.assert_array_equal(backend64.to_numpy(rows), expected)
    binary = SigmoidCrossEntropy(class_weight=(1.0, 3.0))
    flags = np.asarray([0.0, 1.0, 1.0, 0.0], dtype)
    for y in (flags, flags[:, None]):
        rows = binary.row_weights(xp, backend64.asarray(y), sample, own_dtype)
        assert rows.dtype == own_dtype
        np.testing.assert_array_equal(backend64.to_numpy(rows), [1.0, 6.0, 9.0, 4.0])


def test_binary_class_weights_need_one_output():
    loss = SigmoidCrossEntropy(class_weight=(1.0, 3.0))
    message = r"^class_weight needs one output, the network has 2; use sample_weight$"
    with pytest.raises(InputError, match=message):
        loss.row_weights(np, np.ones((3, 2)), None, np.float64)


def test_one_hot(backend64):
    xp = backend64.xp
    labels = backend64.asarray(np.asarray([1, 0, 3]), "index")
    plain = backend64.to_numpy(one_hot(xp, labels, 4, xp.float32))
    assert plain.dtype == np.float32
    np.testing.assert_array_equal(plain, np.eye(4)[[1, 0, 3]])
    smooth = backend64.to_numpy(one_hot(xp, labels, 4, xp.float64, smoothing=0.2))
    np.testing.assert_allclose(smooth, np.eye(4)[[1, 0, 3]] * 0.8 + 0.05, rtol=1e-15)
    np.testing.assert_allclose(smooth.sum(axis=1), 1.0, rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(delta=0.0), r"^huber\(delta=0\.0\): expected a positive finite number$"),
        (lambda: Huber(delta=float("inf")), r"^huber\(delta=inf\): expected a positive finite num"),
        (lambda: Huber(delta="1"), r"^huber\(delta='1'\): expected a positive finite number$"),
        (
            lambda: SoftmaxCrossEntropy(1.0),
            r"^label_smoothing=1\.0: expected a number in \[0, 1\)$",
        ),
        (lambda: SigmoidCrossEntropy(-0.1), r"^label_smoothing=-0\.1: expected a number in \[0, 1"),
        (lambda: SoftmaxCrossEntropy(None), r"^label_smoothing=None: expected a number in \[0, 1"),
        (
            lambda: SoftmaxCrossEntropy(class_weight=[1.0, -1.0]),
            r"^class_weight=\[1\.0, -1\.0\]: expected a finite number >= 0 for each class, in",
        ),
        (
            lambda: SoftmaxCrossEntropy(class_weight=()),
            r"^class_weight=\(\): expected a finite num",
        ),
        (lambda: SoftmaxCrossEntropy(class_weight="balanced"), r"^class_weight='balanced': expect"),
        (
            lambda: SoftmaxCrossEntropy(class_weight={0: 1.0, 1: 5.0}),
            r"^class_weight=\{0: 1\.0, 1: 5\.0\}: expected a finite number >= 0 for each class",
        ),
        (lambda: SoftmaxCrossEntropy(class_weight=3.0), r"^class_weight=3\.0: expected a finite"),
        (
            lambda: SoftmaxCrossEntropy(class_weight=[1.0, float("nan")]),
            r"^class_weight=\[1\.0, nan\]: expected a finite number",
        ),
        (
            lambda: SigmoidCrossEntropy(class_weight=[1.0, 2.0, 3.0]),
            r"^class_weight=\[1\.0, 2\.0, 3\.0\]: expected two numbers, for 0 and for 1$",
        ),
    ],
)
def test_a_bad_setting_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_class_weights_may_be_an_array_and_are_kept_as_numbers():
    loss = SoftmaxCrossEntropy(class_weight=np.asarray([1.0, 2.5], dtype="float32"))
    assert loss.class_weight == (1.0, 2.5)
    assert hash(loss) == hash(SoftmaxCrossEntropy(class_weight=(1.0, 2.5)))
