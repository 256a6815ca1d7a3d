"""The loop: what an epoch's loss is, schedules, callbacks, divergence, full batches."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.splitting import split
from chainrule.layers import Tanh
from chainrule.ops.dropout import keep_mask
from chainrule.ops.random import Key, host_key
from chainrule.optim.schedules import rate_at
from chainrule.train.callbacks import Callback
from chainrule.train.fit import CHUNK
from libraries import make_backend
from train.problems import assert_close, blobs, classifier, host_params, make_trainer, plane

X, Y = blobs(70)
PX, PY = plane(60)


class Losses(Callback):
    """Notes every update's loss, and where it was shown them."""

    def __init__(self, every=None):
        self.every, self.losses, self.looks = every, [], []

    def steps_until(self, step):
        return None if self.every is None else self.every - step % self.every

    def on_steps_end(self, trainer, losses):
        self.losses += losses.tolist()
        self.looks.append(trainer.position.step)


def mean_loss(trainer, x, y):
    """Return the cross-entropy of each row, by hand."""
    logits = trainer.predict(x)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]


def test_an_epochs_loss_weighs_the_tail_by_its_rows():
    trainer, seen = make_trainer(optimizer=cr.sgd(1e-300)), Losses()
    history = trainer.fit(X, Y, epochs=2, batch_size=32, callbacks=[seen])
    assert len(seen.losses) == 6
    assert history["loss"][0] == pytest.approx(np.dot(seen.losses[:3], [32, 32, 6]) / 70, rel=1e-15)
    assert history["loss"][0] == pytest.approx(mean_loss(trainer, X, Y).mean(), rel=1e-12)


def test_an_epochs_loss_weighs_rows_by_their_weights():
    weight = np.random.default_rng(0).random(70)
    trainer = make_trainer(
        loss=cr.softmax_cross_entropy(class_weight=(1, 2, 3)), optimizer=cr.sgd(1e-300)
    )
    history = trainer.fit(X, Y, epochs=1, batch_size=32, sample_weight=weight)
    weights = weight * np.asarray([1.0, 2.0, 3.0])[Y]
    expected = np.average(mean_loss(trainer, X, Y), weights=weights)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
    scores = trainer.evaluate(X, Y, sample_weight=weight)
    assert scores["loss"] == pytest.approx(expected, rel=1e-12)


def test_the_tails_gradient_is_the_mean_over_its_rows():
    """One update of the tail alone is a fit of those rows alone."""
    one, other = make_trainer(optimizer=cr.sgd(0.1)), make_trainer(optimizer=cr.sgd(0.1))
    one.fit(X[:38], Y[:38], epochs=1, batch_size=32, shuffle=False)
    other.fit(X[:32], Y[:32], epochs=1, batch_size=32, shuffle=False)
    other.fit(X[32:38], Y[32:38], epochs=1, batch_size=6, shuffle=False)
    assert_close(host_params(one), host_params(other), 1e-14)


def test_the_record_of_an_epoch():
    trainer = make_trainer(optimizer=cr.adam(cr.exponential(0.1, factor=0.9)))
    history = trainer.fit(X, Y, epochs=2, validation=(X, Y))
    assert history["epoch"] == [1, 2]
    assert history["step"] == [3, 6]
    assert history["learning_rate"] == pytest.approx([0.1 * 0.9**2, 0.1 * 0.9**5])
    assert history["val_loss"][1] == trainer.evaluate(X, Y)["loss"]
    assert history["val_accuracy"][1] == trainer.evaluate(X, Y)["accuracy"]
    assert 0 < history["seconds"][0] < history["seconds"][1]
    assert min(history["samples_per_second"]) > 0
    assert set(history.names) == {
        "epoch", "step", "loss", "learning_rate", "seconds", "samples_per_second", "val_loss",
        "val_accuracy", "dtype", "matmul_precision", "deterministic",
    }  # fmt: skip


