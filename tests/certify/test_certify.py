"""Certificates of sound backends pass, and what cannot be certified is refused in words."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.certify import TOLERANCES, Certificate, certify
from chainrule.certify import run as certifying
from chainrule.errors import BackendError, InputError, TrainingError
from libraries import make_backend

RANDOM = np.random.default_rng(3)
X = RANDOM.standard_normal((50, 6))
Y = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 1)
NETWORK = cr.Sequential(
    cr.Dense(16, use_bias=False),
    cr.BatchNorm(),
    cr.ReLU(),
    cr.Sequential(cr.Dropout(0.3), cr.Dense(12)),
    cr.Tanh(),
    cr.Dropout(0.2),
    cr.Dense(3),
)


def require(*libraries: str) -> list[str]:
    for name in libraries:
        make_backend(name)
    return list(libraries)


@pytest.mark.parametrize("library", ["numpy", "strict", "torch", "jax"])
def test_every_backend_passes(library):
    certificate = certify((X, Y), require(library), network=NETWORK, steps=12, batch_size=25)
    assert certificate.passed, str(certificate)
    assert [(row.backend, row.dtype) for row in certificate.rows] == [
        (library, "float64"),
        (library, "float32"),
    ]
    for row in certificate.rows:
        limit = TOLERANCES[row.dtype]
        assert (row.weights_agree, row.batches_agree, row.masks_agree) == (True, True, True)
        assert row.gradient <= limit.gradient
        assert len(row.losses) == 12
        assert max(row.losses) <= limit.loss
        assert list(row.states) == [*range(1, 11), 12]
        assert set(row.states[12]) == {
            *("0.weight", "1.scale", "1.shift", "3.1.weight", "3.1.bias", "6.weight", "6.bias"),
            *("running.1.mean", "running.1.variance"),
        }
        assert row.device == "cpu"
        assert row.version


@pytest.mark.cuda
def test_cupy_passes():
    certificate = certify("digits", require("cupy"))
    assert certificate.passed, str(certificate)


def test_digits_passes_on_all_libraries_as_promised():
    certificate = certify("digits", require("numpy", "torch", "jax", "strict"))
    assert certificate.passed, str(certificate)
    assert len(certificate.rows) == 8
    for row in certificate.rows:
        assert row.gradient <= {"float64": 1e-10, "float32": 1e-5}[row.dtype]
        assert row.losses[99] <= {"float64": 1e-8, "float32": 1e-3}[row.dtype]
    losses = certificate.reference.losses
    assert len(losses) == 100
    assert losses[99] < 0.3 * losses[0]
    assert str(certificate).splitlines()[-1] == "PASSED: 8 of 8 runs"


def test_a_float32_run_is_measured_against_float64_and_numpy_against_itself():
    certificate = certify((X, Y), ["numpy"], network=NETWORK, steps=3, batch_size=16, compile=False)
    assert certificate.rows[0].version == np.__version__
    exact, rounded = certificate.rows
    assert exact.gradient == max(exact.losses) == max(exact.states[3].values()) == 0.0
    assert 1e-9 < rounded.gradient < 1e-5
    assert 1e-10 < max(rounded.losses) < 1e-5


def test_compiled_numpy_is_certified_against_eager_numpy():
    certificate = certify((X, Y), ["numpy"], network=NETWORK, steps=30, batch_size=16)
    exact, rounded = certificate.rows
    assert certificate.passed
    assert exact.version == f"{np.__version__} + LLVM (llvmlite)"
    assert 0.0 < max(exact.losses) < 1e-12
    assert max(exact.states[30].values()) < 1e-12
    assert max(rounded.losses) < 1e-5


def test_the_recorded_run_is_the_users_own():
    certificate = certify(
        (X, Y), ["numpy"], network=NETWORK, optimizer="adam", seed=5, steps=8, batch_size=16
    )
    trainer = cr.Trainer(NETWORK, "softmax_cross_entropy", "adam", dtype="float64", seed=5)
    history = trainer.fit(X, Y, epochs=2, batch_size=16)
    losses, rows = np.asarray(certificate.reference.losses), np.asarray([16, 16, 16, 2])
    expected = [np.average(part, weights=rows) for part in (losses[:4], losses[4:])]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-14)


def test_steps_end_in_the_middle_of_an_epoch_and_small_data_make_small_batches():
    certificate = certify("xor", ["numpy"], steps=7)
    assert certificate.batch_size == 4
    assert certificate.marks == (1, 7)
    assert len(certificate.reference.losses) == 7


def test_seeds_change_the_batches_and_the_masks():
    first, second = (
        certify((X, Y), ["numpy"], network=NETWORK, seed=seed, steps=2, dtypes=["float64"])
        for seed in (0, 1)
    )
    assert first.reference.batches != second.reference.batches
    assert first.reference.masks != second.reference.masks
    again = certify((X, Y), ["numpy"], network=NETWORK, seed=0, steps=2, dtypes=["float64"])
    assert again.reference.batches == first.reference.batches
    assert again.reference.masks == first.reference.masks


@pytest.mark.parametrize(
    ("y", "loss", "expected"),
    [
        (Y, None, "SoftmaxCrossEntropy"),
        (Y[:, None], None, "SoftmaxCrossEntropy"),
        (Y > 0, None, "SoftmaxCrossEntropy"),
        (X[:, 0], None, "SquaredError"),
        (X[:, :2], None, "SquaredError"),
        (X[:, 0] > 0, "sigmoid_cross_entropy", "SigmoidCrossEntropy"),
        (Y.astype(float), "squared_error", "SquaredError"),
    ],
)
def test_the_targets_choose_loss_and_outputs(y, loss, expected):
    backends = require("numpy", "strict")
    certificate = certify((X, y), backends, loss=loss, steps=2)
    assert certificate.passed, str(certificate)
    assert certificate.loss.startswith(expected)


def test_a_bias_that_batch_norm_cancels_is_set_aside():
    network = cr.Sequential(cr.Dense(16), cr.BatchNorm(), cr.ReLU(), cr.Dense(3))
    certificate = certify((X, Y), require("numpy", "strict"), network=network, batch_size=25)
    assert certificate.passed, str(certificate)
    assert certificate.undetermined == ("0.bias of Dense(16)",)
    assert set(certificate.rows[0].states[100]) == {
        *("0.weight", "1.scale", "1.shift", "3.weight", "3.bias"),
    }
    assert "0.bias" in certificate.rows[0].gradients
    assert (
        "not compared, nor is running state: 0.bias of Dense(16); its true gradient is zero"
        in str(certificate).splitlines()
    )


def test_a_network_without_randomness_and_one_layer():
    certificate = certify("linear", ["numpy"], network=cr.Dense(1), optimizer=cr.sgd(0.1), steps=5)
    assert certificate.passed, str(certificate)
    assert set(certificate.rows[0].gradients) == {"weight", "bias"}


@pytest.mark.parametrize("backend", ["strict:no_float64", "numpi", "torch:cuda:99", "numpy:gpu"])
def test_a_backend_that_cannot_run_is_never_skipped(backend, monkeypatch):
    def train(*_: object) -> None:
        pytest.fail("trained before all backends were there")

    monkeypatch.setattr("chainrule.certify.run.record", train)
    with pytest.raises(BackendError):
        certify("xor", ["numpy", backend])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backends": "numpy"}, r"^backends='numpy': expected a list of one or more different"),
        ({"backends": [3]}, r"^backends=\[3\]: expected a list of one or more different names"),
        ({"backends": []}, r"^backends=\[\]: expected a list"),
        ({"backends": ["numpy", "numpy"]}, r"^backends=\['numpy', 'numpy'\]: expected a list"),
        ({"dtypes": ["float16"]}, r"^dtypes='float16' is unknown"),
        ({"dtypes": []}, r"^dtypes=\[\]: expected a list"),
        ({"steps": 0}, r"^steps=0: expected a positive integer"),
        ({"batch_size": 0}, r"^batch_size=0: expected a positive integer"),
        ({"seed": -1}, r"^seed=-1: expected an integer"),
        ({"dataset": "digit"}, r"^dataset='digit' is unknown \(did you mean 'digits'\?\)"),
        ({"dataset": X}, r"^dataset is a ndarray: expected the name of a data set, or a"),
        ({"dataset": (X, Y[:-1])}, r"^dataset has X of shape \(50, 6\) and y of shape \(49,\)"),
        ({"dataset": ([[1], [1, 2]], Y[:2])}, r"^dataset is ragged"),
        ({"dataset": (X[:, 0], Y)}, r"^X has shape \(50,\), expected \(rows, features\)"),
        ({"optimizer": "lbfgs"}, r"^optimizer='lbfgs' takes all rows at once"),
        ({"optimizer": cr.lbfgs()}, r"^optimizer='lbfgs' takes all rows at once"),
        ({"network": cr.Dense}, r"^model="),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, message):
    arguments = {"dataset": (X, Y), "backends": ["numpy"]} | settings
    with pytest.raises(InputError, match=message):
        certify(**arguments)


def test_a_reference_that_diverges_is_an_error():
    with pytest.raises(TrainingError, match=r"^the float64 NumPy reference: "):
        certify((X, X[:, 0]), ["numpy"], network=cr.Dense(1), optimizer=cr.sgd(1e200), steps=20)


def test_the_arrays_given_are_left_unchanged():
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    assert certify((x, y), ["numpy"], steps=2).passed


def test_json_is_strict_and_complete():
    certificate = certify((X, Y), ["numpy"], network=NETWORK, steps=12, batch_size=16)
    assert isinstance(certificate, Certificate)
    about = json.loads(json.dumps(certificate.to_json(), allow_nan=False))
    assert about["format"] == 1
    assert about["passed"] is True
    assert about["shape"] == [50, 6]
    assert about["versions"]["chainrule"] == cr.__version__
    assert about["tolerances"]["float32"] == {"gradient": 1e-5, "loss": 1e-3, "parameter": 1e-3}
    assert about["tolerances"]["float64"]["loss"] == 1e-8
    assert about["reference"]["version"] == np.__version__
    assert list(about["reference"]["losses"]) == ["1", "10", "12"]
    row = about["rows"][1]
    assert (row["backend"], row["device"], row["dtype"]) == ("numpy", "cpu", "float32")
    assert row["version"].partition(" + ")[0] == np.__version__
    assert list(row["loss"]) == list(row["parameter"]) == ["1", "10", "12"]
    assert row["gradient"] == max(row["gradients"].values())
    assert row["parameter"]["12"] == max(row["parameters"]["12"].values())
    assert row["first_loss_step"] is row["first_parameter_step"] is row["first_parameter"] is None
    assert row["faults"] == []
    assert row["seconds"] > 0


def test_deterministic_runs_are_made_twice():
    backends = require("numpy", "torch", "jax", "strict")
    certificate = certify((X, Y), backends, network=NETWORK, steps=6, deterministic=True)
    assert certificate.passed, str(certificate)
    assert [row.repeats for row in certificate.rows] == [True] * 8
    assert {row.deterministic for row in certificate.rows} == {True}
    assert str(certificate).splitlines()[0].endswith("; deterministic, each run made twice")
    row = certificate.to_json()["rows"][0]
    found = [row[name] for name in ("dtype", "matmul_precision", "deterministic", "repeats")]
    assert found == ["float64", "float32", True, True]
    once = certify((X, Y), ["numpy"], network=NETWORK, steps=1)
    assert [(row.deterministic, row.repeats) for row in once.rows] == [(False, None)] * 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda run: run.losses.__setitem__(3, 0.5),
            "a second run differs from step 4 on",
        ),
        (
            lambda run: run.losses.pop(),
            "differs from step 6 on: its loss is None, was",
        ),
        (
            lambda run: run.states[2]["0.weight"].__setitem__((0, 0), 9.0),
            "a second run differs at step 2: 0.weight",
        ),
    ],
)
def test_a_second_run_that_differs_fails(monkeypatch, change, fault):
    runs = []

    def run(*arguments):
        runs.append(made := original(*arguments))
        if len(runs) == 3:  # the reference, the run, the run again
            change(made.recording)
        return made

    original = certifying._run
    monkeypatch.setattr(certifying, "_run", run)
    certificate = certify((X, Y), ["numpy"], network=NETWORK, steps=6, deterministic=True)
    first, second = certificate.rows
    assert (first.repeats, second.repeats) == (False, True)
    assert [fault in text for text in first.faults] == [True]
    assert not certificate.passed
    assert "repeats" in str(certificate).splitlines()[4]
