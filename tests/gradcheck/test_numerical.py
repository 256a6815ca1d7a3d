"""numerical_gradient against known derivatives, and the closer look at functions with kinks."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import InputError
from chainrule.gradcheck.numerical import look_closer, step_sizes

A = np.random.default_rng(0).normal(size=(3, 3))

FUNCTIONS = {
    "quadratic form": (lambda x: x @ A @ x, lambda x: (A + A.T) @ x),
    "log sum exp": (lambda x: np.log(np.exp(x).sum()), lambda x: np.exp(x) / np.exp(x).sum()),
    "product": (lambda x: np.prod(x), lambda x: np.prod(x) / x),
    "sines": (lambda x: np.sin(3 * x).sum(), lambda x: 3 * np.cos(3 * x)),
    "Rosenbrock": (
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: np.array(
            [-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2), 0.0]
        ),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("order", "error"), [(4, 1e-9), (2, 1e-7)])
def test_known_derivatives(name, order, error):
    f, gradient = FUNCTIONS[name]
    x = np.array([0.7, -1.2, 2.5])
    expected = gradient(x)
    actual = cr.numerical_gradient(f, x, order=order)
    assert np.max(np.abs(actual - expected)) <= error * np.max(np.abs(expected))


@pytest.mark.parametrize(("order", "ratio"), [(2, 4.0), (4, 16.0)])
def test_the_error_falls_by_the_order(order, ratio):
    errors = [
        abs(cr.numerical_gradient(lambda x: np.exp(x[0]), [1.0], step=h, order=order)[0] - np.e)
        for h in (2.0**-3, 2.0**-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(ratio, rel=0.02)


def test_the_error_is_the_docstrings():
    for order, constant in ((2, 1 / 6), (4, 1 / 30)):
        h = 2.0**-5
        own = cr.numerical_gradient(lambda x: np.exp(x[0]), [0.0], step=h, order=order)[0]
        # The step is relative to the scale of x, which is 1 for x = 0.
        assert abs(own - 1.0) == pytest.approx(constant * h**order, rel=0.02)


def test_shapes_dtypes_and_the_users_array_stay():
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    gradient = cr.numerical_gradient(lambda a: (a**2).sum(), x)
    assert gradient.shape == (2, 3)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, 2.0 * x, atol=1e-10)
    assert cr.numerical_gradient(lambda a: a * a, 3.0) == pytest.approx(6.0)
    assert cr.numerical_gradient(lambda a: a.sum(), np.zeros((0, 3))).shape == (0, 3)
    frozen = np.ones(3)
    frozen.flags.writeable = False

    def destroys(a):
        value = float((a**2).sum())
        a[:] = 0.0
        return value

    np.testing.assert_allclose(cr.numerical_gradient(destroys, frozen), 2.0, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_the_step_follows_the_scale_of_x(scale):
    x = scale * np.array([0.3, -1.0, 0.0, 2.0])
    gradient = cr.numerical_gradient(lambda a: np.sin(a / scale).sum(), x)
    np.testing.assert_allclose(gradient, np.cos(x / scale) / scale, rtol=1e-8)


def test_steps_are_powers_of_two():
    sizes = step_sizes(np.array([0.0, 1e-3, 0.7, 30.0]), 2.0**-10)
    assert np.all(np.log2(sizes) == np.round(np.log2(sizes)))
    assert step_sizes(np.zeros(2), 0.5).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 3}, r"order=3: expected 2 or 4"),
        ({"step": 0.0}, r"step=0.0: expected a positive number"),
        ({"f": lambda x: x}, r"f returned an array of shape \(2,\), expected one number"),
        ({"f": lambda x: "no"}, r"f returned 'no', expected one number"),
        ({"x": ["a"]}, r"x holds <U1, expected real numbers"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(InputError, match=message):
        cr.numerical_gradient(**({"f": lambda x: x.sum(), "x": [1.0, 2.0]} | settings))


def kinked(distance, left=-0.5, right=2.0):
    """A smooth function plus a kink at `distance`; its slope at 0 is 1 + left or right."""

    def line(t):
        u = t - distance
        return np.sin(t) + (right * u if u > 0 else left * u) + 0.3

    return line


@pytest.mark.parametrize("distance", [3e-3, 1e-3, 2e-4, 2.0 / 3.0 * 2.0**-10, 1e-5, 2e-6])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_kink_close_by_is_stepped_around(distance, side):
    slope = look_closer(kinked(side * distance), 2.0**-10, 1.0, 1e-9)
    assert slope.left == slope.right == pytest.approx(1.0 + (2.0 if side < 0 else -0.5), abs=1e-8)
    assert slope.kink
    assert slope.nearest(7.0) == slope.left


@pytest.mark.parametrize("distance", [0.0, 1e-12, -1e-12, 1e-9, -1e-9])
def test_on_a_kink_both_slopes_are_told(distance):
    slope = look_closer(kinked(distance), 2.0**-10, 1.0, 1e-9)
    assert slope.kink
    own, other = (slope.left, slope.right)[:: 1 if distance >= 0 else -1]
    assert own == pytest.approx(0.5 if distance >= 0 else 3.0, abs=1e-8)
    assert other == pytest.approx(3.0 if distance >= 0 else 0.5, abs=1e-4)
    assert slope.nearest(1.7) == 1.7
    assert slope.nearest(9.0) == slope.right
    assert slope.nearest(-9.0) == slope.left


def test_no_kink_where_a_function_is_smooth_but_curved():
    for line, expected in (
        (np.sin, 1.0),
        (lambda t: np.tanh(300.0 * t + 0.2) / 300.0, 1.0 - np.tanh(0.2) ** 2),
        (lambda t: np.exp(40.0 * t), 40.0),
        (lambda t: t * t + t if t > 0 else t, 1.0),  # the slope has a kink, the function has not
    ):
        slope = look_closer(line, 2.0**-10, 1.0, 1e-9)
        assert slope.left == slope.right == pytest.approx(expected, rel=1e-8)
    assert not look_closer(np.sin, 2.0**-10, 1.0, 1e-9).kink
    assert not look_closer(lambda t: np.exp(40.0 * t), 2.0**-10, 1.0, 1e-9).kink


def test_a_jump_and_nan_are_no_kinks():
    jump = look_closer(lambda t: float(t > 0), 2.0**-10, 1.0, 1e-9)
    assert not jump.kink
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        broken = look_closer(lambda t: float(np.sqrt(np.float64(t))), 2.0**-10, 1.0, 1e-9)
    assert not broken.kink