@pytest.mark.parametrize(
    "rate",
    [
        cr.cosine(0.5, steps=9),
        cr.warmup(cr.step_decay(0.5, every=2), steps=3),
        cr.one_cycle(0.5, 9),
    ],
    ids=lambda rate: rate.name,
)
def test_schedules_are_followed_step_by_step(rate):
    """Plain gradient descent on a constant slope adds up the learning rates."""
    trainer = make_trainer(
        cr.Dense(1, use_bias=False, weight_init="zeros"), "absolute_error", optimizer=cr.sgd(rate)
    )
    trainer.fit(np.ones((12, 1)), np.full(12, 1e6), epochs=3, batch_size=4)
    expected = sum(rate_at(rate, step) for step in range(9))
    assert trainer.params["weight"][0, 0] == pytest.approx(expected, rel=1e-12)


def test_on_plateau_lowers_the_rate():
    rate = cr.on_plateau(0.5, factor=0.5, patience=1)
    trainer = make_trainer(optimizer=cr.sgd(rate))
    history = trainer.fit(X, Y, epochs=12, validation=(X, (Y + 1) % 3))
    rates = history["learning_rate"]
    best, bad, expected = math.inf, 0, [0.5]
    for value in history["val_loss"]:
        bad = 0 if value < best * (1 - 1e-4) else bad + 1
        best = min(best, value) if bad == 0 else best
        cut = bad > 1
        expected.append(expected[-1] * (0.5 if cut else 1.0))
        bad = 0 if cut else bad
    assert rates == pytest.approx(expected[:-1])
    assert rates[-1] < 0.5


def test_early_stopping_puts_the_best_back():
    net = classifier(3, cr.BatchNorm())
    stopping = cr.EarlyStopping(patience=3)
    trainer = make_trainer(net, optimizer=cr.adam(0.3))
    rng = np.random.default_rng(3)
    held = (X, rng.permutation(Y))
    history = trainer.fit(X, Y, epochs=60, validation=held, callbacks=[stopping])
    assert len(history) < 60
    best = int(np.argmin(history["val_loss"]))
    assert len(history) == best + 4
    assert trainer.evaluate(*held)["loss"] == history["val_loss"][best]
    assert trainer.stopped == stopping.reason
    assert trainer.stopped.startswith("val_loss was best at")
    trainer.fit(X, Y, epochs=1)
    assert trainer.stopped == ""


def test_converged_and_time_budget_and_functions():
    trainer = make_trainer(optimizer=cr.sgd(1e-300))
    history = trainer.fit(X, Y, epochs=50, callbacks=[cr.Converged(patience=2)])
    assert len(history) == 3
    assert "fell by no more than" in trainer.stopped
    clock = iter(range(100))
    budget = cr.TimeBudget(3.5, clock=lambda: float(next(clock)))
    trainer = make_trainer()
    assert len(trainer.fit(X, Y, epochs=50, callbacks=[budget])) == 4
    assert trainer.stopped == "4.0 s of the 3.5 s allowed are spent"
    records = []

    def enough(record):
        records.append(record["epoch"])
        return record["epoch"] == 2

    trainer = make_trainer()
    trainer.fit(X, Y, epochs=50, callbacks=[enough])
    assert records == [1, 2]
    assert trainer.stopped == "enough returned True"


def test_a_callback_looks_where_it_asks():
    seen = Losses(every=5)
    make_trainer().fit(X, Y, epochs=3, batch_size=10, callbacks=[seen])
    assert seen.looks == [5, 7, 10, 14, 15, 20, 21]
    assert len(seen.losses) == 21
    rows = np.ones((CHUNK + 10, 4))
    seen = Losses()
    labels = np.zeros(CHUNK + 10, int)
    make_trainer().fit(rows, labels, epochs=1, batch_size=1, callbacks=[seen])
    assert seen.looks == [CHUNK, CHUNK + 10]


def test_a_callback_may_stop_within_an_epoch():
    class Stop(Losses):
        reason = "seen enough"

        def on_steps_end(self, trainer, losses):
            super().on_steps_end(trainer, losses)
            return trainer.position.step >= 5

    trainer = make_trainer()
    history = trainer.fit(X, Y, epochs=3, batch_size=20, callbacks=[Stop(every=1)])
    assert trainer.stopped == "seen enough"
    assert history["epoch"] == [1]
    assert trainer.position.step == 5
    trainer.fit(X, Y, epochs=1, batch_size=20)
    assert trainer.history["step"] == [4, 9]


