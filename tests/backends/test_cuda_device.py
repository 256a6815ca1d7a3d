"""Training on a CUDA device: ``pytest -m cuda``; skipped where there is none.

What is compiled follows what runs eagerly, on CuPy and on NumPy; it is repeatable, resumable and
the same whether its data are resident or streamed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import chainrule as cr
from chainrule.backends import available
from chainrule.cli.app import app
from chainrule.data.builtin import load
from libraries import make_backend
from train.fits import whole_state
from train.problems import (
    assert_close,
    assert_same,
    blobs,
    classifier,
    make_trainer,
    plane,
)

pytestmark = pytest.mark.cuda

DEVICE = "cupy"


@pytest.fixture(autouse=True)
def _device() -> None:
    make_backend(DEVICE)
    status = next(status for status in available() if status.name == DEVICE)
    if not status.compiler:
        pytest.skip(f"{status.reason}; {status.install}")


FIT = ("accumulate", "balanced", "batch_size", "drop_last", "sample_weight", "stream")
HIDDEN = cr.Sequential(
    cr.Dense(24, use_bias=False), cr.BatchNorm(), cr.GELU(), cr.Dropout(0.2),
    cr.Dense(16), cr.LayerNorm(), cr.SiLU(), cr.Dense(3),
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "tail": {"batch_size": 7},
    "one row": {"batch_size": 1},
    "whole batch": {"batch_size": None},
    "accumulate": {"batch_size": 4, "accumulate": 5},
    "drop last": {"batch_size": 7, "drop_last": True},
    "balanced": {"balanced": True},
    "weights": {"sample_weight": np.arange(60) % 4},
    "dropout": {"net": classifier(3, cr.ReLU(), cr.Dropout(0.3))},
    "batch norm": {"net": classifier(3, cr.BatchNorm(), cr.GELU()), "optimizer": cr.sgd(0.05)},
    "many layers": {"net": HIDDEN, "optimizer": cr.sgd(0.05, momentum=0.9)},
    "penalties": {"l1": 0.001, "l2": 0.01, "clip_norm": 0.5, "clip_value": 0.2},
    "schedule": {"optimizer": cr.sgd(cr.optim.cosine(0.1, 12), momentum=0.9, nesterov=True)},
    "rmsprop": {"optimizer": cr.rmsprop(0.01)},
    "adamw": {"optimizer": cr.adamw(0.01)},
    "squared error": {"loss": "squared_error", "net": classifier(2, cr.Softplus())},
    "huber": {"loss": "huber", "net": classifier(2, cr.ELU())},
    "yes or no": {"loss": "sigmoid_cross_entropy", "net": classifier(1)},
    "float32": {"dtype": "float32"},
    "float32, many layers": {"dtype": "float32", "net": HIDDEN, "optimizer": cr.sgd(0.05)},
    "float16": {"dtype": "float16"},
    "float16, tail": {"dtype": "float16", "batch_size": 7},
}
LIMITS = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2}


def problem(loss: str) -> tuple[Any, Any]:
    """Return the data of a case."""
    if loss == "sigmoid_cross_entropy":
        x, labels = blobs(classes=2)
        return x, labels.astype(np.float64)
    return blobs() if loss == "softmax_cross_entropy" else plane(60)


def fitted(compiled: bool = True, backend: str = DEVICE, **settings: Any) -> Any:
    """Return a trainer after three epochs of a case."""
    fit = {name: settings.pop(name) for name in list(settings) if name in FIT}
    trainer = make_trainer(compile=compiled, backend=backend, **settings)
    x, y = problem(trainer.loss.name)
    trainer.fit(x, y, **{"epochs": 3, "batch_size": 16, "progress": "off"} | fit)
    assert trainer.compiled is compiled
    return trainer


def losses(trainer: Any) -> list[float]:
    return [record["loss"] for record in trainer.history.records]


@pytest.mark.parametrize("other", [DEVICE, "numpy"])
@pytest.mark.parametrize("case", CASES)
def test_compiled_fits_follow_eager_ones(case: str, other: str) -> None:
    settings = CASES[case]
    limit = LIMITS[settings.get("dtype", "float64")]
    one, eager = fitted(**settings), fitted(False, other, **settings)
    assert_close(whole_state(one), whole_state(eager), limit)
    assert losses(one) == pytest.approx(losses(eager), rel=limit)
    assert one.position.step == eager.position.step


@pytest.mark.parametrize("case", CASES)
def test_two_compiled_fits_agree_bit_for_bit(case: str) -> None:
    one, other = fitted(**CASES[case]), fitted(**CASES[case])
    assert_same(whole_state(one), whole_state(other))
    assert losses(one) == losses(other)


@pytest.mark.parametrize("compiled", [True, False])
def test_deterministic_fits_agree_bit_for_bit(compiled: bool) -> None:
    settings: Any = {"net": HIDDEN, "dtype": "float32", "deterministic": True}
    one, other = fitted(compiled, **settings), fitted(compiled, **settings)
    assert_same(whole_state(one), whole_state(other))
    assert losses(one) == losses(other)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("case", ["plain", "tail", "accumulate", "many layers", "float16"])
def test_streamed_data_train_as_resident_data(case: str, compiled: bool) -> None:
    one = fitted(compiled, **CASES[case], stream=True)
    other = fitted(compiled, **CASES[case], stream=False)
    assert (one.streamed, other.streamed) == (True, False)
    assert_same(whole_state(one), whole_state(other))
    assert losses(one) == losses(other)


@pytest.mark.parametrize("stream", [True, False])
def test_two_fits_are_one_longer_fit(stream: bool) -> None:
    x, y = blobs()
    one, other = (make_trainer(compile=True, backend=DEVICE) for _ in range(2))
    one.fit(x, y, epochs=4, progress="off", stream=stream)
    for _ in range(2):
        other.fit(x, y, epochs=2, progress="off", stream=stream)
    assert_same(whole_state(one), whole_state(other))


@pytest.mark.parametrize("case", ["plain", "tail", "accumulate", "many layers", "float16"])
def test_a_resumed_run_equals_the_uninterrupted_bit_for_bit(case: str, tmp_path: Path) -> None:
    settings = dict(CASES[case])
    fit: dict[str, Any] = {"epochs": 4, "batch_size": 16, "progress": "off"}
    fit |= {name: settings.pop(name) for name in list(settings) if name in FIT}
    x, y = blobs()

    def trainer() -> Any:
        return make_trainer(compile=True, backend=DEVICE, **settings)

    class Stop(cr.Callback):
        def steps_until(self, step: int) -> int | None:
            return 1

        def on_steps_end(self, trainer: Any, losses: Any) -> bool | None:
            return trainer.position.step == 5

    straight, stopped, resumed = trainer(), trainer(), trainer()
    straight.fit(x, y, **fit)
    run = {"checkpoint": tmp_path / "run", "callbacks": [Stop()]}
    stopped.fit(x, y, **fit, **run)
    assert stopped.position.step == 5 < straight.position.step
    resumed.fit(x, y, **fit, **run, resume=True)
    assert resumed.compiled
    assert_same(whole_state(resumed), whole_state(straight))


def test_a_long_fit_of_digits_learns() -> None:
    digits = load("digits")
    net = cr.Sequential(cr.Dense(128), cr.ReLU(), cr.Dense(10))
    trainer = make_trainer(net, backend=DEVICE, dtype="float32", optimizer="adam", compile=True)
    history = trainer.fit(digits.X, digits.y, epochs=40, validation=0.2, progress="off")
    assert history["val_accuracy"][-1] > 0.96


def test_tf32_is_near_float32_and_repeatable() -> None:
    trained = [
        fitted(dtype="float32", matmul_precision=precision)
        for precision in ("float32", "tf32", "tf32")
    ]
    assert losses(trained[0]) == pytest.approx(losses(trained[1]), rel=2e-2)
    assert_same(whole_state(trained[1]), whole_state(trained[2]))


def test_predictions_are_those_of_numpy(tmp_path: Path) -> None:
    trainer = fitted(net=HIDDEN, dtype="float32")
    trainer.save(tmp_path / "run")
    there = cr.Trainer.load(tmp_path / "run", backend="numpy")
    x, _ = blobs(seed=1)
    np.testing.assert_allclose(trainer.predict(x), there.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("more", [(), ("--deterministic",)])
def test_digits_is_certified(more: tuple[str, ...]) -> None:
    line = ["certify", "digits", "--backends", f"numpy,{DEVICE}", "--json", *more]
    result = CliRunner().invoke(app, line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"] is True


@pytest.mark.parametrize("compiled", [True, False])
def test_too_little_memory_is_one_line_with_a_batch_that_fits(compiled: bool) -> None:
    """A hidden layer's output would take 512 GiB."""
    rows, width = 2**20, 2**17
    x, y = np.zeros((rows, 1), np.float32), np.zeros(rows, np.int64)
    net = cr.Sequential(cr.Dense(width), cr.ReLU(), cr.Dense(2))
    trainer = cr.Trainer(net, "softmax_cross_entropy", backend=DEVICE, compile=compiled)
    with pytest.raises(Exception, match=r"bytes.*batch_size=\d+") as caught:
        trainer.fit(x, y, epochs=1, batch_size=None, progress="off")
    assert type(caught.value).__module__ == "chainrule.errors"
    assert "\n" not in str(caught.value)
    trainer.fit(x[:64], y[:64], epochs=1, batch_size=32, progress="off")
    assert np.isfinite(trainer.history["loss"][-1])
