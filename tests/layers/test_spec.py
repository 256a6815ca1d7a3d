"""Networks as JSON: there and back, and what is refused."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.layers import LAYERS, BatchNorm, Dense, Dropout, ReLU, Sequential, Tanh
from chainrule.layers.spec import DEEPEST, from_json, to_json
from layers.nets import layer


@pytest.mark.parametrize("name", LAYERS)
def test_there_and_back(name):
    for seed in range(5):
        net = Sequential(Dense(3), layer(name, np.random.default_rng(seed)))
        assert from_json(json.loads(json.dumps(to_json(net)))) == net


@dataclass(frozen=True)
class Scale:
    """A user's own layer."""

    factor: float = 2.0

    def init(self, rng: Any, in_shape: Any) -> Any:
        return {}, in_shape

    def forward(self, xp: Any, params: Any, x: Any) -> Any:
        return x * self.factor, ()

    def backward(self, xp: Any, residuals: Any, dy: Any, *, needs_dx: bool = True) -> Any:
        return {}, dy * self.factor if needs_dx else None


def test_a_users_own_layer():
    net = Sequential(Dense(2), Scale(3.0))
    spec = to_json(net)
    assert from_json(spec, custom=[Scale]) == net
    with pytest.raises(InputError, match=r"layer 'Scale' is unknown; .*custom=\[Scale\]$"):
        from_json(spec)


def test_what_is_no_dataclass_cannot_be_saved():
    class Bare:
        forward = Scale.forward

    with pytest.raises(
        InputError, match=r"^layer Bare cannot be saved: expected a frozen dataclass"
    ):
        to_json(Sequential(Bare()))


@dataclass(frozen=True)
class Around:
    """A user's layer of other layers."""

    inner: Any
    others: tuple[Any, ...] = ()
    factor: float = 1.0
    names: tuple[str, ...] = field(default_factory=tuple)
    made: int = field(default=0, init=False)
    forward = backward = Scale.forward


def test_a_users_layer_may_hold_layers_and_tuples():
    net = Sequential(Around(Dense(2), (Tanh(), Sequential(Scale(3.0))), names=("a", "b")))
    spec = json.loads(json.dumps(to_json(net)))
    assert from_json(spec, custom=[Around, Scale]) == net
    assert "made" not in spec["layers"][0]
    with pytest.raises(InputError, match="Around lacks the setting 'inner'"):
        from_json({"layer": "Around"}, custom=[Around])


def test_settings_of_numpy_become_plain():
    net = Sequential(Dropout(np.float32(0.5)), Scale(np.float64(2.0)), Dense(2, weight_init=0.25))
    assert from_json(json.loads(json.dumps(to_json(net))), custom=[Scale]) == net


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1}, np.ones(2), print, {"a": 1}])
def test_settings_that_json_cannot_hold(value):
    with pytest.raises(InputError, match=r"^layer Scale cannot be saved: its setting factor=") as e:
        to_json(Sequential(Scale(value)))
    assert str(e.value).endswith("is no finite number, text, layer or tuple of them")


def deep(levels: int) -> Any:
    spec: Any = {"layer": "Tanh"}
    for _ in range(levels):
        spec = {"layer": "Sequential", "layers": [spec]}
    return spec


def deep_list(levels: int) -> Any:
    spec: Any = []
    for _ in range(levels):
        spec = [spec]
    return spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("Dense", "expected a layer with its settings, got 'Dense'"),
        (None, "expected a layer with its settings, got None"),
        ([], r"expected a layer with its settings, got \[\]"),
        ({}, r"expected a layer with its name, got \{\}"),
        ({"layer": 3}, "expected a layer with its name"),
        ({"layer": ["Dense"]}, "expected a layer with its name"),
        ({"layer": "Dens", "units": 3}, r"layer 'Dens' is unknown \(did you mean 'Dense'\?\)"),
        ({"layer": "Dense"}, "Dense lacks the setting 'units'"),
        (
            {"layer": "Dense", "units": 3, "unit": 4},
            r"Dense setting='unit' is unknown \(did you mean 'units'\?\); expected one of units, ",
        ),
        ({"layer": "Dense", "units": -3}, r"Dense\(units=-3\): expected a positive integer"),
        ({"layer": "Dense", "units": "3"}, r"Dense\(units='3'\): expected a positive integer"),
        ({"layer": "Dropout", "rate": "a"}, r"Dropout\(rate='a'\): expected a number in \[0, 1\)"),
        ({"layer": "ELU", "alpha": None}, r"ELU\(alpha=None\): expected a positive finite number"),
        ({"layer": "GELU", "approximate": {}}, "approximate={}: expected True or False"),
        ({"layer": "Dense", "units": 2, "weight_init": []}, r"weight_init=\(\): expected a finite"),
        ({"layer": "Sequential"}, "Sequential takes a list of layers"),
        ({"layer": "Sequential", "layers": {}}, "Sequential takes a list of layers"),
        ({"layer": "Sequential", "layers": [], "x": 1}, "Sequential takes a list of layers"),
        ({"layer": "Sequential", "layers": [3]}, "expected a layer with its settings, got 3"),
        ({"layer": "Dropout", "rate": 10**400}, "expected a number in"),
        (deep(DEEPEST + 1), "^model: layers are nested more than 20 deep$"),
        (deep(700), "^model: layers are nested more than 20 deep$"),
        (deep_list(700), "expected a layer with its settings, got "),
        ({"layer": "ELU", "alpha": deep_list(30)}, "settings are nested more than 20 deep$"),
    ],
)
def test_a_bad_description_is_refused(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        from_json(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_nesting_up_to_the_limit():
    assert from_json(deep(DEEPEST)) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)
SETTINGS = st.sampled_from(
    ["units", "rate", "eps", "alpha", "momentum", "use_bias", "weight_init", "layers"]
)


@settings(max_examples=300)
@given(st.sampled_from([*LAYERS, "Conv"]), st.dictionaries(SETTINGS, JSON, max_size=2))
def test_any_json_gives_a_layer_or_an_input_error(name, given_settings):
    with suppress(InputError):
        net = from_json({"layer": name} | given_settings)
        assert from_json(json.loads(json.dumps(to_json(net)))) == net


def test_the_words_are_few():
    net = Sequential(Dense(2), ReLU(), BatchNorm(), Dropout(0.1), Tanh())
    assert to_json(net)["layers"][3:] == [{"layer": "Dropout", "rate": 0.1}, {"layer": "Tanh"}]
