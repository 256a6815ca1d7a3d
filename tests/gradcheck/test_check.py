"""check_gradients: against torch and JAX, on every library, its options, report and refusals."""

import json
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.backends import Backend
from chainrule.errors import InputError
from chainrule.gradcheck import check_all
from chainrule.gradcheck.problem import Problem, moved
from chainrule.layers import LAYERS
from chainrule.losses import LOSSES, SoftmaxCrossEntropy
from chainrule.ops.random import Rng
from chainrule.train.step import make_gradients

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(6, 5)), RNG.integers(3, size=6)
NET = cr.Sequential(cr.Dense(4), cr.Tanh(), cr.Dense(4), cr.ReLU(), cr.Dense(3))


def params_of(net, in_shape=(5,), seed=5):
    return moved(net.init(Rng(seed), in_shape)[0], Rng(seed, "moved"))


def entries(report):
    return {(entry.layer, entry.parameter): entry for entry in report.entries}


def test_against_torch_autograd():
    torch = pytest.importorskip("torch")
    params = params_of(NET)
    own = {k: torch.tensor(v, requires_grad=True) for k, v in tree.flatten(params).items()}
    x = torch.tensor(X, requires_grad=True)
    hidden = torch.tanh(x @ own["0.weight"] + own["0.bias"])
    hidden = torch.relu(hidden @ own["2.weight"] + own["2.bias"])
    logits = hidden @ own["4.weight"] + own["4.bias"]
    torch.nn.functional.cross_entropy(logits, torch.tensor(Y)).backward()
    truth = {path: leaf.grad.numpy() for path, leaf in own.items()} | {"0.x": x.grad.numpy()}
    found = entries(cr.check_gradients(NET, x=X, y=Y, params=params))
    for path, gradient in truth.items():
        number, name = path.split(".")
        entry = found[f"{number} {['Dense(4)', '', 'Dense(4)', '', 'Dense(3)'][int(number)]}", name]
        assert entry.analytic == pytest.approx(gradient[entry.index], rel=1e-10, abs=1e-14)
        assert entry.numerical == pytest.approx(gradient[entry.index], rel=1e-7, abs=1e-10)
        assert entry.shape == gradient.shape


def test_numerical_gradient_against_jax():
    jax = pytest.importorskip("jax")
    params = params_of(NET)
    flat = tree.flatten(params)

    def loss(weight, xp, log_softmax):
        own = flat | {"2.weight": weight}
        hidden = xp.tanh(X @ own["0.weight"] + own["0.bias"])
        hidden = xp.maximum(hidden @ own["2.weight"] + own["2.bias"], 0.0)
        logits = hidden @ own["4.weight"] + own["4.bias"]
        return -xp.mean(log_softmax(logits)[np.arange(6), Y])

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    own = cr.numerical_gradient(lambda w: loss(w, np, log_softmax), flat["2.weight"])
    with jax.enable_x64(True):
        truth = jax.grad(lambda w: loss(w, jax.numpy, jax.nn.log_softmax))(flat["2.weight"])
    np.testing.assert_allclose(own, truth, rtol=1e-8, atol=1e-11)


