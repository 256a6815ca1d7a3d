"""Clipping against torch.nn.utils, penalties against their definitions, on every backend64."""

import numpy as np
import pytest

from chainrule import optim, tree

RNG = np.random.default_rng(5)
GRADS = {"0": {"weight": RNG.standard_normal((4, 3)), "bias": RNG.standard_normal(3)}, "1": {}}
PARAMS = {"0": {"weight": RNG.standard_normal((4, 3)), "bias": RNG.standard_normal(3)}, "1": {}}
PARAMS["0"]["weight"][0, 0] = 0.0


def host(backend64, tree_):
    return tree.map(backend64.to_numpy, tree_)


def assert_trees_close(actual, expected, tolerance=1e-14):
    assert actual.keys() == expected.keys()
    expected = tree.flatten(expected)
    for path, leaf in tree.flatten(actual).items():
        np.testing.assert_allclose(leaf, expected[path], rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_global_norm(backend64, dtype):
    grads = tree.map(lambda leaf: backend64.asarray(leaf.astype(dtype)), GRADS)
    norm = optim.global_norm(backend64.xp, grads)
    assert norm.dtype == getattr(backend64.xp, dtype)
    assert norm.shape == ()
    expected = np.linalg.norm(np.concatenate([leaf.ravel() for leaf in tree.leaves(GRADS)]))
    assert float(norm) == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-15)


def test_global_norm_of_nothing_is_zero(backend64):
    assert float(optim.global_norm(backend64.xp, {"0": {}})) == 0.0


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 3.0])
def test_clip_by_norm_is_torchs_without_its_1e_6(backend64, max_norm):
    torch = pytest.importorskip("torch")
    leaves = [torch.zeros(leaf.shape, dtype=torch.float64) for leaf in tree.leaves(GRADS)]
    for leaf, grad in zip(leaves, tree.leaves(GRADS), strict=True):
        leaf.grad = torch.tensor(grad)
    norm = float(torch.nn.utils.clip_grad_norm_(leaves, max_norm))
    clipped = optim.clip_by_norm(backend64.xp, tree.map(backend64.asarray, GRADS), max_norm)
    for ours, leaf in zip(tree.leaves(host(backend64, clipped)), leaves, strict=True):
        np.testing.assert_allclose(ours, leaf.grad.numpy() * (norm + 1e-6) / norm, rtol=1e-14)
    assert float(optim.global_norm(backend64.xp, clipped)) == pytest.approx(max_norm, rel=1e-14)


def test_small_and_zero_gradients_are_returned_exactly(backend64):
    for grads in (GRADS, tree.map(np.zeros_like, GRADS)):
        clipped = optim.clip_by_norm(backend64.xp, tree.map(backend64.asarray, grads), 100.0)
        assert_trees_close(host(backend64, clipped), grads, tolerance=0)


def test_a_nan_gradient_makes_all_nan(backend64):
    grads = {"weight": np.asarray([1.0, np.nan]), "bias": np.asarray([1.0])}
    clipped = optim.clip_by_norm(backend64.xp, tree.map(backend64.asarray, grads), 1.0)
    assert all(np.isnan(leaf).all() for leaf in tree.leaves(host(backend64, clipped)))


def test_clip_by_value(backend64):
    clipped = optim.clip_by_value(backend64.xp, tree.map(backend64.asarray, GRADS), 0.5)
    expected = tree.map(lambda leaf: np.clip(leaf, -0.5, 0.5), GRADS)
    assert_trees_close(host(backend64, clipped), expected, tolerance=0)
    nan = optim.clip_by_value(backend64.xp, {"w": backend64.asarray(np.asarray([np.nan]))}, 0.5)
    assert np.isnan(backend64.to_numpy(nan["w"])).all()


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_touch_weights_only(backend64, penalty):
    add = {"l1": optim.add_l1, "l2": optim.add_l2}[penalty]
    grads, params = tree.map(backend64.asarray, GRADS), tree.map(backend64.asarray, PARAMS)
    actual = host(backend64, add(backend64.xp, grads, params, 0.3))
    weight = PARAMS["0"]["weight"]
    slope = {"l1": np.sign(weight), "l2": weight}[penalty]
    expected = {"0": {"weight": GRADS["0"]["weight"] + 0.3 * slope, "bias": GRADS["0"]["bias"]}}
    assert_trees_close(actual, {**expected, "1": {}})
    assert actual["0"]["weight"][0, 0] == GRADS["0"]["weight"][0, 0]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_are_derivatives(penalty):
    weight = np.asarray([[0.5, -2.0], [3.0, 0.25]])
    zero = {"weight": np.zeros_like(weight)}
    add = {"l1": optim.add_l1, "l2": optim.add_l2}[penalty]
    grad = add(np, zero, {"weight": weight}, 0.7)["weight"]

    def value(w):
        return 0.7 * (np.abs(w).sum() if penalty == "l1" else 0.5 * (w * w).sum())

    for place in np.ndindex(weight.shape):
        h = np.zeros_like(weight)
        h[place] = 1e-5
        slope = (value(weight + h) - value(weight - h)) / 2e-5
        assert grad[place] == pytest.approx(slope, rel=1e-9)


def test_transforms_keep_float32_and_do_not_write():
    grads = tree.map(lambda leaf: leaf.astype(np.float32), GRADS)
    params = tree.map(lambda leaf: leaf.astype(np.float32), PARAMS)
    for leaf in (*tree.leaves(grads), *tree.leaves(params)):
        leaf.setflags(write=False)
    for changed in (
        optim.clip_by_norm(np, grads, 0.5),
        optim.clip_by_value(np, grads, 0.5),
        optim.add_l1(np, grads, params, 0.1),
        optim.add_l2(np, grads, params, 0.1),
    ):
        assert all(leaf.dtype == np.float32 for leaf in tree.leaves(changed))


def test_transforms_trace_under_jit():
    jax = pytest.importorskip("jax")

    def chain(grads, params):
        grads = optim.add_l2(jax.numpy, optim.add_l1(jax.numpy, grads, params, 0.1), params, 0.1)
        return optim.clip_by_value(jax.numpy, optim.clip_by_norm(jax.numpy, grads, 1.0), 0.2)

    with jax.enable_x64(True):
        grads, params = (tree.map(jax.numpy.asarray, each) for each in (GRADS, PARAMS))
        assert_trees_close(
            tree.map(np.asarray, jax.jit(chain)(grads, params)), chain(grads, params)
        )
