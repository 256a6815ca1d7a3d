"""Many steps in one call: compiled they equal eager ones, and the first epoch traces them all."""

import os
import shutil
from importlib import import_module

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.backends.scan import eager_scan
from chainrule.errors import BackendError, InputError
from chainrule.train import programs
from libraries import make_backend

ROWS, BATCH, EPOCHS = 30, 8, 4

IMPORTS_OF_TORCH = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")


def descend(xp, state, batch):
    """A step of least squares; the loss is the batch's sum of squares."""
    residual = batch["x"] @ state["weight"] - 1.0
    slope = xp.matmul(batch["x"].T, residual)
    weight = state["weight"] - batch["learning_rate"] * slope
    return {"weight": weight}, {"loss": xp.sum(residual * residual)}


def counted(step, shapes):
    """Return the step; each call of it in Python adds its batch's shape to `shapes`."""

    def counting(xp, state, batch):
        shapes.append(tuple(batch["x"].shape))
        return step(xp, state, batch)

    return counting


def inputs(backend, count, size=3):
    """Return a state, data of 10 rows and the controls of `count` steps."""
    rng = np.random.default_rng(count)
    state = {"weight": backend.asarray(rng.normal(size=(2, 1)), "float")}
    data = {"x": backend.asarray(rng.normal(size=(10, 2)), "float")}
    controls = {
        "indices": backend.stage(rng.integers(10, size=(count, size)), "index"),
        "learning_rate": backend.stage(rng.uniform(0.01, 0.1, size=count), "float"),
    }
    return state, data, controls


def finished(scan, state, data, controls):
    """Run a scan; return its last state, its metrics and the steps it had come to at each yield."""
    found = list(scan(state, data, controls))
    return found[-1][0], found[-1][2], [steps for _, steps, _ in found]


def train(spec, compile, *, dropout=True, callbacks=()):
    """Return the losses of the epochs and the parameters, on weighted rows with a tail batch."""
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=(ROWS, 4)), rng.integers(3, size=ROWS), rng.uniform(size=ROWS)
    middle = (cr.ReLU(), cr.Dropout(0.3)) if dropout else (cr.ReLU(),)
    net = cr.Sequential(cr.Dense(8), *middle, cr.Dense(3))
    trainer = cr.Trainer(
        net, "softmax_cross_entropy", cr.adam(0.02), backend=spec, dtype="float64", compile=compile
    )
    history = trainer.fit(
        x,
        y,
        epochs=EPOCHS,
        batch_size=BATCH,
        sample_weight=weight,
        callbacks=callbacks,
        progress="off",
    )
    params = {
        name: trainer.backend.to_numpy(leaf) for name, leaf in tree.flatten(trainer.params).items()
    }
    return [record["loss"] for record in history], params


