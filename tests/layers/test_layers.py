"""Each layer alone: shapes, inputs that stay, every library, settings that are refused."""

from typing import Any

import numpy as np
import pytest

from chainrule import tree
from chainrule.errors import InputError
from chainrule.layers import (
    ELU,
    GELU,
    LAYERS,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
    LeakyReLU,
    Sequential,
)
from chainrule.layers.layer import infer, init_running, next_running, train_forward
from chainrule.ops.random import Key, Rng, host_key
from layers.nets import layer
from ops.layouts import LAYOUTS, arrange

RNG = Rng(seed=0)
WORDS = host_key(seed=1, step=2)


def make(name: str) -> Any:
    return layer(name, np.random.default_rng(0))


every_layer = pytest.mark.parametrize("name", LAYERS)


@every_layer
def test_init_says_the_shape_that_forward_gives(name):
    own = make(name)
    for in_shape in ((4,), (2, 3)):
        try:
            params, out_shape = own.init(RNG, in_shape)
        except InputError:
            assert name in ("Dense", "Sequential")
            assert len(in_shape) == 2
            continue
        for rows in (0, 1, 3):
            x = np.random.default_rng(1).normal(size=(rows, *in_shape))
            y, residuals = train_forward(own, np, params, x, Key(WORDS, ""))
            assert y.shape == (rows, *out_shape)
            grads, dx = own.backward(np, residuals, y)
            assert dx.shape == x.shape
            assert list(tree.flatten(grads)) == list(tree.flatten(params))
            for path, grad in tree.flatten(grads).items():
                assert grad.shape == tree.flatten(params)[path].shape
            without, nothing = own.backward(np, residuals, y, needs_dx=False)
            assert nothing is None
            for one, other in zip(tree.leaves(grads), tree.leaves(without), strict=True):
                np.testing.assert_array_equal(one, other)


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_and_inference_on_every_library(name, dtype, backend64):
    """NumPy's values, the dtype that came, and the same from a compiled function."""
    own, xp = make(name), backend64.xp
    rng = np.random.default_rng(2)
    host_params, _ = own.init(RNG, (4,))
    host_params = tree.map(lambda p: rng.normal(size=p.shape), host_params)
    host_x = rng.normal(size=(5, 4))
    host_running = init_running(own, host_params)

    def passes(xp: Any, params: Any, running: Any, words: Any, x: Any) -> Any:
        y, residuals = train_forward(own, xp, params, x, Key(words, "dropout"))
        grads, dx = own.backward(xp, residuals, y)
        moved = next_running(own, xp, running, residuals)
        return {"y": y, "dx": dx, "grads": grads, "running": moved} | {
            "infer": infer(own, xp, params, moved, x)
        }

    def to_library(leaf: Any) -> Any:
        return backend64.asarray(leaf.astype(dtype))

    args = (
        tree.map(to_library, host_params),
        tree.map(to_library, host_running),
        backend64.asarray(WORDS),
        to_library(host_x),
    )
    expected = tree.flatten(passes(np, host_params, host_running, WORDS, host_x))
    compiled = backend64.compile(lambda *args: passes(xp, *args))
    tolerance = 1e-12 if dtype == "float64" else 3e-5
    for result in (passes(xp, *args), compiled(*args)):
        found = tree.flatten(result)
        assert found.keys() == expected.keys()
        for path, array in found.items():
            assert array.dtype == getattr(xp, dtype), path
            np.testing.assert_allclose(
                backend64.to_numpy(array), expected[path], rtol=tolerance, atol=tolerance
            )


