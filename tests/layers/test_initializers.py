"""Initial weights: bounds, variances, orthogonality, constants."""

import numpy as np
import pytest
from scipy import stats

from chainrule.layers import Dense
from chainrule.layers.initializers import INITIALIZERS, initial
from chainrule.ops.random import Rng

SHAPE = (300, 200)
RNG = Rng(seed=4).at("weight")
VARIANCES = {
    "glorot_uniform": 2.0 / 500.0,
    "glorot_normal": 2.0 / 500.0,
    "he_uniform": 2.0 / 300.0,
    "he_normal": 2.0 / 300.0,
    "lecun_uniform": 1.0 / 300.0,
    "lecun_normal": 1.0 / 300.0,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_distribution(name):
    weights = INITIALIZERS[name](RNG, SHAPE)
    deviation = np.sqrt(VARIANCES[name])
    assert weights.shape == SHAPE
    assert weights.dtype == np.float64
    if name.endswith("uniform"):
        bound = np.sqrt(3.0) * deviation
        assert np.max(np.abs(weights)) <= bound
        reference = stats.uniform(-bound, 2.0 * bound)
    else:
        reference = stats.norm(0.0, deviation)
    assert stats.kstest(weights.ravel(), reference.cdf).pvalue > 0.01
    assert weights.var() == pytest.approx(VARIANCES[name], rel=0.02)


@pytest.mark.parametrize("shape", [(6, 6), (8, 3), (3, 8), (1, 4), (4, 1)])
def test_orthogonal(shape):
    weights = initial("orthogonal", RNG, shape)
    assert weights.shape == shape
    assert weights.flags.c_contiguous
    square = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    np.testing.assert_allclose(square, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_uniform_over_rotations_and_reflections():
    """Without Mezzadri's signs, the first diagonal element would be negative every time."""
    corners = [initial("orthogonal", Rng(seed), (3, 3))[0, 0] for seed in range(400)]
    assert stats.kstest(corners, stats.uniform(-1.0, 2.0).cdf).pvalue > 0.01


def test_constants_and_zeros():
    np.testing.assert_array_equal(initial("zeros", RNG, (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initial(0.25, RNG, (2, 3)), np.full((2, 3), 0.25))
    assert initial(1, RNG, (2,)).dtype == np.float64


def test_dense_uses_them():
    params, shape = Dense(4, weight_init="he_uniform", bias_init=0.1).init(RNG, (3,))
    np.testing.assert_array_equal(params["weight"], initial("he_uniform", RNG.at("weight"), (3, 4)))
    np.testing.assert_array_equal(params["bias"], np.full(4, 0.1))
    assert shape == (4,)
    assert Dense(4, bias_init="lecun_normal").init(RNG, (3,))[0]["bias"].shape == (4,)
    assert list(Dense(4, use_bias=False).init(RNG, (3,))[0]) == ["weight"]


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(1, 1), (0, 3)])
def test_small_shapes(name, shape):
    assert initial(name, RNG, shape).shape == shape
    assert np.all(np.isfinite(initial(name, RNG, shape)))