def test_dropout_draws_the_mask_of_its_step():
    seen = []

    class Spy(cr.Dropout):
        def forward(self, xp, params, x, *, key):
            seen.append((key, keep_mask(xp, key, x.shape, self.rate)))
            return super().forward(xp, params, x, key=key)

    trainer = make_trainer(cr.Sequential(cr.Dense(3), Spy(0.5)))
    trainer.fit(X, Y, epochs=2, batch_size=35)
    assert len(seen) == 4
    for step, (key, mask) in enumerate(seen):
        expected = Key(host_key(7, step), "dropout.1")
        np.testing.assert_array_equal(key.words, expected.words)
        np.testing.assert_array_equal(mask, keep_mask(np, expected, (35, 3), 0.5))


@pytest.mark.parametrize("every", [None, 1, 3])
def test_where_the_losses_are_read_changes_no_bit(every):
    trainer, plain = make_trainer(), make_trainer()
    seen = plain.fit(X, Y, epochs=3, batch_size=7)
    history = trainer.fit(X, Y, epochs=3, batch_size=7, callbacks=[Losses(every)])
    assert history["loss"] == seen["loss"]


def test_divergence_is_named_with_its_step():
    def run(*callbacks):
        trainer = make_trainer(cr.Dense(1), "squared_error", optimizer=cr.sgd(1e4))
        with pytest.raises(cr.TrainingError) as caught:
            trainer.fit(PX, PY[:, 0], epochs=200, batch_size=30, callbacks=callbacks)
        return str(caught.value)

    message, seen = run(), Losses(every=1)
    assert run(seen) == message
    step = len(seen.losses) + 1
    assert np.isfinite(seen.losses).all()
    assert message == (
        f"the loss became inf at step {step}, epoch {-(-step // 2)}, with learning rate 10000; "
        "lower it, clip the gradients (clip_norm=1.0) or scale the inputs"
    )


def test_parameters_that_the_last_update_spoilt_are_noticed():
    trainer = make_trainer(cr.Dense(1), "absolute_error", optimizer=cr.sgd(1e200))
    with pytest.raises(
        cr.TrainingError, match=r"^the parameters were no longer finite after step 1"
    ):
        trainer.fit(PX * 1e150, PY[:, 0], epochs=1, batch_size=None)


def test_an_epoch_without_shuffling_and_without_the_tail():
    one, other = make_trainer(), make_trainer()
    one.fit(X, Y, epochs=2, batch_size=32, shuffle=False, drop_last=True)
    other.fit(X[:64], Y[:64], epochs=2, batch_size=32, shuffle=False)
    assert_close(host_params(one), host_params(other), 0.0)


def test_gradient_descent_on_all_rows():
    """batch_size=None is the textbook's descent, here against the formula for a linear map."""
    trainer = make_trainer(cr.Dense(2, weight_init="zeros"), "squared_error", optimizer=cr.sgd(0.1))
    history = trainer.fit(PX, PY, epochs=25, batch_size=None)
    weight, bias = np.zeros((3, 2)), np.zeros(2)
    for _ in range(25):
        error = PX @ weight + bias - PY
        weight = weight - 0.1 * PX.T @ error * (2 / PY.size)
        bias = bias - 0.1 * error.sum(axis=0) * (2 / PY.size)
    np.testing.assert_allclose(trainer.params["weight"], weight, rtol=1e-12)
    np.testing.assert_allclose(trainer.params["bias"], bias, rtol=1e-12)
    assert history.step == 25