def test_every_library(library, backend64):
    name = library.removesuffix("-readonly")
    net = cr.Sequential(cr.Dense(3), cr.Tanh(), cr.Dropout(0.3), cr.Dense(3))
    own = backend64 if library != name else name
    report = cr.check_gradients(net, x=X[:4], y=Y[:4], backend=own)
    assert report.passed, report
    reference = entries(cr.check_gradients(net, x=X[:4], y=Y[:4]))
    for key, entry in entries(report).items():
        assert entry.checked == reference[key].checked
        if entry.index == reference[key].index:
            assert entry.analytic == pytest.approx(reference[key].analytic, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("library", ["torch", "jax", "strict"])
def test_the_backends_own_arrays(library):
    backend = cr.backends.get(library, "float64")
    x, y = backend.asarray(X), backend.asarray(Y)
    report = cr.check_gradients(cr.Dense(3), x=x, y=y, backend=library, max_elements=5)
    assert report.passed


def test_batch_norm_and_a_bias_whose_derivative_is_zero():
    net = cr.Sequential(cr.Dense(4), cr.BatchNorm(), cr.Tanh(), cr.Dense(3))
    report = cr.check_gradients(net, x=X, y=Y)
    assert report.passed, report
    bias = entries(report)["0 Dense(4)", "bias"]
    assert abs(bias.analytic) < 1e-15
    assert bias.relative_error < 1e-7


def test_nothing_starts_at_zero_and_inputs_stay():
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    problem = Problem(
        NET, SoftmaxCrossEntropy(), cr.backends.get("numpy", "float64"), x, y, None, None, Rng(0)
    )
    assert all(np.all(leaf != 0.0) for leaf in tree.leaves(problem.params))
    assert cr.check_gradients(NET, x=x, y=y).passed
    np.testing.assert_array_equal(x, X)
    start = {"a": np.array([0.0, 1.0, -2.0]), "b": {"c": np.ones(1000)}}
    after = moved(start, Rng(1))
    assert np.all(np.sign(after["a"][1:]) == [1.0, -1.0])
    assert np.all(np.abs(after["b"]["c"] - 1.0) <= 0.25)
    assert np.ptp(after["b"]["c"]) > 0.4


def test_the_loss_is_the_trainers():
    net = cr.Sequential(cr.Dense(4), cr.Dropout(0.4), cr.Sequential(cr.Dropout(0.2), cr.Dense(3)))
    backend = cr.backends.get("numpy", "float64")
    weight = RNG.uniform(0.5, 2.0, size=6)
    problem = Problem(
        net, SoftmaxCrossEntropy(class_weight=(1.0, 2.0, 3.0)), backend, X, Y, weight, None, Rng(7)
    )
    value, *_ = make_gradients(net, problem.loss)(
        np, {"params": problem.params, "running": {}}, problem.batch
    )
    assert float(value) == problem.value


def test_weights_and_class_weights():
    weight = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 1.0])
    loss = cr.softmax_cross_entropy(label_smoothing=0.1, class_weight=(1.0, 2.0, 3.0))
    report = cr.check_gradients(NET, loss, x=X, y=Y, sample_weight=weight)
    assert report.passed, report
    unweighted = entries(cr.check_gradients(NET, loss, x=X, y=Y))
    changed = entries(report)["4 Dense(3)", "bias"]
    assert changed.analytic != unweighted["4 Dense(3)", "bias"].analytic


