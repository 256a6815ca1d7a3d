"""A fault put into one backend is found, and named: what, where, and at which step."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.certify import Row, certify
from chainrule.data import Sampler
from chainrule.optim import Adam

pytest.importorskip("array_api_strict")

from chainrule.backends.strict import StrictBackend

RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((48, 6))
Y = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 1)
NETWORK = cr.Sequential(
    cr.BatchNorm(), cr.Dense(16), cr.Tanh(), cr.Dropout(0.25), cr.Dense(12), cr.Tanh(), cr.Dense(3)
)


class Faulty:
    """A namespace that answers like another, except for some functions."""

    def __init__(self, xp: Any, **functions: Any) -> None:
        self._xp = xp
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)


def run(dtype: str = "float64", **settings: Any) -> Row:
    """Certify the patched backend beside NumPy, which must pass; return the patched one's row."""
    arguments = {"network": NETWORK, "steps": 12, "batch_size": 12, "dtypes": [dtype]}
    arguments |= {"compile": False} | settings
    certificate = certify((X, Y), ["numpy", "strict"], **arguments)
    sound, row = certificate.rows
    assert sound.passed, str(certificate)
    assert not certificate.passed
    assert not row.passed
    assert str(certificate).splitlines()[-1] == "FAILED: 1 of 2 runs"
    for fault in row.faults:
        assert f"strict {dtype}: {fault}" in str(certificate).splitlines()
    return row


