"""Compiled training: repeatable, resumable, interruptible, and leaving what it is given alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.errors import InputError
from train.fits import FIT, LOOSE, SETTINGS, whole_state
from train.problems import assert_close, assert_same, blobs, classifier, make_trainer, plane

pytest.importorskip("llvmlite")

from chainrule.backends.native import advice, machine


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


def fitted(compiled: Any = True, **settings: Any) -> Any:
    fit = {name: settings.pop(name) for name in list(settings) if name in FIT}
    x, y = blobs()
    trainer = make_trainer(compile=compiled, **settings)
    trainer.fit(x, y, **{"epochs": 3, "batch_size": 16, "progress": "off"} | fit)
    assert trainer.compiled is compiled
    return trainer


@pytest.mark.parametrize("case", SETTINGS)
def test_compiled_fits_follow_eager_ones(case: str) -> None:
    settings = SETTINGS[case]
    one, other = (fitted(compiled, **settings) for compiled in (True, False))
    tolerance = LOOSE.get(settings.get("dtype", ""), 1e-9)
    assert_close(whole_state(one), whole_state(other), tolerance)
    assert one.position.step == other.position.step
    for mine, theirs in zip(one.history.records, other.history.records, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=max(tolerance, 1e-9))
        assert mine["learning_rate"] == theirs["learning_rate"]


@pytest.mark.parametrize("case", SETTINGS)
def test_two_compiled_fits_agree_bit_for_bit(case: str) -> None:
    one, other = (fitted(**SETTINGS[case]) for _ in range(2))
    assert_same(whole_state(one), whole_state(other))
    losses = [[record["loss"] for record in t.history.records] for t in (one, other)]
    assert losses[0] == losses[1]


def test_two_fits_are_one_longer_fit() -> None:
    x, y = blobs()
    one, other = make_trainer(compile=True), make_trainer(compile=True)
    one.fit(x, y, epochs=4, progress="off")
    for _ in range(2):
        other.fit(x, y, epochs=2, progress="off")
    assert_same(whole_state(one), whole_state(other))


@pytest.mark.parametrize("case", ["plain", "tail", "accumulated", "dropout", "float16"])
def test_a_resumed_run_equals_the_uninterrupted_bit_for_bit(case: str, tmp_path: Path) -> None:
    settings = dict(SETTINGS[case])
    fit = {"batch_size": 16, "progress": "off"}
    fit |= {name: settings.pop(name) for name in list(settings) if name in FIT}
    x, y = blobs()
    straight = make_trainer(compile=True, **settings)
    straight.fit(x, y, epochs=4, **fit)
    path = tmp_path / "run"
    stopper = make_trainer(compile=True, **settings)

    class Stop(cr.Callback):
        def steps_until(self, step: int) -> int | None:
            return 1

        def on_steps_end(self, trainer: Any, losses: Any) -> bool | None:
            return trainer.position.step == 5

    stopper.fit(x, y, epochs=4, checkpoint=path, checkpoint_every=2, callbacks=[Stop()], **fit)
    assert stopper.position.step == 5 < straight.position.step
    again = make_trainer(compile=True, **settings)
    again.fit(x, y, epochs=4, checkpoint=path, resume=True, callbacks=[Stop()], **fit)
    assert again.compiled
    assert_same(whole_state(again), whole_state(straight))


def test_auto_resumes_as_the_run_was_begun(tmp_path: Path) -> None:
    x, y = blobs()
    fit: Any = {"progress": "off", "checkpoint": tmp_path / "run"}
    for compiled in (True, False):
        fit["checkpoint"] = tmp_path / f"run {compiled}"
        make_trainer(compile=compiled).fit(x, y, epochs=1, **fit)
        again = make_trainer(compile="auto")
        again.fit(x, y, epochs=2, resume=True, **fit)
        assert again.compiled is compiled


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[::-1][::-1],
        lambda a: a.astype(">f8"),
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    ],
    ids=["columns first", "rows apart", "columns apart", "reversed twice", "big-endian", "odd"],
)
def test_data_of_any_layout_is_taken_and_left_alone(layout: Any) -> None:
    x, y = plane()
    trainers = []
    for change in (np.array, layout):
        own_x, own_y = change(x), change(y)
        for array in (own_x, own_y):
            array.flags.writeable = False
        trainer = make_trainer(classifier(2), "squared_error", compile=True)
        trainer.fit(own_x, own_y, epochs=2, batch_size=16, progress="off")
        np.testing.assert_array_equal(own_x, x)
        np.testing.assert_array_equal(own_y, y)
        trainers.append(trainer)
    assert_same(whole_state(trainers[0]), whole_state(trainers[1]))


@pytest.mark.parametrize("order", ["C", "F"])
def test_data_changed_between_fits_is_read_anew(order: Any) -> None:
    ends = []
    for compiled in (True, False):
        x, y = plane()
        x, y = np.array(x, order=order), np.array(y, order=order)
        trainer = make_trainer(classifier(2), "squared_error", compile=compiled)
        trainer.fit(x, y, epochs=1, progress="off")
        x *= 3.0
        y += 1.0
        trainer.fit(x, y, epochs=1, progress="off")
        ends.append(whole_state(trainer))
    assert_close(ends[0], ends[1], 1e-9)


@pytest.mark.parametrize("kind", ["columns first", "read-only", "one array twice"])
def test_states_of_any_layout_are_taken(kind: str) -> None:
    """What a user puts in the state is copied where it cannot be written over, never shared."""
    ends = []
    for compiled in (True, False):
        x, y = plane()
        trainer = make_trainer(classifier(2), "squared_error", compile=compiled).build((3,))
        given = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 8)))
        if kind != "columns first":
            given = np.ascontiguousarray(given)
        given.flags.writeable = kind != "read-only"
        before = np.array(given)
        trainer.state["params"]["0"]["weight"] = given
        if kind == "one array twice":
            trainer.state["optimizer"]["m"]["0"]["weight"] = given
        trainer.fit(x, y, epochs=1, progress="off")
        if kind == "read-only":
            np.testing.assert_array_equal(given, before)
        ends.append(whole_state(trainer))
    assert_close(ends[0], ends[1], 1e-9)


def test_parameters_asked_for_are_copies() -> None:
    x, y = blobs()
    trainer = make_trainer(compile=True)
    trainer.fit(x, y, epochs=1, progress="off")
    asked = tree.flatten(trainer.params)
    before = {name: np.array(leaf) for name, leaf in asked.items()}
    trainer.fit(x, y, epochs=1, progress="off")
    assert_same(asked, before)


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_leaves_state_and_count_together(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes during the call is raised as soon as Python goes on, before or after."""
    x, y = plane(rows=2000)
    trainer = make_trainer(classifier(2), "squared_error", compile=True)
    trainer.fit(x, y, epochs=1, batch_size=4, progress="off")
    link = machine.linked
    calls = []

    def linked(code: bytes, blas: Any) -> Any:
        entry, library = link(code, blas)

        def interrupted(*arguments: Any) -> None:
            calls.append(arguments[1])
            if len(calls) != 3 or after:
                entry(*arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt

        return interrupted, library

    monkeypatch.setattr(machine, "linked", linked)
    trainer = make_trainer(classifier(2), "squared_error", compile=True)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, epochs=3, batch_size=4, progress="off")
    made = sum(calls) if after else sum(calls[:2])
    assert trainer.position.step == made
    assert float(trainer.state["optimizer"]["step"]) == made
    monkeypatch.undo()
    trainer.fit(x, y, epochs=1, batch_size=4, progress="off")
    assert float(trainer.state["optimizer"]["step"]) == trainer.position.step