@every_layer
def test_no_input_is_changed_whatever_its_layout(name):
    own = make(name)
    params, _ = own.init(RNG, (4,))
    x = np.random.default_rng(3).normal(size=(5, 4))
    first: Any = None
    for layout in LAYOUTS:
        own_x = arrange(x, layout)
        own_params = tree.map(lambda p, layout=layout: arrange(p, layout), params)
        y, residuals = train_forward(own, np, own_params, own_x, Key(WORDS, ""))
        dy = arrange(np.ones(y.shape), layout)
        grads, dx = own.backward(np, residuals, dy)
        np.testing.assert_array_equal(own_x, x)
        np.testing.assert_array_equal(dy, 1.0)
        for one, other in zip(tree.leaves(own_params), tree.leaves(params), strict=True):
            np.testing.assert_array_equal(one, other)
        found = [y, dx, *tree.leaves(grads)]
        first = first or found
        for one, other in zip(found, first, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_flatten_keeps_the_order_of_elements():
    x = np.arange(24.0).reshape(2, 3, 4)
    y, residuals = Flatten().forward(np, {}, x)
    np.testing.assert_array_equal(y, x.reshape(2, 12))
    _, dx = Flatten().backward(np, residuals, y)
    np.testing.assert_array_equal(dx, x)
    assert Flatten().init(RNG, ()) == ({}, (1,))
    assert Flatten().forward(np, {}, np.ones(5))[0].shape == (5, 1)
    assert Flatten().forward(np, {}, np.ones((0, 2, 3)))[0].shape == (0, 6)


def test_batch_norm_uses_its_settings():
    own = BatchNorm(momentum=0.25, eps=0.5)
    params = {"scale": np.asarray([2.0]), "shift": np.asarray([1.0])}
    x = np.asarray([[1.0], [3.0]])
    y, residuals = own.forward(np, params, x)
    deviation = np.sqrt(1.0 + 0.5)
    np.testing.assert_allclose(y, 1.0 + 2.0 * np.asarray([[-1.0], [1.0]]) / deviation)
    running = own.next_running(np, own.init_running(params), residuals)
    np.testing.assert_array_equal(running["mean"], [0.25 * 2.0])
    np.testing.assert_array_equal(running["variance"], [0.75 + 0.25 * 2.0])
    inferred = own.infer(np, params, running, x)
    np.testing.assert_allclose(inferred, 1.0 + 2.0 * (x - 0.5) / np.sqrt(1.25 + 0.5))


def test_layer_norm_uses_its_eps():
    params = {"scale": np.ones(2), "shift": np.zeros(2)}
    y, _ = LayerNorm(eps=3.0).forward(np, params, np.asarray([[-1.0, 1.0]]))
    np.testing.assert_array_equal(y, [[-0.5, 0.5]])


def test_dropout_scales_what_it_keeps():
    x = np.ones((200, 50))
    y, residuals = Dropout(0.25).forward(np, {}, x, key=Key(WORDS, "0"))
    assert set(np.unique(y)) == {0.0, 1.0 / 0.75}
    assert abs(y.mean() - 1.0) < 0.02
    _, dx = Dropout(0.25).backward(np, residuals, x)
    np.testing.assert_array_equal(dx, y)
    np.testing.assert_array_equal(Dropout(0.0).forward(np, {}, x, key=Key(WORDS, "0"))[0], x)


def test_gelus_forms_differ_by_less_than_they_say():
    x = np.linspace(-10.0, 10.0, 4001)
    exact, _ = GELU().forward(np, {}, x)
    tanh, _ = GELU(approximate=True).forward(np, {}, x)
    assert 1e-5 < np.max(np.abs(exact - tanh)) < 5e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), r"^Dense\(units=0\): expected a positive integer$"),
        (lambda: Dense(2.0), r"^Dense\(units=2\.0\): expected a positive integer$"),
        (lambda: Dense(True), r"^Dense\(units=True\): expected a positive integer$"),
        (lambda: Dense("3"), r"^Dense\(units='3'\): expected a positive integer$"),
        (lambda: Dense(3, use_bias="no"), r"^Dense: use_bias='no': expected True or False$"),
        (
            lambda: Dense(3, weight_init="he_norm"),
            r"^weight_init='he_norm' is unknown \(did you mean 'he_normal'\?\); expected one of ",
        ),
        (lambda: Dense(3, weight_init=float("nan")), r"^weight_init=nan: expected a finite const"),
        (lambda: Dense(3, weight_init=[1.0]), r"^weight_init=\[1\.0\]: expected a finite constant"),
        (lambda: Dense(3, weight_init=True), r"^weight_init=True: expected a finite constant"),
        (lambda: Dense(3, bias_init=None), r"^bias_init=None: expected a finite constant"),
        (lambda: Dense(3, bias_init="orthogonal"), r"^bias_init='orthogonal': a bias is a vector"),
        (lambda: Dropout(1.0), r"^Dropout\(rate=1\.0\): expected a number in \[0, 1\)$"),
        (lambda: Dropout(-0.1), r"^Dropout\(rate=-0\.1\): expected a number in \[0, 1\)$"),
        (lambda: Dropout("a"), r"^Dropout\(rate='a'\): expected a number in \[0, 1\)$"),
        (lambda: Dropout(float("nan")), r"^Dropout\(rate=nan\): expected a number in \[0, 1\)$"),
        (
            lambda: BatchNorm(momentum=0.0),
            r"^BatchNorm\(momentum=0\.0\): expected a number in \(0,",
        ),
        (lambda: BatchNorm(momentum=None), r"^BatchNorm\(momentum=None\): expected a number in"),
        (lambda: BatchNorm(eps=0.0), r"^BatchNorm\(eps=0\.0\): expected a positive finite number$"),
        (lambda: LayerNorm(eps=float("inf")), r"^LayerNorm\(eps=inf\): expected a positive finite"),
        (lambda: LayerNorm(eps="small"), r"^LayerNorm\(eps='small'\): expected a positive finite"),
        (lambda: ELU(alpha=0.0), r"^ELU\(alpha=0\.0\): expected a positive finite number$"),
        (lambda: ELU(alpha=[1.0]), r"^ELU\(alpha=\[1\.0\]\): expected a positive finite number$"),
        (lambda: LeakyReLU(slope=1.0), r"^LeakyReLU\(slope=1\.0\): expected a number in \[0, 1\)$"),
        (
            lambda: LeakyReLU(slope=-0.1),
            r"^LeakyReLU\(slope=-0\.1\): expected a number in \[0, 1\)",
        ),
        (lambda: GELU(approximate="no"), r"^GELU: approximate='no': expected True or False$"),
    ],
)
def test_a_bad_setting_is_refused(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_settings_may_be_numpy_numbers():
    assert Dropout(np.float64(0.5)) == Dropout(0.5)
    assert Sequential(ELU(alpha=np.float32(0.5))) == Sequential(ELU(alpha=0.5))
