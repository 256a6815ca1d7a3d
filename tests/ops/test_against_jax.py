"""Goldens: jax.nn and jax.grad, float64, on arrays of JAX's own."""

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
from chainrule.ops.activations.silu import silu_backward, silu_forward
from chainrule.ops.activations.softplus import softplus_backward, softplus_forward
from chainrule.ops.losses.softmax_cross_entropy import (
    one_hot,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from libraries import make_backend

jax = pytest.importorskip("jax")

PAIRS: dict[str, Any] = {
    "elu": (elu_forward, elu_backward, jax.nn.elu),
    "gelu": (gelu_forward, gelu_backward, lambda x: jax.nn.gelu(x, approximate=False)),
    "gelu_tanh": (
        gelu_tanh_forward,
        gelu_tanh_backward,
        lambda x: jax.nn.gelu(x, approximate=True),
    ),
    "silu": (silu_forward, silu_backward, jax.nn.silu),
    "softplus": (softplus_forward, softplus_backward, jax.nn.softplus),
}


@pytest.mark.parametrize("name", PAIRS)
def test_activation_compiled_too(name):
    forward, backward, golden = PAIRS[name]
    backend = make_backend("jax", "float64")
    with backend.scope():
        x = backend.asarray(np.linspace(-9.0, 9.0, 61))
        dy = backend.asarray(np.random.default_rng(0).normal(size=61))

        def ours(x: Any, dy: Any) -> Any:
            y, residuals = forward(backend.xp, x)
            return y, backward(backend.xp, residuals, dy)

        expected, pullback = jax.vjp(golden, x)
        for run in (ours, jax.jit(ours)):
            y, dx = run(x, dy)
            # In a tail, terms near 10 cancel: absolute there.
            np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(dx, pullback(dy)[0], rtol=1e-12, atol=1e-13)


def test_softmax_cross_entropy_is_jaxs_own_gradient():
    backend = make_backend("jax", "float64")
    rng = np.random.default_rng(1)
    with backend.scope():
        xp = backend.xp
        logits = backend.asarray(rng.normal(size=(6, 4)) * 4.0)
        labels = backend.asarray(rng.integers(0, 4, 6), "index")

        def golden(logits: Any) -> Any:
            rows = jax.nn.log_softmax(logits)
            return -xp.mean(xp.take_along_axis(rows, labels[:, None], axis=1))

        targets = one_hot(xp, labels, 4, logits.dtype)
        loss, residuals = softmax_cross_entropy_forward(xp, logits, targets, 1.0 / 6.0)
        expected, gradient = jax.value_and_grad(golden)(logits)
        dlogits = softmax_cross_entropy_backward(xp, residuals, 1.0)
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(dlogits, gradient, rtol=1e-12, atol=1e-15)
