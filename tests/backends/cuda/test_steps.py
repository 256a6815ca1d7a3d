"""Training on captured graphs, on a stand-in for CuPy: nothing is read back or allocated while a
graph is captured, and what comes out is what eager training gives.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.cuda import standin
from chainrule import tree
from chainrule.errors import InputError
from train.fits import FIT, LOOSE, SETTINGS, whole_state
from train.problems import assert_close, assert_same, blobs, make_trainer


@pytest.fixture(autouse=True)
def device() -> Iterator[standin.Recorder]:
    with standin.installed() as device:
        yield device


def fitted(backend: str = "cupy", **settings: Any) -> Any:
    fit = {name: settings.pop(name) for name in list(settings) if name in FIT}
    x, y = blobs()
    trainer = make_trainer(backend=backend, compile=backend == "cupy", **settings)
    trainer.fit(x, y, **{"epochs": 3, "batch_size": 16, "progress": "off"} | fit)
    return trainer


@pytest.mark.parametrize("case", SETTINGS)
def test_fits_follow_eager_ones(case: str) -> None:
    settings = SETTINGS[case]
    tolerance = LOOSE.get(settings.get("dtype", "float64"), 1e-9)
    expected, found = fitted("numpy", **settings), fitted(**settings)
    assert found.compiled
    assert_close(whole_state(found), whole_state(expected), tolerance)
    losses = [[record["loss"] for record in t.history] for t in (expected, found)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)


def test_a_step_is_one_launch(device: standin.Recorder) -> None:
    """60 rows make 8 batches of 7 and one of 4: a graph for each; products run once before."""
    fitted(batch_size=7, epochs=2)
    assert device.done.count("graph") == 2 * 9
    assert {name.partition(" ")[0] for name in device.done} == {"graph", "gemm", "own", "caller"}
    assert sum(name.startswith("gemm") for name in device.done) == 2 * 5


def test_the_streams_wait_for_each_other(device: standin.Recorder) -> None:
    fitted(epochs=1, batch_size=None)
    waits = [name for name in device.done if not name.startswith("gemm")]
    assert waits == ["own waits for caller", "graph", "caller waits for own"]


def test_data_that_move_are_captured_anew() -> None:
    x, y = blobs()
    expected, found = make_trainer(), make_trainer(backend="cupy", compile=True)
    for part in (slice(0, 30), slice(30, 60)):
        for trainer in (expected, found):
            trainer.fit(x[part], y[part], epochs=2, batch_size=10, progress="off")
    assert_close(whole_state(found), whole_state(expected), 1e-9)


def test_a_captured_step_takes_no_memory_and_reads_nothing(device: standin.Recorder) -> None:
    """The stand-in refuses: what would be refused is shown by doing it."""
    cupy = import_module("cupy")
    x = cupy.zeros(3)
    actions = (
        lambda: cupy.empty(1),
        lambda: cupy.asnumpy(x),
        lambda: x + 1.0,
        lambda: x.__setitem__(0, 1.0),
        lambda: cupy.cuda.get_current_stream().synchronize(),
    )
    device.captured = []
    for action in actions:
        with pytest.raises(standin.CaptureError):
            action()
    device.captured = None
    fitted()


@pytest.mark.parametrize("case", ["dropout", "float16"])
def test_two_fits_agree_bit_for_bit(case: str) -> None:
    first, second = (fitted(**SETTINGS[case]) for _ in range(2))
    assert_same(whole_state(first), whole_state(second))


def test_a_resumed_run_equals_the_uninterrupted(tmp_path: Path) -> None:
    x, y = blobs()
    given: dict[str, Any] = {"batch_size": 16, "progress": "off", "checkpoint": tmp_path}
    whole = fitted(epochs=4)
    make_trainer(backend="cupy", compile=True).fit(x, y, epochs=2, **given)
    resumed = make_trainer(backend="cupy", compile=True)
    resumed.fit(x, y, epochs=4, resume=True, **given)
    assert_same(whole_state(resumed), whole_state(whole))


def test_parameters_put_back_are_trained_on() -> None:
    x, y = blobs()
    trainer = fitted(epochs=1)
    start = trainer.snapshot()
    ends = []
    for _ in range(2):
        trainer.restore(start)
        trainer.state["optimizer"] = trainer.optimizer.init(
            trainer.backend.xp, trainer.state["params"]
        )
        trainer.position.epoch = 1
        trainer.fit(x, y, epochs=1, batch_size=16, progress="off")
        ends.append({name: np.array(leaf) for name, leaf in tree.flatten(trainer.params).items()})
    assert_same(ends[0], ends[1])


def test_an_interrupt_leaves_state_and_count_together(
    device: standin.Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, seen = standin.Graph.launch, []

    def interrupted(graph: Any, stream: Any) -> None:
        launch(graph, stream)
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(standin.Graph, "launch", interrupted)
    x, y = blobs()
    trainer = make_trainer(backend="cupy", compile=True)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, epochs=3, batch_size=7, progress="off")
    assert trainer.position.step == 4
    assert float(trainer.state["optimizer"]["step"]) == 4.0


@pytest.mark.parametrize("after", range(1, 12))
def test_an_interrupt_while_a_graph_is_captured_does_nothing(
    after: int, device: standin.Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, seen = standin.Recorder.work, []

    def interrupted(recorder: Any, name: str, action: Any) -> None:
        work(recorder, name, action)
        seen.append(name)
        if len(seen) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(standin.Recorder, "work", interrupted)
    x, y = blobs()
    trainer = make_trainer(backend="cupy", compile=True)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, epochs=1, batch_size=None, progress="off")
    assert trainer.position.step == 0
    assert float(trainer.state["optimizer"]["step"]) == 0.0
    monkeypatch.undo()
    trainer.fit(x, y, epochs=1, batch_size=None, progress="off")
    assert float(trainer.state["optimizer"]["step"]) == 1.0


def test_tf32_is_asked_of_cublas(device: standin.Recorder) -> None:
    fitted(dtype="float32", matmul_precision="tf32", epochs=1)
    products = {name for name in device.done if name.startswith("gemm")}
    assert products == {"gemm 77"}


def test_without_nvmath_steps_run_eagerly_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.backends.cupy.find_spec", lambda name: None)
    x, y = blobs()
    trainer = make_trainer(backend="cupy")
    trainer.fit(x, y, epochs=1, progress="off")
    assert not trainer.compiled
    assert "nvmath-python is not installed" in trainer.compile_reason
    with pytest.raises(InputError, match="nvmath-python is not installed; pip install"):
        make_trainer(backend="cupy", compile=True).fit(x, y, epochs=1, progress="off")


def test_a_cublas_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def create() -> int:
        raise RuntimeError("libcublas.so.12: not found\nmore")

    monkeypatch.setattr(import_module("nvmath.bindings.cublas"), "create", create)
    trainer = make_trainer(backend="cupy")
    x, y = blobs()
    trainer.fit(x, y, epochs=1, progress="off")
    assert "cannot use cuBLAS: libcublas.so.12: not found; its CUDA" in trainer.compile_reason
    with pytest.raises(InputError, match="cannot use cuBLAS: libcublas") as caught:
        fitted()
    assert "\n" not in str(caught.value)