def check_compiled_fit(backend, monkeypatch, *, dropout=True):
    """Assert that a compiled fit equals NumPy's; return the shapes of the batches it traced."""
    shapes, traced = [], []
    expected_losses, expected = train("numpy", compile=False, dropout=dropout)
    make_step = programs.make_step
    monkeypatch.setattr(programs, "make_step", lambda *a, **k: counted(make_step(*a, **k), shapes))
    losses, params = train(
        backend,
        compile=True,
        dropout=dropout,
        callbacks=[lambda record: traced.append(len(shapes))],
    )
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-12)
    for name, array in expected.items():
        np.testing.assert_allclose(params[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    assert traced == [traced[0]] * EPOCHS
    return shapes


def test_numpys_compiled_fit_equals_the_eager_one(monkeypatch):
    backend = make_backend("numpy", "float64")
    if not backend.compiled_by():
        pytest.skip("nothing compiles NumPy's steps here")
    shapes = check_compiled_fit(backend, monkeypatch)
    assert set(shapes) == {(BATCH, 4), (ROWS % BATCH, 4)}


def test_jaxs_compiled_fit_equals_numpys(monkeypatch):
    shapes = check_compiled_fit(make_backend("jax", "float64"), monkeypatch)
    assert shapes == [(BATCH, 4), (ROWS % BATCH, 4)]


@IMPORTS_OF_TORCH
def test_torchs_compiled_fit_equals_numpys(monkeypatch):
    backend = make_backend("torch", "float64")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler")
    shapes = check_compiled_fit(backend, monkeypatch, dropout=False)
    assert shapes == [(BATCH, 4), (ROWS % BATCH, 4)]


@IMPORTS_OF_TORCH
def test_torchs_traced_fit_equals_numpys(monkeypatch):
    """The graphs are run as traced: dropout takes TorchInductor too long for a test."""
    backend = make_backend("torch", "float64")
    inductor = import_module("torch._inductor")
    monkeypatch.setattr(inductor, "compile", lambda graph, arrays: graph)
    shapes = check_compiled_fit(backend, monkeypatch)
    assert shapes == [(BATCH, 4), (ROWS % BATCH, 4)]


def test_a_scan_gives_the_metrics_of_every_step(backend64):
    state, data, controls = inputs(backend64, 5)
    own = {"weight": backend64.to_numpy(state["weight"])}
    rows, rates = np.asarray(controls["indices"]), np.asarray(controls["learning_rate"])
    losses = []
    for indices, rate in zip(rows, rates, strict=True):
        batch = {"x": backend64.to_numpy(data["x"])[indices], "learning_rate": rate}
        own, metrics = descend(np, own, batch)
        losses.append(metrics["loss"])
    state, metrics, reached = finished(eager_scan(backend64, descend), state, data, controls)
    assert reached == [1, 2, 3, 4, 5]
    assert tuple(metrics["loss"].shape) == (5,)
    np.testing.assert_allclose(backend64.to_numpy(metrics["loss"]), losses, rtol=1e-13)
    np.testing.assert_allclose(backend64.to_numpy(state["weight"]), own["weight"], rtol=1e-13)


def test_an_interrupt_leaves_the_steps_before_it(backend64):
    calls = []

    def interrupted(xp, state, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return descend(xp, state, batch)

    state, data, controls = inputs(backend64, 5)
    first = {name: array[:2, ...] for name, array in controls.items()}
    expected, *_ = finished(eager_scan(backend64, descend), state, data, first)
    running = eager_scan(backend64, interrupted)(state, data, controls)
    next(running)
    moved, done, metrics = next(running)
    with pytest.raises(KeyboardInterrupt):
        next(running)
    assert (done, metrics) == (2, {})
    np.testing.assert_array_equal(
        backend64.to_numpy(moved["weight"]), backend64.to_numpy(expected["weight"])
    )


@pytest.mark.parametrize(
    ("lengths", "most"), [((5, 3, 8, 1, 7, 6, 2), 1), (range(1, 40), 7), ((1, 1, 1), 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_traces_chunks_of_any_lengths_a_few_times(lengths, most, dtype):
    backend = make_backend("jax", dtype)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    shapes = []
    scan = backend.scan(counted(descend, shapes), compiled=True)
    with backend.scope():
        for count in lengths:
            expected = finished(eager_scan(backend, descend), *inputs(backend, count))
            state, metrics, reached = finished(scan, *inputs(backend, count))
            assert reached[-1] == count
            assert metrics["loss"].shape == (count,)
            np.testing.assert_allclose(metrics["loss"], expected[1]["loss"], rtol=tolerance)
            np.testing.assert_allclose(state["weight"], expected[0]["weight"], rtol=tolerance)
    assert len(shapes) == most


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_donates_the_state_and_gives_the_new_one_before_it_waits(dtype):
    backend = make_backend("jax", dtype)
    with backend.scope():
        state, data, controls = inputs(backend, 4)
        given = backend.to_numpy(data["x"])
        running = backend.scan(descend, compiled=True)(state, data, controls)
        moved, steps, metrics = next(running)
        assert (steps, metrics) == (4, {})
        assert state["weight"].is_deleted()
        assert moved["weight"].dtype == dtype
        assert [m["loss"].dtype for _, _, m in running] == [dtype]
        np.testing.assert_array_equal(backend.to_numpy(data["x"]), given)


def test_torch_says_that_a_step_cannot_be_traced():
    backend = make_backend("torch")

    def reads(xp, state, batch):
        return state, {"loss": xp.sum(batch["x"]) * float(xp.sum(batch["x"]))}

    with backend.scope(), pytest.raises(InputError, match="cannot trace the step: ") as caught:
        finished(backend.scan(reads, compiled=True), *inputs(backend, 2))
    assert "\n" not in str(caught.value)


@IMPORTS_OF_TORCH
def test_torch_says_that_a_step_cannot_be_compiled(monkeypatch):
    backend = make_backend("torch")

    def compile(graph, arrays):
        raise RuntimeError("No working C++ compiler found\nmore")

    monkeypatch.setattr(import_module("torch._inductor"), "compile", compile)
    with backend.scope(), pytest.raises(BackendError, match=r"compiler found; .*g\+\+") as caught:
        finished(backend.scan(descend, compiled=True), *inputs(backend, 2))
    assert "\n" not in str(caught.value)
