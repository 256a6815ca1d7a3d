"""Wrong derivatives: each fault is found, in the layer that makes it and under its name."""

from dataclasses import dataclass

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses


@dataclass(frozen=True)
class Broken:
    """A layer whose backward pass is replaced."""

    layer: object
    fault: object
    random: bool = False

    def init(self, rng, in_shape):
        return self.layer.init(rng, in_shape)

    def forward(self, xp, params, x, **key):
        return self.layer.forward(xp, params, x, **key)

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        grads, dx = self.layer.backward(xp, residuals, dy, needs_dx=True)
        return self.fault(grads, dx, residuals, dy)


def scaled(name, factor):
    return lambda grads, dx, residuals, dy: (grads | {name: grads[name] * factor}, dx)


def dx_is(rule):
    return lambda grads, dx, residuals, dy: (grads, rule(dx, residuals, dy))


FAULTS = {
    "weight times 1.00001": (cr.Dense(5), scaled("weight", 1.00001), "weight"),
    "weight times 2": (cr.Dense(5), scaled("weight", 2.0), "weight"),
    "bias of opposite sign": (cr.Dense(5), scaled("bias", -1.0), "bias"),
    "bias of zero": (cr.Dense(5), scaled("bias", 0.0), "bias"),
    "bias without the last row": (
        cr.Dense(5),
        lambda g, dx, r, dy: (g | {"bias": dy[:-1].sum(axis=0)}, dx),
        "bias",
    ),
    "weight transposed": (
        cr.Dense(5),
        lambda g, dx, r, dy: (g | {"weight": g["weight"].T}, dx),
        "weight",
    ),
    "dx by the transposed weight": (cr.Dense(5), dx_is(lambda dx, r, dy: dy @ r[1]), "x"),
    "dx of one element": (
        cr.Dense(5),
        dx_is(lambda dx, r, dy: dx + 1e-4 * (np.arange(dx.size) == 7).reshape(dx.shape)),
        "x",
    ),
    "ReLU lets all through": (cr.ReLU(), dx_is(lambda dx, r, dy: dy), "x"),
    "ReLU lets none through": (cr.ReLU(), dx_is(lambda dx, r, dy: 0.0 * dy), "x"),
    "ReLU times 1.00001": (cr.ReLU(), dx_is(lambda dx, r, dy: dx * 1.00001), "x"),
    "ReLU of opposite sign": (cr.ReLU(), dx_is(lambda dx, r, dy: -dx), "x"),
    "ReLU with another threshold": (cr.ReLU(), dx_is(lambda dx, r, dy: dy * (r[0] > 0.1)), "x"),
    "LeakyReLU with another slope": (
        cr.LeakyReLU(0.01),
        dx_is(lambda dx, r, dy: dy * np.where(r[0] > 0, 1.0, 0.0101)),
        "x",
    ),
    "tanh of the wrong array": (
        cr.Tanh(),
        dx_is(lambda dx, r, dy: dy * (1.0 - np.arctanh(r[0]) ** 2)),
        "x",
    ),
    "dropout without its scale": (cr.Dropout(0.3), dx_is(lambda dx, r, dy: dy * r[0]), "x"),
    "dropout with the mask inverted": (cr.Dropout(0.5), dx_is(lambda dx, r, dy: dy * ~r[0]), "x"),
    "BatchNorm without the mean's part": (
        cr.BatchNorm(),
        dx_is(lambda dx, r, dy: dx + (r[2] * r[1]) * dy.mean(axis=0)),
        "x",
    ),
    "BatchNorm's shift": (cr.BatchNorm(), scaled("shift", 0.5), "shift"),
    "LayerNorm without the variance's part": (
        cr.LayerNorm(),
        dx_is(lambda dx, r, dy: r[1] * (dy * r[2] - (dy * r[2]).mean(axis=-1, keepdims=True))),
        "x",
    ),
    "LayerNorm's scale": (cr.LayerNorm(), scaled("scale", 1.001), "scale"),
    "NaN": (cr.Dense(5), scaled("weight", np.nan), "weight"),
    "infinity": (cr.ReLU(), dx_is(lambda dx, r, dy: dx + np.inf), "x"),
}

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(7, 5)), RNG.integers(3, size=7)


def network(layer):
    inner = cr.Sequential(layer, cr.Dense(4), cr.ReLU())
    return cr.Sequential(cr.Dense(5), cr.Tanh(), cr.Dense(5), inner, cr.Dense(3))


@pytest.mark.parametrize("layer", {type(layer): layer for layer, _, _ in FAULTS.values()}.values())
def test_unbroken_layers_pass(layer):
    assert cr.check_gradients(network(layer), x=X, y=Y).passed


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_and_named(name):
    layer, fault, array = FAULTS[name]
    broken = Broken(layer, fault, random=getattr(layer, "random", False))
    report = cr.check_gradients(network(broken), x=X, y=Y)
    assert not report.passed
    assert {entry.parameter for entry in report.culprits} == {array}
    assert report.culprits[0].layer.startswith("3.0 Broken(")
    assert f"FAILED in {report.culprits[0].layer}: derivative of {array};" in str(report)
    assert str(report).count("WRONG") == sum(not entry.passed for entry in report.entries)
    behind = [e for e in report.entries if e.layer.startswith(("3.1", "3.2", "4", "softmax"))]
    assert len(behind) == 8
    assert all(entry.passed for entry in behind)


@pytest.mark.parametrize("array", ["weight", "bias"])
def test_the_first_layers_own_parameters(array):
    broken = Broken(cr.Dense(4), scaled(array, 1.0001))
    net = cr.Sequential(broken, cr.ReLU(), cr.Dense(3))
    report = cr.check_gradients(net, x=X, y=Y)
    wrong = [entry for entry in report.entries if not entry.passed]
    assert [(entry.layer[:8], entry.parameter) for entry in wrong] == [("0 Broken", array)]
    assert wrong[0].relative_error == pytest.approx(1e-4, rel=0.01)


def test_a_fault_of_the_training_pass_alone():
    """The first layer is asked for no dx in training; that path is checked too."""

    class Careless(type(cr.Dense(4))):
        def backward(self, xp, residuals, dy, *, needs_dx=True):
            grads, dx = super().backward(xp, residuals, dy, needs_dx=True)
            return (grads if needs_dx else {k: 2.0 * v for k, v in grads.items()}), dx

    report = cr.check_gradients(cr.Sequential(Careless(4), cr.Dense(3)), x=X, y=Y)
    assert {(e.layer, e.parameter) for e in report.entries if not e.passed} == {
        ("0 Careless(4)", "weight"),
        ("0 Careless(4)", "bias"),
    }


@pytest.mark.parametrize("factor", [-1.0, 1.0001, 2.0])
@pytest.mark.parametrize("loss", [losses.SquaredError, losses.AbsoluteError, losses.Huber])
def test_a_wrong_loss_is_named(loss, factor):
    class Wrong(loss):
        def backward(self, xp, residuals, dloss):
            return super().backward(xp, residuals, dloss) * factor

    y = RNG.normal(size=(7, 2))
    net = cr.Sequential(cr.Dense(3), cr.ReLU(), cr.Dense(2))
    assert cr.check_gradients(net, loss(), x=X, y=y).passed
    report = cr.check_gradients(net, Wrong(), x=X, y=y)
    assert [(e.layer, e.parameter) for e in report.culprits] == [(loss.name, "output")]