def test_it_repeats_and_follows_the_seed():
    net = cr.Sequential(cr.Dense(4), cr.Dropout(0.5), cr.Dense(3))
    first, again, other = (cr.check_gradients(net, x=X, y=Y, seed=s).entries for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_sample_of_the_elements():
    report = cr.check_gradients(NET, x=X, y=Y, max_elements=7, seed=3)
    assert report.passed
    assert {entry.checked for entry in report.entries} == {4, 3, 7}
    assert "7 of 20" in str(report)
    assert "drawn at random" in str(report)
    full = cr.check_gradients(NET, x=X, y=Y)
    assert "drawn at random" not in str(full)
    assert sum(entry.checked for entry in full.entries) == sum(
        int(np.prod(entry.shape)) for entry in full.entries
    )


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_trained_parameters_of_any_library(backend):
    pytest.importorskip({"strict": "array_api_strict"}.get(backend, backend))
    net = cr.Sequential(cr.Dense(4), cr.BatchNorm(), cr.ReLU(), cr.Dense(3))
    trainer = cr.Trainer(net, "softmax_cross_entropy", backend=backend, seed=1)
    trainer.fit(X, Y, epochs=3, batch_size=6, progress="off")
    report = cr.check_gradients(net, x=X, y=Y, params=trainer.params)
    assert report.passed, report
    assert report.entries != cr.check_gradients(net, x=X, y=Y).entries


def test_a_converged_network_passes_though_its_gradients_are_noise(monkeypatch):
    x = RNG.normal(size=(8, 2))
    y = 1e3 + x @ [2.0, -1.0] + RNG.normal(size=8)
    weight = np.linalg.lstsq(np.column_stack([x, np.ones(8)]), y)[0]
    params = {"weight": weight[:2, None], "bias": weight[2:]}
    report = cr.check_gradients(Odd(1), "squared_error", x=x, y=y, params=params)
    assert report.passed, report
    assert abs(report.entries[0].analytic) < 1e-10
    monkeypatch.setattr(Odd, "fault", "small")
    wrong = cr.check_gradients(Odd(1), "squared_error", x=x, y=y, params=params)
    assert [entry.parameter for entry in wrong.entries if not entry.passed] == ["bias"]


def test_gradients_of_zero_are_noted():
    report = cr.check_gradients(cr.Flatten(), "squared_error", x=X, y=X)
    assert report.passed
    assert report.max_relative_error == 0.0
    assert report.resolution == np.inf
    assert "rounding hides all; try other x" in str(report)
    loss = cr.huber(1e-12)
    hidden = cr.check_gradients(cr.Flatten(), loss, x=X, y=X + 1e9)
    assert hidden.passed
    assert hidden.resolution > hidden.tolerance
    assert "note: the gradients are so small beside the loss" in str(hidden)
    assert "note" not in str(cr.check_gradients(NET, x=X, y=Y, max_elements=3))


def test_an_empty_sequential_and_a_single_layer():
    assert cr.check_gradients(cr.Sequential(), "squared_error", x=X, y=X + 1.0).passed
    report = cr.check_gradients(cr.Dense(3), x=X, y=Y)
    assert [entry.parameter for entry in report.entries] == ["weight", "bias", "x", "output"]


def test_a_parameter_without_elements():
    class Spare(type(cr.Dense(4))):
        def init(self, rng, in_shape):
            params, out_shape = super().init(rng, in_shape)
            return params | {"spare": np.zeros((0, 2))}, out_shape

        def backward(self, xp, residuals, dy, *, needs_dx=True):
            grads, dx = super().backward(xp, residuals, dy, needs_dx=needs_dx)
            return grads | {"spare": xp.zeros((0, 2), dtype=dy.dtype)}, dx

    report = cr.check_gradients(Spare(3), x=X, y=Y)
    assert [entry.parameter for entry in report.entries] == ["weight", "bias", "x", "output"]


def test_the_report():
    report = cr.check_gradients(NET, x=X, y=Y)
    lines = str(report).splitlines()
    assert repr(report) == str(report)
    assert " ".join(lines[0].split()) == (
        "layer array shape checked worst at backprop differences rel. error kinks"
    )
    assert len(lines) == 2 + len(report.entries) + 3
    assert len({line.index("(") for line in lines[2:4]}) == 1
    assert lines[-2].startswith("passed: largest relative error ")
    assert f"{report.times_slower:,.0f} times slower than backpropagation" in lines[-1]
    assert report.times_slower == report.seconds_numerical / report.seconds_backprop
    as_json = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert as_json["passed"] is True
    assert as_json["max_relative_error"] == report.max_relative_error
    assert as_json["culprits"] == []
    assert (
        as_json["entries"][0] | {"layer": "0 Dense(4)", "shape": [5, 4], "checked": 20}
        == (as_json["entries"][0])
    )
    with pytest.raises(AttributeError):
        report.tolerance = 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": cr.Dense}, "net=<class .*Dense'>: expected a layer"),
        ({"loss": "softmax"}, "loss='softmax' is unknown .*softmax_cross_entropy"),
        ({"loss": SoftmaxCrossEntropy}, "loss=<class .*: expected its name or an object"),
        ({"tolerance": 0.0}, "tolerance=0.0: expected a positive number"),
        ({"max_elements": 0}, "max_elements=0: expected a positive integer"),
        ({"seed": -1}, "seed=-1: expected an integer"),
        ({"x": X[0]}, r"x has shape \(5,\), expected \(rows, features\)"),
        ({"x": X[:0], "y": Y[:0]}, "x has 0 rows"),
        ({"x": np.full((6, 5), np.nan)}, "x holds 30 NaN or infinite values"),
        ({"y": Y[:4]}, r"y has shape \(4,\), X has 6 rows"),
        ({"y": Y + 5}, "the network has 3 outputs"),
        ({"sample_weight": np.ones(3)}, r"sample_weight has shape \(3,\)"),
        (
            {"params": {"0": {}}},
            r"params: not this network's parameters: missing 0.weight \(5, 4\)",
        ),
        ({"params": [1]}, "params is a list, expected a tree such as trainer.params"),
        ({"params": {"0": {"weight": object()}}}, "params holds <object"),
        ({"backend": cr.backends.get("numpy")}, "backend computes in float32"),
        (
            {"net": cr.Sequential(cr.BatchNorm(), cr.Dense(3)), "x": X[:1], "y": Y[:1]},
            "x has 1 row, from which BatchNorm takes no statistics",
        ),
        (
            {"net": cr.Dense(1), "loss": "squared_error", "x": X * 1e200, "y": Y},
            "the loss is inf at these parameters; expected a finite one",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=message):
        cr.check_gradients(**({"net": NET, "x": X, "y": Y} | arguments))


def test_not_finite_parameters():
    params = params_of(NET)
    params["2"]["bias"][1] = np.inf
    with pytest.raises(InputError, match=r"params: 2\.bias holds NaN or infinite values"):
        cr.check_gradients(NET, x=X, y=Y, params=params)


class Odd(type(cr.Dense(4))):
    """A Dense layer that breaks a promise."""

    fault = ""

    def init(self, rng, in_shape):
        params, out_shape = super().init(rng, in_shape)
        return params, (7,) if self.fault == "out_shape" else out_shape

    def forward(self, xp, params, x):
        if self.fault == "in place":
            x *= 2.0
        return super().forward(xp, params, x)

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        grads, dx = super().backward(xp, residuals, dy, needs_dx=True)
        if self.fault == "dx":
            dx = None
        if self.fault == "shape":
            grads["weight"] = grads["weight"].T
        if self.fault == "small":
            grads["bias"] = grads["bias"] + 1e-6
        if self.fault == "missing":
            del grads["bias"]
        if self.fault == "extra":
            grads["scale"] = dy
        return (grads if self.fault != "list" else list(grads)), dx


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("dx", r"1 Odd\(3\): backward returned no dx, expected dx of shape \(6, 4\)"),
        ("shape", r"1 Odd\(3\): backward returned 'weight' of shape \(3, 4\), expected \(4, 3\)"),
        ("missing", r"1 Odd\(3\): backward returned no derivative of 'bias'"),
        ("extra", r"1 Odd\(3\): backward returned 'scale', which is no parameter of it"),
        ("list", r"1 Odd\(3\): backward returned grads of type list"),
        ("out_shape", r"the output has shape \(6, 3\), init promised \(6, 7\)"),
    ],
)
def test_broken_promises_are_named(fault, message, monkeypatch):
    monkeypatch.setattr(Odd, "fault", fault)
    with pytest.raises(InputError, match=message):
        cr.check_gradients(cr.Sequential(cr.Dense(4), Odd(3)), x=X, y=Y)


