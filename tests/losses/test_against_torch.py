"""Goldens: PyTorch's losses and their autograd, float64."""

from typing import Any

import numpy as np
import pytest

from chainrule.losses import (
    AbsoluteError,
    Huber,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional

ROWS, CLASSES = 7, 4
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(ROWS, CLASSES)) * 3.0
LABELS = RNG.integers(0, CLASSES, ROWS)
PROBS = RNG.dirichlet(np.ones(CLASSES), ROWS)
CLASS_WEIGHT = (0.5, 2.0, 0.0, 1.25)


def check(loss: Any, output: Any, y: Any, weight: Any, golden: Any) -> None:
    """Compare value and derivative with ``golden(output)``, 1e-12 relative."""
    value, residuals = loss.forward(np, output, y, weight)
    doutput = loss.backward(np, residuals, 1.0)
    leaf = torch.tensor(output, requires_grad=True)
    expected = golden(leaf)
    expected.backward()
    assert value.shape == ()
    assert doutput.shape == output.shape
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(doutput, leaf.grad.numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(loss.backward(np, residuals, 3.0), 3.0 * doutput, rtol=1e-14)


def shares(loss: Any, y: Any, weight: Any = None) -> Any:
    """Return the rows' weights made to sum to 1, as a step does."""
    rows = loss.row_weights(np, y, weight, np.float64)
    return rows / rows.sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_softmax_cross_entropy_of_labels(smoothing):
    check(
        SoftmaxCrossEntropy(label_smoothing=smoothing),
        LOGITS,
        LABELS,
        1.0 / ROWS,
        lambda z: F.cross_entropy(z, torch.tensor(LABELS), label_smoothing=smoothing),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_softmax_cross_entropy_of_probabilities(smoothing):
    check(
        SoftmaxCrossEntropy(label_smoothing=smoothing),
        LOGITS,
        PROBS,
        1.0 / ROWS,
        lambda z: F.cross_entropy(z, torch.tensor(PROBS), label_smoothing=smoothing),
    )


def test_softmax_cross_entropy_with_class_weights():
    """PyTorch's mean is divided by the sum of the weights of the labels, and so is ours."""
    loss = SoftmaxCrossEntropy(class_weight=CLASS_WEIGHT)
    check(
        loss,
        LOGITS,
        LABELS,
        shares(loss, LABELS),
        lambda z: F.cross_entropy(z, torch.tensor(LABELS), torch.tensor(CLASS_WEIGHT).double()),
    )


def test_softmax_cross_entropy_with_sample_weights():
    loss, weight = SoftmaxCrossEntropy(), RNG.uniform(0.0, 2.0, ROWS)
    share = torch.tensor(weight / weight.sum())
    check(
        loss,
        LOGITS,
        LABELS,
        shares(loss, LABELS, weight),
        lambda z: (F.cross_entropy(z, torch.tensor(LABELS), reduction="none") * share).sum(),
    )


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1), (ROWS, CLASSES), (ROWS, 2, 3)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sigmoid_cross_entropy(shape, smoothing):
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=shape) * 4.0, rng.random(shape).round(1)
    smooth = torch.tensor(targets * (1.0 - smoothing) + smoothing / 2.0)
    check(
        SigmoidCrossEntropy(label_smoothing=smoothing),
        logits,
        targets,
        1.0 / ROWS,
        lambda z: F.binary_cross_entropy_with_logits(z, smooth),
    )


def test_sigmoid_cross_entropy_with_class_weights():
    loss = SigmoidCrossEntropy(class_weight=(0.5, 3.0))
    targets = (np.arange(ROWS) % 3 == 0).astype("float64")
    each = torch.tensor(np.where(targets == 1.0, 3.0, 0.5))
    check(
        loss,
        LOGITS[:, 0],
        targets,
        shares(loss, targets),
        lambda z: (
            F.binary_cross_entropy_with_logits(
                z, torch.tensor(targets), weight=each, reduction="sum"
            )
            / each.sum()
        ),
    )


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3), (ROWS, 2, 2)])
@pytest.mark.parametrize(
    ("loss", "golden"),
    [
        (SquaredError(), F.mse_loss),
        (AbsoluteError(), F.l1_loss),
        (Huber(), F.huber_loss),
        (Huber(delta=0.3), lambda z, t: F.huber_loss(z, t, delta=0.3)),
        (Huber(delta=1e9), lambda z, t: 0.5 * F.mse_loss(z, t)),
    ],
    ids=["squared", "absolute", "huber 1", "huber 0.3", "huber 1e9"],
)
def test_regression(shape, loss, golden):
    rng = np.random.default_rng(2)
    output, targets = rng.normal(size=(2, *shape)) * 2.0
    check(loss, output, targets, 1.0 / ROWS, lambda z: golden(z, torch.tensor(targets)))
    weight = rng.random(ROWS)
    weight /= weight.sum()

    def weighted(z: Any) -> Any:
        rows = [golden(z[i], torch.tensor(targets)[i]) for i in range(ROWS)]
        return torch.dot(torch.stack(rows), torch.tensor(weight))

    check(loss, output, targets, weight, weighted)


def test_the_kink_of_absolute_error_has_derivative_zero():
    loss = AbsoluteError()
    _, residuals = loss.forward(np, np.ones((2, 2)), np.ones((2, 2)), 0.5)
    np.testing.assert_array_equal(loss.backward(np, residuals, 1.0), np.zeros((2, 2)))
