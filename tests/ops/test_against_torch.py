"""Goldens: PyTorch's functions and its autograd, float64."""

from typing import Any

import numpy as np
import pytest

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
from chainrule.ops.batch_norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_infer,
    batch_norm_running,
)
from chainrule.ops.layer_norm import layer_norm_backward, layer_norm_forward
from chainrule.ops.linear import linear_backward, linear_forward

torch = pytest.importorskip("torch")
F = torch.nn.functional

GRID = np.concatenate([np.linspace(-12.0, 12.0, 97), [-700.0, -40.0, 0.0, 40.0, 700.0]])

ACTIVATIONS = [
    ("elu", elu_forward, elu_backward, {"alpha": 0.7}, lambda x: F.elu(x, alpha=0.7)),
    ("gelu", gelu_forward, gelu_backward, {}, F.gelu),
    (
        "gelu_tanh",
        gelu_tanh_forward,
        gelu_tanh_backward,
        {},
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    (
        "leaky_relu",
        leaky_relu_forward,
        leaky_relu_backward,
        {"slope": 0.2},
        lambda x: F.leaky_relu(x, 0.2),
    ),
    ("relu", relu_forward, relu_backward, {}, F.relu),
    ("sigmoid", sigmoid_forward, sigmoid_backward, {}, F.sigmoid),
    ("silu", silu_forward, silu_backward, {}, F.silu),
    ("softplus", softplus_forward, softplus_backward, {}, lambda x: F.softplus(x, threshold=1e9)),
    ("tanh", tanh_forward, tanh_backward, {}, F.tanh),
]


def close(actual: Any, expected: Any) -> None:
    """Assert 1e-12, relative to each element or to the largest one, if that is below 1."""
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert actual.shape == expected.shape
    largest = float(np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12 * min(largest, 1.0))


def leaf(x: Any) -> Any:
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("forward", "backward", "settings", "golden"),
    [row[1:] for row in ACTIVATIONS],
    ids=[row[0] for row in ACTIVATIONS],
)
def test_activation(forward, backward, settings, golden):
    dy = np.random.default_rng(0).normal(size=GRID.shape)
    y, residuals = forward(np, GRID, **settings)
    dx = backward(np, residuals, dy, **settings)
    x = leaf(GRID)
    expected = golden(x)
    expected.backward(torch.tensor(dy))
    close(y, expected)
    close(dx, x.grad)


def test_the_derivative_at_a_kink_is_torchs():
    zero = np.zeros(3)
    for forward, backward, golden in (
        (relu_forward, relu_backward, F.relu),
        (leaky_relu_forward, leaky_relu_backward, F.leaky_relu),
        (elu_forward, elu_backward, F.elu),
    ):
        _, residuals = forward(np, zero)
        x = leaf(zero)
        golden(x).sum().backward()
        close(backward(np, residuals, np.ones(3)), x.grad)


def test_softmax():
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(2, 4, 3, 5)) * 5.0
    y, residuals = softmax_forward(np, x)
    leaf_x = leaf(x)
    expected = F.softmax(leaf_x, dim=-1)
    expected.backward(torch.tensor(dy))
    close(y, expected)
    close(softmax_backward(np, residuals, dy), leaf_x.grad)
    np.testing.assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-15)


@pytest.mark.parametrize("use_bias", [True, False])
def test_linear(use_bias):
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(6, 4)), rng.normal(size=(4, 3))
    bias = rng.normal(size=3) if use_bias else None
    dy = rng.normal(size=(6, 3))
    y, residuals = linear_forward(np, x, weight, bias)
    dx, dweight, dbias = linear_backward(np, residuals, dy)
    tx, tw = leaf(x), leaf(weight)
    tb = leaf(bias) if use_bias else None
    expected = F.linear(tx, tw.T, tb)
    expected.backward(torch.tensor(dy))
    close(y, expected)
    close(dx, tx.grad)
    close(dweight, tw.grad)
    if tb is not None:
        close(dbias, tb.grad)
    skipped, same, _ = linear_backward(np, residuals, dy, needs_dx=False)
    assert skipped is None
    np.testing.assert_array_equal(same, dweight)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6)])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_layer_norm(shape, eps):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(2, *shape)) * 3.0 + 2.0
    x[0] = 1.5  # no variance at all
    scale, shift = rng.normal(size=(2, shape[-1]))
    y, residuals = layer_norm_forward(np, x, scale, shift, eps=eps)
    tx, ts, tb = leaf(x), leaf(scale), leaf(shift)
    expected = F.layer_norm(tx, shape[-1:], ts, tb, eps)
    expected.backward(torch.tensor(dy))
    close(y, expected)
    for ours, theirs in zip(layer_norm_backward(np, residuals, dy), (tx, ts, tb), strict=True):
        close(ours, theirs.grad)


def test_layer_norm_of_one_feature_is_the_shift():
    x, scale, shift = np.asarray([[3.0], [-1e6]]), np.asarray([2.0]), np.asarray([0.5])
    y, residuals = layer_norm_forward(np, x, scale, shift)
    dx, dscale, dshift = layer_norm_backward(np, residuals, np.asarray([[1.0], [2.0]]))
    np.testing.assert_array_equal(y, [[0.5], [0.5]])
    np.testing.assert_array_equal(dx, [[0.0], [0.0]])
    np.testing.assert_array_equal((dscale, dshift), [[0.0], [3.0]])


@pytest.mark.parametrize("shape", [(2, 3), (5, 3), (2, 4, 3)])
@pytest.mark.parametrize("momentum", [0.1, 0.75, 1.0])
def test_batch_norm_over_several_steps_and_at_inference(shape, momentum):
    rng = np.random.default_rng(4)
    golden = torch.nn.BatchNorm1d(3, eps=1e-3, momentum=momentum, dtype=torch.float64)
    scale, shift = rng.normal(size=(2, 3))
    with torch.no_grad():
        golden.weight.copy_(torch.tensor(scale))
        golden.bias.copy_(torch.tensor(shift))
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(4):
        x, dy = rng.normal(size=(2, *shape)) * 2.0 + 1.0
        y, residuals = batch_norm_forward(np, x, scale, shift, eps=1e-3)
        dx, dscale, dshift = batch_norm_backward(np, residuals, dy)
        mean, variance = batch_norm_running(np, residuals, mean, variance, momentum=momentum)
        tx = leaf(x)
        golden.zero_grad()
        expected = golden(tx.movedim(-1, 1)).movedim(1, -1)
        expected.backward(torch.tensor(dy))
        close(y, expected)
        close(dx, tx.grad)
        close(dscale, golden.weight.grad)
        close(dshift, golden.bias.grad)
        close(mean, golden.running_mean)
        close(variance, golden.running_var)
    golden.eval()
    x = rng.normal(size=shape)
    close(
        batch_norm_infer(np, x, scale, shift, mean, variance, eps=1e-3),
        golden(torch.tensor(x).movedim(-1, 1)).movedim(1, -1),
    )


def test_batch_norm_of_one_row_keeps_a_finite_running_variance():
    """PyTorch refuses one row; here the biased variance, 0, stands in."""
    x = np.asarray([[1.0, 2.0]])
    y, residuals = batch_norm_forward(np, x, np.ones(2), np.full(2, 3.0))
    mean, variance = batch_norm_running(np, residuals, np.zeros(2), np.ones(2), momentum=0.5)
    np.testing.assert_array_equal(y, [[3.0, 3.0]])
    np.testing.assert_array_equal(mean, [0.5, 1.0])
    np.testing.assert_array_equal(variance, [0.5, 0.5])