def test_a_validation_fraction_is_held_out_with_its_weights():
    weight = np.random.default_rng(0).random(70)
    train, held = split(70, 0.25, labels=Y, seed=7)
    one, other = make_trainer(), make_trainer()
    found = one.fit(X, Y, epochs=2, validation=0.25, sample_weight=weight)
    expected = other.fit(X[train], Y[train], epochs=2, sample_weight=weight[train])
    assert found["loss"] == expected["loss"]
    scores = other.evaluate(X[held], Y[held], sample_weight=weight[held])
    assert found.last["val_loss"] == scores["loss"]
    assert found.last["val_accuracy"] == scores["accuracy"]
    plain = make_trainer(classifier(2), "squared_error")
    assert "val_r2" in plain.fit(X, X[:, :2], epochs=1, validation=0.5)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_lbfgs_finds_the_minimum_and_stops_by_itself(library):
    trainer = make_trainer(
        cr.Dense(2),
        "squared_error",
        optimizer=cr.lbfgs(tolerance_grad=1e-9),
        backend=make_backend(library, "float64"),
        l2=0.1,
    )
    history = trainer.fit(PX, PY, epochs=200)
    assert trainer.stopped == "lbfgs can lower the loss no further"
    assert len(history) < 50
    assert history["loss"] == sorted(history["loss"], reverse=True)
    ones = np.concatenate([PX, np.ones((60, 1))], axis=1)
    shrink = np.diag([0.1, 0.1, 0.1, 0.0]) * PY.size / 2
    exact = np.linalg.solve(ones.T @ ones + shrink, ones.T @ PY)
    found = trainer.params
    np.testing.assert_allclose(np.asarray(found["weight"]), exact[:3], atol=1e-7)
    weights = np.asarray(found["weight"])
    total = trainer.evaluate(PX, PY)["loss"] + 0.05 * np.sum(weights**2)
    assert history["loss"][-1] == pytest.approx(total, rel=1e-12)
    assert history["step"] == history["epoch"]
    rows = [
        s * seconds for s, seconds in zip(history["samples_per_second"][:1], [1.0], strict=True)
    ]
    assert rows[0] > 0


def test_lbfgs_moves_the_running_statistics_once_an_iteration():
    net = cr.Sequential(cr.Dense(4), cr.BatchNorm(momentum=1.0), cr.Tanh(), cr.Dense(3))
    trainer = make_trainer(net, optimizer="lbfgs")
    trainer.fit(X, Y, epochs=10, batch_size=23)
    hidden = X @ trainer.params["0"]["weight"] + trainer.params["0"]["bias"]
    running = trainer.snapshot()["running"]["1"]
    np.testing.assert_allclose(running["mean"], hidden.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(running["variance"], hidden.var(axis=0, ddof=1), rtol=1e-3)


def test_lbfgs_starts_afresh_on_other_data():
    trainer = make_trainer(cr.Dense(2), "squared_error", optimizer="lbfgs")
    trainer.fit(PX, PY, epochs=50)
    assert trainer.stopped
    history = trainer.fit(PX, -PY, epochs=50)
    assert history["loss"][-1] < 1e-3
    assert trainer.evaluate(PX, -PY)["r2"] > 0.99


def test_lbfgs_diverging_is_named():
    trainer = make_trainer(
        cr.Dense(1), "squared_error", optimizer=cr.lbfgs(line_search=None, lr=1e9)
    )
    with pytest.raises(cr.TrainingError, match="the loss became"):
        trainer.fit(PX * 1e100, PY[:, 0] * 1e100, epochs=50)


def test_jax_compiles_a_step_once_for_each_size_of_batch():
    pytest.importorskip("jax")
    traced = []

    class Traced(Tanh):
        def forward(self, xp, params, x):
            traced.append(x.shape)
            return super().forward(xp, params, x)

    net = cr.Sequential(Traced(), cr.Dropout(0.1), cr.Dense(3))
    rate = cr.warmup(cr.cosine(0.1, steps=20), steps=3)
    trainer = make_trainer(net, backend="jax", optimizer=cr.adam(rate), dtype="float32")
    trainer.fit(X, Y, epochs=3, batch_size=32)
    assert traced == [(32, 4), (6, 4)]
    trainer.fit(X, Y, epochs=2, batch_size=32)
    assert len(traced) == 2
    for _ in range(3):
        trainer.predict(X)
    assert len(traced) == 3


@pytest.mark.parametrize("library", ["torch", "jax", "strict"])
def test_dropout_runs_eagerly_everywhere(library):
    net, losses = classifier(3, cr.ReLU(), cr.Dropout(0.3)), []
    for backend in (make_backend("numpy", "float64"), make_backend(library, "float64")):
        trainer = make_trainer(net, backend=backend, compile=False)
        losses.append(trainer.fit(X, Y, epochs=2, progress="off").last["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
