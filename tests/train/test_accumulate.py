"""Gradient accumulation: any way to cut a batch gives the batch's own loss and gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import tree
from chainrule.losses import AbsoluteError, Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.ops.random import Rng, host_key
from chainrule.train.step import make_gradients, make_step
from train.problems import assert_close, blobs, classifier, host_params, make_trainer

NET = cr.Sequential(cr.Dense(5), cr.LayerNorm(), cr.Tanh(), cr.Dense(3))
LOSSES = [
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(0.2, class_weight=(0.5, 1.0, 4.0)),
    SigmoidCrossEntropy(0.1),
    Huber(),
    AbsoluteError(),
]


@given(st.integers(0, 2**32 - 1), st.integers(1, 13), st.integers(1, 14), st.data())
def test_micro_batches_sum_to_the_batch(seed, rows, micro_batch, data):
    loss = data.draw(st.sampled_from(LOSSES))
    rng = np.random.default_rng(seed)
    labels = isinstance(loss, SoftmaxCrossEntropy)
    batch = {
        "x": rng.normal(size=(rows, 4)),
        "y": rng.integers(3, size=rows) if labels else rng.random((rows, 3)),
    }
    if data.draw(st.booleans()):
        batch["weight"] = rng.random(rows) * rng.integers(0, 2, rows) + 1e-3
    params, _ = NET.init(Rng(1), (4,))
    state = {"params": params, "running": {}}
    whole = make_gradients(NET, loss, l2=0.1)(np, state, batch)
    parts = make_gradients(NET, loss, l2=0.1, micro_batch=micro_batch)(np, state, batch)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-13)
    assert parts[1] == whole[1]
    assert_close(tree.flatten(parts[2]), tree.flatten(whole[2]), 1e-13)


def test_accumulated_steps_on_every_library(backend64):
    loss, optimizer = SoftmaxCrossEntropy(class_weight=(1.0, 3.0, 1.0)), cr.adam(0.05)
    rng = np.random.default_rng(0)
    params, _ = NET.init(Rng(1), (4,))
    own = {
        "x": backend64.asarray(rng.normal(size=(11, 4))),
        "y": backend64.asarray(rng.integers(3, size=11), "index"),
        "weight": backend64.asarray(rng.random(11)),
        "learning_rate": backend64.asarray(np.asarray(0.05)),
    }
    found = []
    for micro_batch in (None, 4):
        step = make_step(NET, loss, optimizer, micro_batch=micro_batch)
        start = tree.map(lambda a: backend64.asarray(a, "float"), params)
        state = {"params": start, "running": {}, "optimizer": optimizer.init(backend64.xp, start)}
        run = backend64.compile(lambda state, own, step=step: step(backend64.xp, state, own))
        after, metrics = run(state, own)
        host = {k: backend64.to_numpy(v) for k, v in tree.flatten(after["params"]).items()}
        found.append(host | {"loss": backend64.to_numpy(metrics["loss"])})
    assert_close(*found, 1e-12)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(5, 4), (8, 3), (7, 100), (20, 1)])
def test_fit_that_accumulates_is_fit_with_the_large_batch(batch_size, accumulate):
    x, y = blobs(61)
    weight = np.random.default_rng(1).random(61)
    net = cr.Sequential(cr.Dense(8), cr.LayerNorm(), cr.ReLU(), cr.Dense(3))
    runs = []
    for settings in (
        {"batch_size": batch_size, "accumulate": accumulate},
        {"batch_size": min(batch_size * accumulate, 61)},
    ):
        trainer = make_trainer(net, l1=1e-3, clip_norm=0.5)
        history = trainer.fit(x, y, epochs=3, sample_weight=weight, **settings)
        runs.append(host_params(trainer) | {"loss": np.asarray(history["loss"])})
        assert history.step == 3 * -(-61 // min(batch_size * accumulate, 61))
    assert_close(*runs, 1e-12)


def test_micro_batches_draw_masks_of_their_own():
    net = cr.Sequential(cr.Dropout(0.5), cr.Dense(1))
    params, _ = net.init(Rng(0), (3,))
    seen = []

    class Spy(cr.Dropout):
        def forward(self, xp, params, x, *, key):
            y, residuals = super().forward(xp, params, x, key=key)
            seen.append(y)
            return y, residuals

    net = cr.Sequential(Spy(0.5), cr.Dense(1))
    batch = {"x": np.ones((40, 3)), "y": np.zeros((40, 1)), "key": host_key(1, 2)}
    gradients = make_gradients(net, Huber(), micro_batch=20)
    gradients(np, {"params": params, "running": {}}, batch)
    gradients(np, {"params": params, "running": {}}, batch | {"key": host_key(1, 3)})
    assert [part.shape for part in seen] == [(20, 3)] * 4
    assert len({part.tobytes() for part in seen}) == 4


def test_running_statistics_move_once_a_micro_batch():
    net = cr.Sequential(cr.BatchNorm(momentum=0.5), cr.Dense(1))
    params, _ = net.init(Rng(0), (2,))
    state = {"params": params, "running": net.init_running(params)}
    x = np.concatenate([np.zeros((2, 2)), np.ones((2, 2)) * [[1.0], [3.0]]])
    gradients = make_gradients(net, Huber(), micro_batch=2)
    running = gradients(np, state, {"x": x, "y": np.zeros((4, 1))})[3]["0"]
    np.testing.assert_allclose(running["mean"], 0.5 * 0.0 + 0.5 * 2.0)
    np.testing.assert_allclose(running["variance"], 0.5 * (0.5 * 1.0 + 0.5 * 0.0) + 0.5 * 2.0)


def test_accumulating_batches_of_one_row():
    x, y = blobs(6)
    for drop_last in (False, True):
        one, other = make_trainer(), make_trainer()
        one.fit(x, y, epochs=1, batch_size=1, accumulate=4, drop_last=drop_last)
        other.fit(x, y, epochs=1, batch_size=4, drop_last=drop_last)
        assert one.position.step == other.position.step == (1 if drop_last else 2)
        assert_close(host_params(one), host_params(other), 1e-12)


def test_it_needs_a_positive_integer():
    x, y = blobs()
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(cr.InputError, match=r"^accumulate=.*: expected a positive integer$"):
            make_trainer(classifier()).fit(x, y, accumulate=wrong)


def test_one_large_batch_in_parts_is_shuffled():
    X = np.repeat([[0.0], [3.0]], 128, axis=0)
    y = np.repeat([0, 1], 128)
    net = cr.Sequential(cr.Dense(8), cr.BatchNorm(), cr.ReLU(), cr.Dense(2))
    trainer = cr.Trainer(net, loss="softmax_cross_entropy", optimizer=cr.adam(1e-2))
    trainer.fit(X, y, epochs=60, batch_size=32, accumulate=8)
    assert trainer.evaluate(X, y)["accuracy"] == 1.0