def test_changing_x_in_place_is_found(monkeypatch):
    monkeypatch.setattr(Odd, "fault", "in place")
    with pytest.raises(InputError, match=r"changes x or its parameters in place"):
        cr.check_gradients(cr.Sequential(Odd(3)), x=X.copy(), y=Y)


def test_everything():
    reports = check_all()
    assert len(reports) == len(LAYERS) * len(LOSSES)
    for name, report in reports:
        assert report.passed, f"{name}\n{report}"
    assert max(report.max_relative_error for _, report in reports) < 1e-7
    assert {name for name, _ in reports} >= {"BatchNorm, huber", "Softmax, sigmoid_cross_entropy"}


def test_the_digits_network_takes_seconds():
    data = cr.data.load("digits")
    net = cr.Sequential(cr.Dense(128), cr.ReLU(), cr.Dense(10))
    begin = time.process_time()
    report = cr.check_gradients(net, x=data.X[:8], y=data.y[:8])
    assert time.process_time() - begin < 30.0
    assert report.passed, report
    assert sum(entry.checked for entry in report.entries) == 12250
    assert report.times_slower > 1000


def test_a_backend_object():
    own = cr.backends.get("numpy", "float64")
    assert isinstance(own, Backend)
    assert cr.check_gradients(cr.Dense(3), x=X, y=Y, backend=own).passed
