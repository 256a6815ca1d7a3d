"""Kinks are recognised: a right derivative passes near and on them, a wrong one fails there too."""

from dataclasses import dataclass

import numpy as np
import pytest

import chainrule as cr


@dataclass(frozen=True)
class OwnReLU:
    """A rectifier that takes any slope for the one at 0, and may be wrong beyond it."""

    at_zero: float = 0.0
    reach: float = 0.0

    def init(self, rng, in_shape):
        return {}, in_shape

    def forward(self, xp, params, x):
        return xp.maximum(x, 0.0), x

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        x = residuals
        slope = xp.where(x > 0, xp.ones_like(x), xp.zeros_like(x))
        return {}, dy * xp.where(xp.abs(x) <= self.reach, xp.zeros_like(x) + self.at_zero, slope)


def check(layer, x, loss="squared_error"):
    """The layer alone: output (rows, features), targets away from it."""
    x = np.asarray(x, dtype=float)
    y = 3.0 + np.arange(x.size).reshape(x.shape)
    return cr.check_gradients(layer, loss, x=x, y=y)


@pytest.mark.parametrize("layer", [cr.ReLU(), cr.LeakyReLU(0.2), OwnReLU()])
@pytest.mark.parametrize(
    "distance", [1e-2, 1.9e-3, 2.0 / 3.0 * 2.0**-10, 1e-4, 1e-5, 1e-6, 1e-8, 0.0, -0.0]
)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_right_derivatives_pass(layer, distance, sign):
    report = check(layer, [[sign * distance, 1.0], [-1.0, sign * distance]])
    assert report.passed, report
    assert report.max_relative_error < 1e-7
    near = 2 if distance < 1.95e-3 else 0
    assert report.entries[0].kinks == near


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("slope", [0.5, 1.00001, -0.1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_near_a_kink_nothing_is_excused(distance, slope, sign):
    report = check(OwnReLU(at_zero=slope, reach=2e-3), [[sign * distance, 1.0], [-1.0, 2.0]])
    expected = 1.0 if sign > 0 else 0.0
    assert not report.passed
    worst = report.culprits[0]
    assert (worst.layer, worst.parameter, worst.index) == (report.entries[0].layer, "x", (0, 0))
    assert worst.analytic / slope == pytest.approx(worst.numerical, rel=1e-6) or expected == 0.0
    assert worst.numerical == pytest.approx(expected * worst.analytic / slope, abs=1e-6)


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.5, 1.0])
def test_on_a_kink_any_slope_between_the_two_sides_is_right(slope):
    assert check(OwnReLU(at_zero=slope), [[0.0, 1.0], [-1.0, 2.0]]).passed


@pytest.mark.parametrize("slope", [-1e-4, 1.0001, 2.0, -1.0])
def test_on_a_kink_a_slope_outside_is_wrong(slope):
    report = check(OwnReLU(at_zero=slope), [[0.0, 1.0], [-1.0, 2.0]])
    assert not report.passed
    assert report.culprits[0].index == (0, 0)


def test_a_row_of_zeros_and_biases_of_zero():
    net = cr.Sequential(cr.Dense(6), cr.ReLU(), cr.Dense(3))
    trainer = cr.Trainer(net, "softmax_cross_entropy", seed=3).build((4,))
    x = np.vstack([np.zeros(4), np.random.default_rng(1).normal(size=(4, 4))])
    report = cr.check_gradients(net, x=x, y=[0, 1, 2, 0, 1], params=trainer.params)
    assert not np.any(trainer.params["0"]["bias"])
    by_name = {(e.layer, e.parameter): e for e in report.entries}
    assert by_name["0 Dense(6)", "bias"].kinks == 6
    assert by_name["0 Dense(6)", "bias"].passed
    assert by_name["0 Dense(6)", "weight"].passed


def test_losses_kinks():
    x = np.array([[0.5, 1.0], [2.0, -1.0]])
    for loss in ("absolute_error", cr.huber(1.0)):
        y = x - np.array([[0.0, 1.0], [-1.0, 1e-4]])
        report = cr.check_gradients(cr.Flatten(), loss, x=x, y=y)
        assert report.passed, report
    assert cr.check_gradients(cr.ELU(), "squared_error", x=0.0 * x, y=x).passed


def test_a_large_network_has_many_kinks_and_passes():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 8)), rng.integers(3, size=16)
    net = cr.Sequential(cr.Dense(32), cr.ReLU(), cr.Dense(32), cr.LeakyReLU(), cr.Dense(3))
    report = cr.check_gradients(net, x=x, y=y, max_elements=150)
    assert report.passed, report
    assert sum(entry.kinks for entry in report.entries) >= 5
    assert "near or on a kink" in str(report)
