"""assert_gradients: passes every layer, and says in words what is wrong with a broken one."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import BackendError, InputError
from chainrule.layers import LAYERS
from chainrule.testing import assert_gradients

SHAPES = {"Flatten": (2, 3), "Softmax": (2, 3)}
SETTINGS = {
    "Dense": cr.Dense(3),
    "Sequential": cr.Sequential(cr.Dense(3), cr.BatchNorm(), cr.Dropout(0.3), cr.GELU()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_passes(name):
    layer = SETTINGS[name] if name in SETTINGS else LAYERS[name]()
    report = assert_gradients(layer, SHAPES.get(name, (4,)))
    assert report.passed
    assert report.entries[-1].layer == "squared_error"


@pytest.mark.parametrize(
    "loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "absolute_error", cr.huber(0.5)]
)
def test_other_losses(loss):
    assert_gradients(cr.Dense(3), (4,), loss=loss, batch=2, seed=9)


@dataclass(frozen=True)
class Scale:
    """y = scale x; `fault` says which promise it breaks."""

    fault: str = ""
    calls: ClassVar[list[int]] = []

    def init(self, rng, in_shape):
        if self.fault == "float32 parameters":
            return {"scale": np.ones(in_shape, dtype=np.float32)}, in_shape
        if self.fault == "list":
            return {"scale": [1.0, 1.0]}, in_shape
        return {"scale": np.ones(in_shape)}, (5,) if self.fault == "out_shape" else in_shape

    def forward(self, xp, params, x):
        scale = params["scale"]
        if self.fault == "in place":
            x *= scale
            return x, (x, scale)
        if self.fault == "state":
            self.calls.append(1)
            return x * scale * len(self.calls), (x, scale)
        if self.fault == "float64":
            return x * scale * np.float64(1.0), (x, scale)
        if self.fault == "not standard":
            return xp.multiply(x, scale), (xp.ascontiguousarray(x), scale)
        if self.fault == "empty":
            return x * scale + 0.0 * x[0], (x, scale)
        if self.fault == "other numbers":
            bias = 0.0 if xp.__name__ == "numpy" else 1.0
            return x * scale + bias, (x, scale)
        return x * scale, (x, scale)

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        x, scale = residuals
        dscale = xp.sum(dy * x, axis=0)
        if self.fault == "gradient":
            dscale = 1.001 * dscale
        if self.fault == "shape":
            dscale = dy * x
        if self.fault == "needs_dx" and not needs_dx:
            dscale = 2.0 * dscale
        if self.fault == "dy in place":
            dy *= scale
            return {"scale": dscale}, dy
        return {"scale": dscale}, dy * scale

    def infer(self, xp, params, running, x):
        return xp.sum(x, axis=0) if self.fault == "infer" else x * params["scale"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("float32 parameters", "init gave scale as ndarray of dtype float32, expected a float64"),
        ("list", "init gave scale as list of dtype None, expected a float64 NumPy array"),
        ("out_shape", r"forward gave shape \(5, 2\) for x \(5, 2\), init promised \(5, 5\)"),
        ("in place", "changes an argument in place"),
        ("dy in place", "changes an argument in place"),
        ("state", "gives another result the second time"),
        ("gradient", r"(?s)wrong gradients\n.*WRONG.*FAILED in Scale.*derivative of scale;"),
        ("shape", r"backward returned 'scale' of shape \(5, 2\), expected \(2,\)"),
        ("needs_dx", "needs_dx=False changes the derivative of scale"),
        ("float64", "y is float64 where everything given is float32"),
        ("empty", "fails on an empty batch: IndexError: index 0 is out of bounds"),
        ("infer", r"infer gives shape \(2,\), forward \(5, 2\)"),
        ("not standard", "fails on array-api-strict in float32, .*ascontiguousarray"),
        ("other numbers", "array-api-strict gives other numbers than NumPy"),
    ],
)
def test_each_broken_promise(fault, message):
    with pytest.raises(AssertionError, match=message):
        assert_gradients(Scale(fault), (2,))


def test_the_unbroken_one_passes():
    assert_gradients(Scale(), (2,))
    assert_gradients(Scale(), (2,), batch=1)


def test_running_state():
    class Wrong(type(cr.BatchNorm())):
        def next_running(self, xp, running, residuals):
            return {"mean": running["mean"]}

    with pytest.raises(AssertionError, match="next_running gives other names or shapes"):
        assert_gradients(Wrong(), (3,))


def test_without_strict(monkeypatch):
    import chainrule.testing as testing

    real = testing.get

    def get(name, dtype="float32"):
        if name == "strict":
            raise BackendError("not here")
        return real(name, dtype)

    monkeypatch.setattr(testing, "get", get)
    assert_gradients(Scale("not standard"), (2,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": cr.ReLU}, "layer=<class .*: expected a layer"),
        ({"batch": 0}, "batch=0: expected a positive integer"),
        ({"loss": "squared"}, "loss='squared' is unknown"),
        ({"seed": 0.5}, "seed=0.5: expected an integer"),
    ],
)
def test_the_callers_mistakes(arguments, message):
    with pytest.raises(InputError, match=message):
        assert_gradients(**({"layer": cr.ReLU(), "in_shape": (2,)} | arguments))


def test_a_shape_the_layer_refuses():
    with pytest.raises(AssertionError, match=r"the input's shape is \(2, 2\), expected"):
        assert_gradients(cr.Dense(3), (2, 2))


def test_pytest_is_not_imported():
    code = "import sys, chainrule.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
