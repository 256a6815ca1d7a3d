"""float16: dynamic loss scaling, parameters in float32, overflow skipped and reported."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.losses import SoftmaxCrossEntropy
from chainrule.ops.random import Rng
from chainrule.train.loss_scale import GROW_AFTER, LARGEST, SMALLEST, START, adjusted
from chainrule.train.step import make_step
from libraries import make_backend
from train.problems import blobs, classifier, host_params, make_trainer

X, Y = blobs(96)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_it_trains_and_keeps_float32(library):
    pytest.importorskip(library)
    net = cr.Sequential(cr.Dense(32), cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.1), cr.Dense(3))
    trainer = make_trainer(net, backend=library, dtype="float16", optimizer=cr.adam(0.01))
    history = trainer.fit(X, Y, epochs=12, batch_size=32, validation=(X, Y))
    assert history["val_accuracy"][-1] > 0.9
    assert history["skipped_steps"] == [0.0] * 12
    assert history["loss_scale"] == [START] * 12
    assert trainer.dtype == "float16"
    host = tree.flatten(trainer.state)
    assert {trainer.backend.to_numpy(leaf).dtype for leaf in host.values()} == {np.dtype("float32")}
    assert trainer.predict(X).dtype == np.float32
    assert trainer.evaluate(X, Y)["accuracy"] == history["val_accuracy"][-1]


@pytest.mark.parametrize("optimizer", [cr.sgd(0.1), cr.adam(0.02)], ids=["sgd", "adam"])
def test_it_is_near_float32(optimizer):
    losses = []
    for dtype in ("float16", "float32"):
        trainer = make_trainer(dtype=dtype, optimizer=optimizer)
        losses.append(trainer.fit(X, Y, epochs=5)["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=5e-3)
    assert losses[0] != losses[1]


def test_the_network_computes_in_float16():
    seen = set()

    class Spy(cr.Tanh):
        def forward(self, xp, params, x):
            seen.add(("forward", x.dtype))
            return super().forward(xp, params, x)

        def backward(self, xp, residuals, dy, *, needs_dx=True):
            seen.add(("backward", dy.dtype))
            return super().backward(xp, residuals, dy, needs_dx=needs_dx)

    trainer = make_trainer(cr.Sequential(cr.Dense(4), Spy(), cr.Dense(3)), dtype="float16")
    trainer.fit(X, Y, epochs=1)
    trainer.predict(X)
    half = np.dtype("float16")
    assert seen == {("forward", half), ("backward", half)}


def test_an_overflow_skips_the_step_and_halves_the_scale(backend32):
    if backend32.name == "strict":
        pytest.skip("the standard has no float16")
    xp = backend32.xp
    net, optimizer = classifier(), cr.adam(0.1)
    host, _ = net.init(Rng(0), (4,))
    params = tree.map(lambda a: backend32.asarray(a, "float"), host)
    state = {
        "params": params,
        "running": {},
        "optimizer": optimizer.init(xp, params),
        "scale": {"factor": xp.asarray(START), "since": xp.asarray(5.0)},
    }
    step = make_step(net, SoftmaxCrossEntropy(), optimizer, short="float16")
    run = backend32.compile(lambda state, batch: step(xp, state, batch))
    rate = backend32.asarray(np.asarray(0.1), "float")
    batch = {"x": backend32.asarray(X * 1e5, "float"), "learning_rate": rate}
    batch["y"] = backend32.asarray(Y, "index")
    after, metrics = run(state, batch)
    assert not bool(metrics["finite"])
    for name, leaf in tree.flatten(state).items():
        if not name.startswith("scale"):
            np.testing.assert_array_equal(
                backend32.to_numpy(tree.flatten(after)[name]), backend32.to_numpy(leaf)
            )
    assert float(after["scale"]["factor"]) == START / 2
    assert float(after["scale"]["since"]) == 0.0
    good, metrics = run(after, batch | {"x": backend32.asarray(X, "float")})
    assert bool(metrics["finite"])
    assert float(good["scale"]["factor"]) == START / 2
    assert float(good["scale"]["since"]) == float(good["optimizer"]["step"]) == 1.0


def test_the_scale_doubles_after_many_steps_within_its_limits():
    def after(factor, since, finite):
        scale = {"factor": np.float32(factor), "since": np.float32(since)}
        found = adjusted(np, scale, np.asarray(finite))
        return float(found["factor"]), float(found["since"])

    assert after(8.0, GROW_AFTER - 2, True) == (8.0, GROW_AFTER - 1)
    assert after(8.0, GROW_AFTER - 1, True) == (16.0, 0.0)
    assert after(LARGEST, GROW_AFTER - 1, True) == (LARGEST, 0.0)
    assert after(8.0, GROW_AFTER - 1, False) == (4.0, 0.0)
    assert after(SMALLEST, 3, False) == (SMALLEST, 0.0)


def test_an_overflow_is_reported_and_left_out_of_the_epochs_loss():
    """A large loss: its gradient times 2**15 passes 65504, until the scale has come down."""
    y = np.stack([X[:, 0] * 3, X[:, 1] * 3], axis=1)
    trainer = make_trainer(cr.Dense(2), "squared_error", dtype="float16", optimizer=cr.sgd(1e-3))
    seen = []

    class Losses(cr.Callback):
        def on_steps_end(self, trainer, losses):
            seen.append(len(losses))

    history = trainer.fit(X, y, epochs=4, batch_size=16, callbacks=[Losses()])
    skipped = [int(count) for count in history["skipped_steps"]]
    assert 0 < skipped[0] < 6
    assert seen == [6 - count for count in skipped]
    assert history["loss_scale"][0] == START / 2 ** skipped[0]
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert history["step"] == [6, 12, 18, 24]


def test_a_hopeless_run_ends():
    trainer = make_trainer(dtype="float16")
    match = (
        r"^float16 still overflows at step \d+ with the smallest loss scale, 6\.10352e-05; scale "
        r"the inputs, lower the learning rate or choose dtype='float32'$"
    )
    with pytest.raises(cr.TrainingError, match=match):
        trainer.fit(X * 1e6, Y, epochs=50, batch_size=16)
    assert trainer.loss_scale == SMALLEST
    assert all(np.isfinite(array).all() for array in host_params(trainer).values())


def test_clipping_works_on_what_the_scale_leaves():
    runs = []
    for dtype in ("float16", "float32"):
        trainer = make_trainer(dtype=dtype, optimizer=cr.sgd(0.5), clip_norm=0.01, l2=0.01)
        trainer.fit(X, Y, epochs=1)
        runs.append(host_params(trainer))
    for name in runs[0]:
        np.testing.assert_allclose(runs[0][name], runs[1][name], atol=2e-4)


def test_accumulating_in_float16():
    one, other = (make_trainer(dtype="float16") for _ in range(2))
    found = one.fit(X, Y, epochs=2, batch_size=8, accumulate=4)["loss"]
    expected = other.fit(X, Y, epochs=2, batch_size=32)["loss"]
    np.testing.assert_allclose(found, expected, rtol=5e-3)


def test_a_backend_object_of_float16():
    backend = make_backend("numpy", "float16")
    trainer = make_trainer(backend=backend)
    assert trainer.half
    assert trainer.short == "float16"
    assert trainer.backend.dtype == "float32"
    with pytest.raises(cr.BackendError, match="dtype='float16': array-api-strict on cpu has none"):
        make_trainer(backend="strict", dtype="float16")


@pytest.mark.parametrize("norm", [cr.BatchNorm(), cr.LayerNorm()])
def test_statistics_of_large_features_do_not_overflow(norm):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(256, 10)) * 400.0 + 100.0
    y = (X[:, 0] > X[:, 1]).astype(int)
    scores = []
    for dtype in ("float32", "float16"):
        net = cr.Sequential(norm, cr.Dense(8), cr.ReLU(), cr.Dense(2))
        trainer = cr.Trainer(net, loss="softmax_cross_entropy", dtype=dtype)
        history = trainer.fit(X, y, epochs=10, batch_size=128)
        scores.append(trainer.evaluate(X, y)["loss"])
    assert history.last["skipped_steps"] == 0
    assert scores[1] == pytest.approx(scores[0], rel=1e-2)
