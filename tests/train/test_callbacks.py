"""Callbacks: when they stop, why, and that a resumed run stops at the same epoch."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import InputError
from chainrule.train.callbacks import Callback, Callbacks, Converged, EarlyStopping, TimeBudget
from chainrule.train.history import History


class FakeTrainer:
    """Its parameters are the number of the epoch that has just ended."""

    def __init__(self):
        self.params = {"0": {"weight": np.zeros(1)}}

    def snapshot(self):
        return {"0": {"weight": self.params["0"]["weight"].copy()}}

    def restore(self, snapshot):
        self.params = {"0": {"weight": snapshot["0"]["weight"].copy()}}

    @property
    def epoch(self):
        return int(self.params["0"]["weight"][0])


def run(callbacks, values, *, name="val_loss", trainer=None, first=1, saved=(), finish=True):
    """Play epochs with the given values; return (trainer, epoch stopped at or None, reason)."""
    trainer = trainer or FakeTrainer()
    history = History()
    callbacks.begin(trainer, saved)
    reason = None
    for epoch, value in enumerate(values, start=first):
        trainer.params["0"]["weight"][0] = epoch
        record = {"epoch": epoch, "step": 10 * epoch, "loss": 1.0, name: value}
        history.append(record)
        reason = callbacks.epoch_end(trainer, record)
        if reason:
            break
    stopped = history.last["epoch"] if reason else None
    if finish:
        callbacks.end(trainer, history)
    return trainer, stopped, reason


def test_early_stopping_waits_and_puts_the_best_back():
    trainer, stopped, reason = run(
        Callbacks([EarlyStopping(patience=2)]), [1.0, 0.5, 0.6, 0.5, 0.1]
    )
    assert stopped == 4
    assert trainer.epoch == 2
    assert reason == "val_loss was best at 0.5 in epoch 2; no improvement in 2 epochs"


def test_early_stopping_puts_the_best_back_when_the_epochs_run_out():
    trainer, stopped, _ = run(Callbacks([EarlyStopping(patience=5)]), [1.0, 0.5, None])
    assert stopped is None
    assert trainer.epoch == 2


def test_early_stopping_may_leave_the_parameters():
    callback = EarlyStopping(patience=1, restore_best=False)
    trainer, stopped, _ = run(Callbacks([callback]), [1.0, 2.0])
    assert (stopped, trainer.epoch) == (2, 2)
    assert callback.arrays() == {}


@pytest.mark.parametrize(
    ("monitor", "mode", "higher"),
    [
        ("val_loss", "auto", False),
        ("val_accuracy", "auto", True),
        ("val_r2", "auto", True),
        ("f1", "auto", True),
        ("val_mean_squared_error", "auto", False),
        ("val_loss", "max", True),
        ("val_accuracy", "min", False),
    ],
)
def test_which_way_is_better(monitor, mode, higher):
    callback = EarlyStopping(monitor, patience=1, mode=mode)
    assert callback.higher_is_better is higher
    _, stopped, _ = run(Callbacks([callback]), [0.5, 0.6, 0.5], name=monitor)
    assert stopped == (3 if higher else 2)


def test_min_delta_asks_for_more():
    values = [1.0, 0.95, 0.91, 0.89, 0.85]
    _, stopped, _ = run(Callbacks([EarlyStopping(patience=2, min_delta=0.1)]), values)
    assert stopped == 3
    _, stopped, _ = run(Callbacks([EarlyStopping(patience=3, min_delta=0.1)]), values)
    assert stopped is None


def test_nan_is_never_the_best():
    trainer, stopped, _ = run(
        Callbacks([EarlyStopping(patience=3)]), [0.5, math.nan, -math.inf, math.nan]
    )
    assert (stopped, trainer.epoch) == (4, 1)
    trainer, stopped, reason = run(Callbacks([EarlyStopping(patience=2)]), [math.nan] * 3)
    assert (stopped, trainer.epoch) == (2, 2)
    assert reason == "val_loss was never finite; no improvement in 2 epochs"


def test_epochs_without_validation_do_not_count():
    values = [0.5, None, None, 0.6, None, 0.6]
    _, stopped, _ = run(Callbacks([EarlyStopping(patience=2)]), values)
    assert stopped == 6


def test_a_second_fit_starts_afresh():
    callbacks = Callbacks([EarlyStopping(patience=1), Converged(patience=9)])
    _, stopped, _ = run(callbacks, [0.1, 0.2])
    assert stopped == 2
    _, stopped, _ = run(callbacks, [5.0, 4.0, 4.5])
    assert stopped == 3


def test_converged_is_relative():
    callbacks = Callbacks([Converged(tolerance=0.01, patience=2)])
    _, stopped, reason = run(callbacks, [1e-6, 5e-7, 4.99e-7, 4.98e-7], name="loss")
    assert stopped == 4
    assert reason == "the training loss fell by no more than 0.01 of its size in each of 2 epochs"
    falling = [0.9**epoch for epoch in range(50)]
    assert run(callbacks, falling, name="loss")[1] is None
    assert run(callbacks, [-1.0, -2.0, -3.0, -3.01, -3.0], name="loss")[1] == 5


def test_converged_measures_from_the_lowest_loss_and_not_from_the_last():
    callbacks = Callbacks([Converged(tolerance=0.0, patience=3)])
    assert run(callbacks, [1.0, 2.0, 1.5, 1.2, 0.5], name="loss")[1] == 4
    assert run(callbacks, [0.0] * 5, name="loss")[1] == 4
    assert run(callbacks, [math.nan] * 5, name="loss")[1] == 3
    assert run(callbacks, [1.0, None, None, None, 1.0, 1.0], name="loss")[1] is None


def test_time_budget_counts_by_its_clock():
    now = [100.0]

    def epoch(record):
        now[0] += 4.0

    callbacks = Callbacks([epoch, TimeBudget(10, clock=lambda: now[0])])
    _, stopped, reason = run(callbacks, [1.0] * 9)
    assert stopped == 3
    assert reason == "12.0 s of the 10 s allowed are spent"
    assert run(callbacks, [1.0] * 9)[1] == 3
    assert run(Callbacks([TimeBudget(0)]), [1.0] * 9)[1] == 1


values = st.sampled_from([0.5, 0.6, 0.4, 0.39999, 0.7, math.nan, math.inf, None])


@given(st.lists(values, min_size=1, max_size=20), st.integers(0, 20))
def test_a_resumed_run_stops_where_the_whole_one_does(losses, interrupted_after):
    def fresh():
        now = [0.0]

        def tick(record):
            now[0] += 1.0

        return Callbacks(
            [
                tick,
                EarlyStopping(patience=3),
                Converged(patience=4),
                TimeBudget(12, clock=lambda: now[0]),
            ]
        )

    def play(callbacks, losses, **options):
        return run(callbacks, losses, **options)

    whole, stopped, reason = play(fresh(), losses)
    before, after = losses[:interrupted_after], losses[interrupted_after:]
    first = fresh()
    trainer, early, _ = play(first, before, finish=False)
    if early is None:
        saved = [
            (json.loads(json.dumps(state, allow_nan=False)), arrays)
            for state, arrays in first.saved()
        ]
        second = fresh()
        trainer, resumed, why = play(
            second, after, trainer=trainer, first=len(before) + 1, saved=saved
        )
        assert (resumed, why) == (stopped, reason)
        assert trainer.epoch == whole.epoch


def test_every_callback_sees_the_epoch_and_the_first_reason_is_kept():
    seen = []
    callbacks = Callbacks([lambda record: np.bool_(True), seen.append, EarlyStopping(patience=1)])
    assert run(callbacks, [1.0])[2] == "<lambda> returned True"
    assert [record["epoch"] for record in seen] == [1]


def test_an_object_needs_only_one_hook():
    class Ending:
        def on_fit_end(self, trainer, history):
            self.losses = history["loss"]

    class Stopping:
        def on_epoch_end(self, trainer, record):
            return record["epoch"] == 2

    ending = Ending()
    callbacks = Callbacks([ending, Stopping(), Callback()])
    assert run(callbacks, [3.0, 2.0, 1.0])[1:] == (2, "Stopping returned True")
    assert ending.losses == [1.0, 1.0]
    assert callbacks.saved() == [({}, {})] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Callbacks([print, 3]), r"callbacks\[1\] is 3; expected a function"),
        (lambda: Callbacks([EarlyStopping]), r"callbacks\[0\].*pass EarlyStopping\(\.\.\.\)"),
        (lambda: run(Callbacks([lambda r: 0.5]), [1.0]), r"callbacks\[0\] returned 0.5; expected"),
        (
            lambda: run(Callbacks([EarlyStopping()]), [1.0], name="val_los"),
            "watches 'val_loss', .* lacks .did you mean 'val_los'.*pass validation= to fit",
        ),
        (lambda: run(Callbacks([EarlyStopping()]), ["low"]), "which holds text: 'low'"),
        (lambda: run(Callbacks(), [1.0], saved=[({}, {})]), "has 0 entries, the saved run had 1"),
        (lambda: EarlyStopping(patience=0), "patience is 0; expected an integer >= 1"),
        (lambda: EarlyStopping(patience=1.5), "patience is 1.5"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta is -1; expected a finite number >= 0"),
        (lambda: EarlyStopping(min_delta=math.nan), "min_delta is nan"),
        (lambda: EarlyStopping(mode="maximum"), "did you mean 'max'"),
        (lambda: Converged(tolerance="1"), "tolerance is '1'"),
        (lambda: Converged(patience=True), "patience is True"),
        (lambda: TimeBudget(math.inf), "seconds is inf"),
    ],
)
def test_messages(call, message):
    with pytest.raises(InputError, match=message):
        call()
