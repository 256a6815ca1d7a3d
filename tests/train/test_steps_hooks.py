"""Callbacks that look between the epochs' ends: when they are called, and how they stop a run."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import InputError

X = np.random.default_rng(0).standard_normal((20, 3))
Y = (X[:, 0] > 0).astype(np.int64)


def make_trainer(optimizer="adam"):
    return cr.Trainer(cr.Dense(2), "softmax_cross_entropy", optimizer, dtype="float64")


class Watch(cr.Callback):
    """Asks to be called after the steps in `wanted`; stops after step `last`."""

    def __init__(self, *wanted, last=10**9, reason=""):
        self.wanted, self.last, self.reason = wanted, last, reason
        self.calls = []

    def steps_until(self, step):
        return next((wanted - step for wanted in self.wanted if wanted > step), None)

    def on_steps_end(self, trainer, losses):
        assert isinstance(losses, np.ndarray)
        assert losses.dtype == np.float64
        self.calls.append((trainer.position.step, len(losses)))
        return trainer.position.step >= self.last


def fit(*callbacks, epochs=2, **settings):
    trainer = make_trainer(**settings)
    trainer.fit(X, Y, epochs=epochs, batch_size=4, callbacks=callbacks)
    return trainer


def test_without_a_wish_they_are_called_at_each_epochs_end():
    watch = Watch()
    fit(watch)
    assert watch.calls == [(5, 5), (10, 5)]


def test_chunks_end_where_a_callback_wants_to_look():
    first, second = Watch(2, 7), Watch(3, 7)
    fit(first, second)
    assert first.calls == second.calls == [(2, 2), (3, 1), (5, 2), (7, 2), (10, 3)]


def test_looking_changes_nothing():
    watched, plain = fit(Watch(1, 2, 3, 8)), fit()
    np.testing.assert_array_equal(watched.params["weight"], plain.params["weight"])
    assert watched.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-15)


def test_a_run_stops_in_the_middle_of_an_epoch():
    trainer = fit(Watch(7, last=7, reason="seven is enough"))
    assert trainer.stopped == "seven is enough"
    assert trainer.position.step == 7
    assert [record["epoch"] for record in trainer.history.records] == [1]


def test_a_run_that_stops_at_an_epochs_end_records_the_epoch():
    trainer = fit(Watch(5, last=5), epochs=3)
    assert trainer.stopped == "Watch returned True"
    assert [record["epoch"] for record in trainer.history.records] == [1]


def test_full_batch_optimizers_call_them_once_an_iteration():
    watch = Watch(last=2)
    trainer = fit(watch, epochs=5, optimizer=cr.lbfgs())
    assert watch.calls == [(1, 1), (2, 1)]
    assert trainer.stopped == "Watch returned True"


def test_another_answer_than_true_or_false_is_refused():
    class Wrong(Watch):
        def on_steps_end(self, trainer, losses):
            return 1.0

    with pytest.raises(InputError, match=r"^callbacks\[0\] returned 1\.0; expected True to stop"):
        fit(Wrong())
