"""Every layer with every loss, in a network: the derivative for x and all parameters."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import tree
from chainrule.layers import LAYERS
from chainrule.losses import LOSSES
from layers.nets import KINK, draw_key, draw_params, draw_targets, make_loss, network
from ops.layouts import LAYOUTS, arrange
from ops.numerical import STEP, along, relative_error
from ops.pairs import row_weight

EXAMPLES = 200
TOLERANCE = 1e-6
SMALLEST = 1e-3
"""Errors are relative to the slope, or to SMALLEST times the gradient's length or the loss if that
is more: where derivatives cancel, only the loss's rounding is left. With one class both are 0 up to
rounding; hence the last floor, SMALLEST squared."""


def worst_error(layer: str, loss_name: str, seed: int, rows: int, layout: str) -> float:
    """Return the relative error of the slope of the loss along a random direction of length 1."""
    rng = np.random.default_rng(seed)
    net, in_shape = network(layer, int(rng.integers(1, 4)), rng)
    loss, key = make_loss(loss_name, rng), draw_key(rng)
    x = arrange(rng.normal(size=(rows, *in_shape)), layout)
    params = draw_params(net, in_shape, x, rng)
    paths = list(tree.flatten(params))
    leaves = [arrange(leaf, layout) for leaf in tree.leaves(params)]

    def outputs(x: Any, *leaves: Any) -> Any:
        own = tree.unflatten(dict(zip(paths, leaves, strict=True)))
        return net.forward(np, own, x, key=key)

    output, residuals = outputs(x, *leaves)
    y = arrange(draw_targets(loss_name, output, rng), layout)
    weight = arrange(row_weight(rng, rows), layout)

    def f(*inputs: Any) -> Any:
        moved, _ = outputs(*inputs)
        # Half the margin at most: no kink of the loss is crossed.
        assert np.max(np.abs(moved - output), initial=0.0) < KINK / 2.0
        return loss.forward(np, moved, y, weight)[0]

    value, kept = loss.forward(np, output, y, weight)
    grads, dx = net.backward(np, residuals, loss.backward(np, kept, 1.0))
    assert tree.flatten(grads).keys() == set(paths)
    ours = [dx, *(tree.flatten(grads)[path] for path in paths)]
    inputs = [x, *leaves]
    assert [grad.shape for grad in ours] == [a.shape for a in inputs]
    v = [rng.normal(size=a.shape) for a in inputs]
    length = np.sqrt(sum(float(np.sum(a * a)) for a in v))
    v = [a / length for a in v]
    slope = sum(float(np.sum(grad * a)) for grad, a in zip(ours, v, strict=True))
    size = np.sqrt(sum(float(np.sum(grad * grad)) for grad in ours))
    scale = SMALLEST * max(size, abs(float(value)), SMALLEST)
    return relative_error(slope, float(along(f, inputs, v)), scale)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer", LAYERS)
def test_gradient_of(layer, loss):
    errors: list[float] = []

    @settings(max_examples=EXAMPLES)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 3, 5]), st.sampled_from(LAYOUTS))
    def check(seed, rows, layout):
        errors.append(worst_error(layer, loss, seed, rows, layout))
        assert errors[-1] <= TOLERANCE

    check()
    print(f"{layer} x {loss}: {len(errors)} examples, worst relative error {max(errors):.1e}")
    assert len(errors) >= EXAMPLES


def test_the_step_is_short_beside_the_margin():
    assert 20.0 * STEP < KINK
