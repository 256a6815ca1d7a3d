"""Networks: names, nesting, gradients that are not needed, keys, running state, faults."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chainrule import tree
from chainrule.errors import InputError
from chainrule.layers import (
    ELU,
    GELU,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from chainrule.layers.layer import describe, infer, init_running, is_random, train_forward
from chainrule.ops.dropout import keep_mask
from chainrule.ops.random import Key, Rng, host_key

RNG = Rng(seed=0)
KEY = Key(host_key(seed=1, step=2), "dropout")


def nested() -> Sequential:
    return Sequential(
        Flatten(),
        Dense(5),
        Sequential(BatchNorm(), Tanh(), Sequential(Dense(3, use_bias=False), LayerNorm())),
        Dropout(0.5),
        Dense(2),
    )


def test_parameters_are_named_by_place():
    params, out_shape = nested().init(RNG, (2, 3))
    shapes = {name: leaf.shape for name, leaf in tree.flatten(params).items()}
    assert out_shape == (2,)
    assert shapes == {
        "1.weight": (6, 5),
        "1.bias": (5,),
        "2.0.scale": (5,),
        "2.0.shift": (5,),
        "2.2.0.weight": (5, 3),
        "2.2.1.scale": (3,),
        "2.2.1.shift": (3,),
        "4.weight": (3, 2),
        "4.bias": (2,),
    }
    assert all(leaf.dtype == np.float64 for leaf in tree.leaves(params))
    assert list(tree.flatten(nested().init_running(params))) == ["2.0.mean", "2.0.variance"]


def test_initial_weights_depend_on_seed_and_place_alone():
    one, _ = Sequential(Dense(3), Tanh(), Dense(3)).init(RNG, (3,))
    other, _ = Sequential(Dense(3), Dense(3), Dense(3)).init(RNG, (3,))
    np.testing.assert_array_equal(one["2"]["weight"], other["2"]["weight"])
    assert not np.array_equal(one["0"]["weight"], one["2"]["weight"])
    again, _ = Sequential(Dense(3), Tanh(), Dense(3)).init(Rng(seed=0), (3,))
    np.testing.assert_array_equal(one["0"]["weight"], again["0"]["weight"])
    changed, _ = Sequential(Dense(3), Tanh(), Dense(3)).init(Rng(seed=1), (3,))
    assert not np.array_equal(one["0"]["weight"], changed["0"]["weight"])


def test_nesting_changes_no_value():
    flat = Sequential(Dense(4), Tanh(), Dense(2))
    params, _ = flat.init(RNG, (3,))
    grouped = Sequential(Sequential(Dense(4), Tanh()), Dense(2))
    regrouped = {"0": {"0": params["0"]}, "1": params["2"]}
    x = np.random.default_rng(0).normal(size=(5, 3))
    y, residuals = flat.forward(np, params, x)
    same, own = grouped.forward(np, regrouped, x)
    np.testing.assert_array_equal(y, same)
    grads, dx = flat.backward(np, residuals, y)
    regrads, redx = grouped.backward(np, own, y)
    np.testing.assert_array_equal(dx, redx)
    np.testing.assert_array_equal(grads["0"]["weight"], regrads["0"]["0"]["weight"])


def test_gradients_without_dx_are_the_same():
    net = nested()
    params, _ = net.init(RNG, (2, 3))
    x = np.random.default_rng(1).normal(size=(4, 2, 3))
    y, residuals = net.forward(np, params, x, key=KEY)
    with_dx, dx = net.backward(np, residuals, y)
    without, nothing = net.backward(np, residuals, y, needs_dx=False)
    assert nothing is None
    assert dx.shape == x.shape
    assert list(tree.flatten(with_dx)) == list(tree.flatten(without))
    assert list(tree.flatten(with_dx)) == list(tree.flatten(params))
    for one, other in zip(tree.leaves(with_dx), tree.leaves(without), strict=True):
        np.testing.assert_array_equal(one, other)


@dataclass(frozen=True)
class Untouchable:
    """The identity, whose backward pass must never run."""

    def init(self, rng: Any, in_shape: Any) -> Any:
        return {}, in_shape

    def forward(self, xp: Any, params: Any, x: Any) -> Any:
        return x, ()

    def backward(self, xp: Any, residuals: Any, dy: Any, *, needs_dx: bool = True) -> Any:
        raise AssertionError("not needed")


def test_layers_before_the_first_parameter_are_skipped():
    net = Sequential(Untouchable(), Sequential(Untouchable(), Flatten()), Dense(2), Tanh())
    params, _ = net.init(RNG, (3,))
    y, residuals = net.forward(np, params, np.ones((4, 3)))
    grads, dx = net.backward(np, residuals, y, needs_dx=False)
    assert list(tree.flatten(grads)) == ["2.weight", "2.bias"]
    assert dx is None
    with pytest.raises(AssertionError, match="not needed"):
        net.backward(np, residuals, y)


def test_only_the_first_parameters_go_without_dx():
    asked: list[bool] = []

    @dataclass(frozen=True)
    class Spy(Dense):
        def backward(self, xp: Any, residuals: Any, dy: Any, *, needs_dx: bool = True) -> Any:
            asked.append(needs_dx)
            return super().backward(xp, residuals, dy, needs_dx=needs_dx)

    net = Sequential(Tanh(), Spy(2), Tanh(), Spy(2))
    params, _ = net.init(RNG, (3,))
    y, residuals = net.forward(np, params, np.ones((4, 3)))
    net.backward(np, residuals, y, needs_dx=False)
    net.backward(np, residuals, y)
    assert asked == [True, False, True, True]


def test_a_network_without_parameters_or_layers():
    x = np.random.default_rng(2).normal(size=(3, 4))
    for net in (Sequential(), Sequential(Tanh(), Softmax())):
        params, shape = net.init(RNG, (4,))
        y, residuals = net.forward(np, params, x)
        assert (params, shape, y.shape) == ({}, (4,), x.shape)
        assert net.backward(np, residuals, y, needs_dx=False) == ({}, None)
        assert net.backward(np, residuals, y)[1].shape == x.shape


def test_keys_follow_the_place():
    net = Sequential(Dropout(0.5), Sequential(Dropout(0.5), Dropout(0.5)))
    x = np.ones((6, 50))
    y, _ = net.forward(np, {}, x, key=KEY)
    places = ["dropout.0", "dropout.1.0", "dropout.1.1"]
    masks = [keep_mask(np, Key(KEY.words, place), x.shape, 0.5) for place in places]
    np.testing.assert_array_equal(y, np.where(masks[0] & masks[1] & masks[2], 8.0, 0.0))
    again, _ = net.forward(np, {}, x, key=KEY)
    np.testing.assert_array_equal(y, again)
    later, _ = net.forward(np, {}, x, key=Key(host_key(1, 3), "dropout"))
    assert not np.array_equal(y, later)


def test_dropout_needs_a_key_in_training_and_none_at_inference():
    net = Sequential(Dense(2), Dropout(0.4))
    params, _ = net.init(RNG, (3,))
    assert net.random
    assert is_random(net)
    assert not is_random(Sequential(Dense(2)))
    with pytest.raises(InputError, match=r"^Dropout\(0\.4\) is random in training: pass key=$"):
        net.forward(np, params, np.ones((1, 3)))
    y = net.infer(np, params, {}, np.ones((1, 3)))
    np.testing.assert_array_equal(y, np.ones((1, 3)) @ params["0"]["weight"])
    x = np.ones((2, 3))
    assert infer(Dropout(0.9), np, {}, {}, x) is x


def test_running_state_is_updated_in_place_of_the_old_and_used_at_inference():
    net = nested()
    params, _ = net.init(RNG, (2, 3))
    running = net.init_running(params)
    before = tree.map(np.copy, running)
    x = np.random.default_rng(3).normal(size=(6, 2, 3)) * 2.0 + 1.0
    _, residuals = net.forward(np, params, x, key=KEY)
    after = net.next_running(np, running, residuals)
    hidden = x.reshape(6, 6) @ params["1"]["weight"] + params["1"]["bias"]
    np.testing.assert_allclose(after["2"]["0"]["mean"], 0.1 * hidden.mean(axis=0))
    np.testing.assert_allclose(after["2"]["0"]["variance"], 0.9 + 0.1 * hidden.var(axis=0, ddof=1))
    for old, kept in zip(tree.leaves(running), tree.leaves(before), strict=True):
        np.testing.assert_array_equal(old, kept)
    one = net.infer(np, params, after, x[:1])
    np.testing.assert_allclose(one, net.infer(np, params, after, x)[:1], rtol=1e-13)
    assert init_running(Tanh(), {}) == {}
    assert Sequential(Dense(3)).init_running({}) == {}


def test_two_rows_are_needed_where_statistics_are_taken():
    assert nested().needs_two_rows
    assert not Sequential(Dense(3), LayerNorm()).needs_two_rows


def test_inference_is_training_for_deterministic_layers():
    net = Sequential(
        Dense(5), ELU(0.5), LayerNorm(), Sequential(Dense(4), GELU()), LeakyReLU(), Softmax()
    )
    params, _ = net.init(RNG, (3,))
    x = np.random.default_rng(4).normal(size=(5, 3))
    np.testing.assert_array_equal(net.forward(np, params, x)[0], net.infer(np, params, {}, x))


def test_the_initialiser_follows_the_activation():
    def deviation(*layers: Any) -> float:
        params, _ = Sequential(*layers).init(RNG, (400,))
        return float(params["0"]["weight"].std())

    he, glorot = np.sqrt(2.0 / 400.0), np.sqrt(2.0 / 500.0)
    for rectifier in (ReLU(), LeakyReLU(), ELU(), GELU()):
        assert deviation(Dense(100), rectifier) == pytest.approx(he, rel=0.02)
    assert deviation(Dense(100), BatchNorm(), Dropout(0.1), ReLU()) == pytest.approx(he, rel=0.02)
    for layers in (
        (Dense(100),),
        (Dense(100), Sigmoid()),
        (Dense(100), Tanh(), ReLU()),
        (Dense(100), Dense(10), ReLU()),
        (Dense(100, weight_init="glorot_normal"), ReLU()),
    ):
        assert deviation(*layers) == pytest.approx(glorot, rel=0.02)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            lambda: Sequential(Tanh(), Dense(3)),
            r"^layer 1, Dense\(3\): the input's shape is \(2, 2\), expected \(features,\); "
            r"put Flatten\(\) in front$",
        ),
        (
            lambda: Sequential(Tanh(), Sequential(Tanh(), Dense(3, use_bias=False))),
            r"^layer 1, Sequential\(.*\): layer 1, Dense\(3, use_bias=False\): .*\(2, 2\)",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_named(net, message):
    with pytest.raises(InputError, match=message):
        net().init(RNG, (2, 2))


@pytest.mark.parametrize("layer", [BatchNorm(), LayerNorm(), Softmax(), Dense(2)])
def test_a_layer_over_features_refuses_an_input_without_any(layer):
    with pytest.raises(InputError, match=r"^layer 0, .*: the input's shape is \(\), expected \("):
        Sequential(layer).init(RNG, ())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (ReLU, r"^layer 1 is ReLU, expected a layer such as ReLU\(\.\.\.\)$"),
        (3, r"^layer 1 is 3, expected a layer$"),
        ("Dense", r"^layer 1 is 'Dense', expected a layer$"),
        (None, r"^layer 1 is None, expected a layer$"),
    ],
)
def test_what_is_not_a_layer_is_refused(layer, message):
    with pytest.raises(InputError, match=message):
        Sequential(Dense(2), layer)


def test_description():
    assert describe(Dense(128)) == "Dense(128)"
    assert describe(Dense(8, weight_init="orthogonal")) == "Dense(8, weight_init='orthogonal')"
    assert describe(Dropout()) == "Dropout()"
    assert describe(Dropout(0.1)) == "Dropout(0.1)"
    assert describe(BatchNorm(momentum=0.2)) == "BatchNorm(momentum=0.2)"
    net = Sequential(Dense(2), Sequential(LeakyReLU(slope=0.2)))
    assert repr(net) == describe(net) == "Sequential(Dense(2), Sequential(LeakyReLU(slope=0.2)))"


def test_networks_are_values():
    assert nested() == nested()
    assert hash(nested()) == hash(nested())
    assert Sequential(Dense(2)) != Sequential(Dense(3))
    with pytest.raises(AttributeError):
        nested().layers = ()  # pyright: ignore


def test_a_layer_of_ones_own_needs_three_methods():
    net = Sequential(Dense(2), Untouchable())
    params, _ = net.init(RNG, (3,))
    y, _ = train_forward(net, np, params, np.ones((1, 3)), None)
    np.testing.assert_array_equal(y, net.infer(np, params, {}, np.ones((1, 3))))