def patch_functions(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Replace functions of the strict backend's namespace; each gets the real one first."""
    real: Any = StrictBackend().xp
    bound = {name: partial(function, getattr(real, name)) for name, function in functions.items()}
    monkeypatch.setattr(StrictBackend, "xp", property(lambda self: Faulty(real, **bound)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gradient_wrong_by_a_ten_thousandth(monkeypatch, dtype):
    def matmul(real, a, b):
        product = real(a, b)
        return product * (1 + 1e-4) if product.shape == (16, 12) else product

    patch_functions(monkeypatch, matmul=matmul)
    row = run(dtype)
    assert "4.weight of Dense(12) by 1.0e-04, tolerance" in row.faults[0]
    assert row.faults[0].startswith("gradients of step 1 differ: ")
    assert row.gradients["4.weight"] == pytest.approx(1e-4, rel=0.02)
    assert max(d for name, d in row.gradients.items() if name != "4.weight") < 1e-5
    assert (row.weights_agree, row.batches_agree, row.masks_agree) == (True, True, True)


def test_a_float64_gradient_computed_in_float32(monkeypatch):
    xp = StrictBackend().xp

    def matmul(real, a, b):
        low = real(xp.astype(a, xp.float32), xp.astype(b, xp.float32))
        return xp.astype(low, a.dtype)

    patch_functions(monkeypatch, matmul=matmul)
    row = run("float64")
    assert row.faults[0].startswith("gradients of step 1 differ: ")
    assert 1e-9 < row.gradient < 1e-5


def test_one_bit_of_one_mask(monkeypatch):
    xp = StrictBackend().xp

    def reshape(real, x, shape, **options):
        if x.dtype == xp.bool and shape == (12, 16):
            x = xp.asarray(x, copy=True)
            x[5] = not bool(x[5])
        return real(x, shape, **options)

    patch_functions(monkeypatch, reshape=reshape)
    row = run()
    assert row.faults[0] == "masks differ at step 1: 3 of Dropout(0.25), 1 of 192 elements"
    assert not row.masks_agree
    assert row.batches_agree
    assert row.weights_agree
    assert row.loss_step == 1


def test_another_batch_order(monkeypatch):
    real = StrictBackend.stage
    order = Sampler(len(X), 12, seed=0).order(0)
    swapped = np.arange(len(X))
    swapped[order[[17, 40]]] = order[[40, 17]]

    def stage(self, host, dtype):
        if dtype == "index":
            host = swapped[host]
        return real(self, host, dtype)

    monkeypatch.setattr(StrictBackend, "stage", stage)
    row = run()
    assert not row.batches_agree
    assert row.faults[0].startswith("batches differ from step 2 on: 1 of its 12 rows, the first is")
    assert row.loss_step == 2
    assert row.masks_agree
    assert row.gradient < 1e-10


def test_rows_gathered_from_the_wrong_place(monkeypatch):
    real = StrictBackend.gather
    monkeypatch.setattr(
        StrictBackend, "gather", lambda self, x, indices: real(self, x, (indices + 1) % x.shape[0])
    )
    row = run()
    assert row.faults[0].startswith("batches differ from step 1 on: 12 of its 12 rows")


def test_rows_whose_values_are_changed_on_the_way(monkeypatch):
    real = StrictBackend.asarray

    def asarray(self, x, dtype=None):
        array = real(self, x, dtype)
        if array.shape == X.shape:
            array = array + 0.0
            array[30, 2] += 1e-12
        return array

    monkeypatch.setattr(StrictBackend, "asarray", asarray)
    row = run()
    assert row.faults[0].startswith("batches differ from step ")
    assert row.faults[0].endswith(" on: the rows' values are not the host's")
    assert not row.batches_agree


def test_one_initial_weight(monkeypatch):
    real = StrictBackend.asarray

    def asarray(self, x, dtype=None):
        array = real(self, x, dtype)
        if array.shape == (16, 12):
            array = array + 0.0
            array[3, 4] *= 1 + 1e-15
        return array

    monkeypatch.setattr(StrictBackend, "asarray", asarray)
    row = run()
    assert row.faults == (
        "initial weights differ: 4.weight of Dense(12), 1 of 192 numbers are not the host's",
    )
    assert not row.weights_agree


@dataclass(frozen=True)
class DriftingAdam(Adam):
    """Adam that on array-api-strict alone adds to the weights of layer 4 from step `first` on."""

    first: int = 7
    size: float = 1e-3

    def update(self, xp, grads, state, params, learning_rate):
        params, state = super().update(xp, grads, state, params, learning_rate)
        if xp.__name__ == "array_api_strict":
            weight = params["4"]["weight"]
            push = xp.asarray(self.size, dtype=weight.dtype)
            params["4"]["weight"] = weight + xp.where(state["step"] >= self.first, push, 0.0)
        return params, state


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e-7), ("float32", 1e-2)])
def test_a_drift_from_step_seven_on(dtype, size):
    row = run(dtype, optimizer=DriftingAdam(1e-3, size=size))
    limit = {"float64": 1e-8, "float32": 1e-3}[dtype]
    assert row.state_step == 7
    assert max(row.states[6].values()) < 1e-6 * size / limit
    assert row.states[7]["4.weight"] > limit
    assert row.loss_step is not None
    assert row.loss_step >= 8
    assert any(
        f.startswith("parameters leave their tolerance at step 7: 4.weight of Dense(12) by ")
        for f in row.faults
    )
    assert any(
        f.startswith(f"the loss leaves its tolerance at step {row.loss_step}: by ")
        for f in row.faults
    )
    assert row.gradient < 1e-6


def test_a_run_that_ends_in_nan_is_a_fault_and_its_json_is_strict():
    row_and_more = certify(
        (X, Y),
        ["strict", "numpy"],
        network=NETWORK,
        optimizer=DriftingAdam(1e-3, size=float("nan")),
        compile=False,
        steps=12,
        batch_size=12,
        dtypes=["float64"],
    )
    row, sound = row_and_more.rows
    assert sound.passed
    assert any("nan" in fault or "finite" in fault for fault in row.faults)
    assert row.loss_at(12) is None
    about = row_and_more.to_json()["rows"][0]
    assert about["loss"] == {"1": row.losses[0], "10": None, "12": None}
    assert about["passed"] is False


def test_running_state_alone_can_be_at_fault(monkeypatch):
    @dataclass(frozen=True)
    class Forgetful(cr.BatchNorm):
        """BatchNorm whose running mean stays zero on array-api-strict."""

        def next_running(self, xp, running, residuals):
            moved = super().next_running(xp, running, residuals)
            kept = xp.__name__ == "array_api_strict"
            return moved | {"mean": running["mean"]} if kept else moved

    row = run(network=cr.Sequential(Forgetful(), cr.Dense(3)))
    assert row.loss_step is None
    assert row.state_step == 1
    assert row.faults[0].startswith("parameters leave their tolerance at step 1: running.0.mean of")