@dataclass(frozen=True)
class Custom:
    """A layer that does one thing more."""

    what: str

    def init(self, rng: Any, in_shape: Any) -> Any:
        return {}, in_shape

    def forward(self, xp: Any, params: Any, x: Any) -> Any:
        return EXTRAS[self.what](xp, x), ()

    def backward(self, xp: Any, residuals: Any, dy: Any, *, needs_dx: bool = True) -> Any:
        return {}, dy


def assigned(xp: Any, x: Any) -> Any:
    x = x * 1.0
    x[0] = x[0]
    return x


EXTRAS: dict[str, Any] = {
    "bool()": lambda xp, x: x if xp.sum(x) < 1e9 else -x,
    "float()": lambda xp, x: x * (1.0 + 0.0 * float(xp.sum(x))),
    "mask": lambda xp, x: x + 0.0 * xp.sum(x[x > 0]),
    "assignment": assigned,
    "xp.cumulative_sum": lambda xp, x: x + 0.0 * xp.cumulative_sum(x, axis=0),
    "xp.linalg": lambda xp, x: x + 0.0 * xp.linalg.vector_norm(x),
    "division of integers": lambda xp, x: x + 0.0 * (ones(xp, x) / ones(xp, x)),
    "shl": lambda xp, x: x + 0.0 * xp.astype(ones(xp, x) << ones(xp, x), x.dtype),
    "pow": lambda xp, x: x + 0.0 * xp.astype(ones(xp, x) ** 5, x.dtype),
    "sum": lambda xp, x: x + 0.0 * x.sum(),
    "//": lambda xp, x: x + 0.0 * (x // 2.0),
}


def ones(xp: Any, x: Any) -> Any:
    return xp.astype(x * 0.0 + 1.0, xp.int32)


@pytest.mark.parametrize("what", EXTRAS)
def test_a_layer_that_cannot_be_traced_is_named(what: str) -> None:
    x, y = plane()
    net = cr.Sequential(cr.Dense(4), Custom(what), cr.Dense(2))
    trainer = make_trainer(net, "squared_error", compile=True)
    with pytest.raises(InputError) as caught:
        trainer.fit(x, y, epochs=1, progress="off")
    message = str(caught.value)
    assert "compile=True" in message
    assert f"Custom(what={what!r})" in message
    assert what in message.replace(f"Custom(what={what!r})", "")


@pytest.mark.parametrize("what", EXTRAS)
def test_auto_runs_eagerly_what_cannot_be_traced(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("START", "COMPILE"):
        monkeypatch.setattr(advice, name, 0.0)
    x, y = plane()
    net = cr.Sequential(cr.Dense(4), Custom(what), cr.Dense(2))
    ends = []
    for choice in ("auto", False):
        trainer = make_trainer(net, "squared_error", compile=choice)
        trainer.fit(x, y, epochs=2, progress="off")
        assert not trainer.compiled
        ends.append(whole_state(trainer))
        if choice == "auto":
            assert f"Custom(what={what!r})" in trainer.compile_reason
    assert_same(ends[0], ends[1])


FINE: dict[str, Any] = {
    "float16": lambda xp, x: x + 0.0 * xp.astype(xp.sum(xp.astype(x, xp.float16)), x.dtype),
    "nothing": lambda xp, x: x + xp.sum(x[:0]),
    "numpy's scalar": lambda xp, x: x * np.float64(1.5),
}


@pytest.mark.parametrize("what", FINE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unusual_layers(what: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled or refused, but never wrong."""
    monkeypatch.setitem(EXTRAS, what, FINE[what])
    x, y = plane()
    net = cr.Sequential(cr.Dense(4), Custom(what), cr.Dense(2))
    ends = []
    for choice in (True, False):
        trainer = make_trainer(net, "squared_error", compile=choice, dtype=dtype)
        try:
            trainer.fit(x, y, epochs=1, progress="off")
        except InputError:
            return
        ends.append(whole_state(trainer))
    assert_close(ends[0], ends[1], 1e-5)
