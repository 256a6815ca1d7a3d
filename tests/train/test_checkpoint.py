"""Exact resume: a run that was killed and one that was not end with the same bits."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.train import files
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import listed
from chainrule.train.files import read_arrays, write_arrays
from chainrule.train.state import host_state
from libraries import make_backend
from train.problems import assert_same, blobs, classifier, make_trainer

X, Y = blobs(90)
HELD = blobs(30, seed=1)
NET = cr.Sequential(
    cr.Dense(8, use_bias=False), cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.3), cr.Dense(3)
)
TIMES = ("seconds", "samples_per_second")


class Killed(BaseException):
    """Neither an Exception nor caught by anything."""


class Kill(Callback):
    """Ends the process, so to say, after an update; does nothing without one."""

    def __init__(self, step=None, at_epoch=None):
        self.step, self.at_epoch = step, at_epoch

    def steps_until(self, step):
        return None if self.step is None else self.step - step if step < self.step else None

    def on_steps_end(self, trainer, losses):
        if trainer.position.step == self.step:
            raise Killed

    def on_epoch_end(self, trainer, record):
        if record["epoch"] == self.at_epoch:
            raise Killed


def fit(trainer, folder=None, kill=None, **settings):
    """Fit for 8 epochs of 6 updates with everything that has a memory."""
    chosen = {"epochs": 8, "batch_size": 16, "validation": HELD} | settings
    watchers = [cr.EarlyStopping(patience=100), cr.Converged(patience=100), kill or Kill()]
    trainer.fit(X, Y, callbacks=watchers, checkpoint=folder, **chosen)
    return trainer


def trainer_of(optimizer, backend="numpy", dtype="float64"):
    return make_trainer(NET, optimizer=optimizer, backend=make_backend(backend, dtype))


def records(trainer):
    plain = [dict(record) for record in trainer.history]
    return [{k: v for k, v in record.items() if k not in TIMES} for record in plain]


def check_resumed(whole, resumed):
    assert records(resumed) == records(whole)
    assert_same(host_state(resumed), host_state(whole))
    assert resumed.plateau == whole.plateau
    assert resumed.position.step == whole.position.step == 48


@pytest.mark.parametrize(
    ("every", "kill"),
    [(7, 20), (6, 18), (1, 3), (4, 47), (5, 48)],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize(
    "optimizer",
    [
        cr.sgd(cr.on_plateau(0.5, patience=0), momentum=0.9),
        cr.adam(cr.warmup(cr.cosine(0.05, steps=40), steps=5)),
    ],
    ids=["plateau", "cosine"],
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, optimizer, every, kill):
    whole = fit(trainer_of(optimizer))
    with pytest.raises(Killed):
        fit(trainer_of(optimizer), tmp_path, Kill(kill), checkpoint_every=every)
    left = [path.name for path in listed(tmp_path)]
    before = (kill - 1) // every * every
    assert left == [f"step-{step:09d}.safetensors" for step in (before - every, before) if step > 0]
    resumed = fit(trainer_of(optimizer), tmp_path, checkpoint_every=every, resume=True)
    check_resumed(whole, resumed)


@pytest.mark.parametrize("library", ["torch", "jax", "strict"])
def test_it_resumes_on_every_library(tmp_path, library):
    optimizer = cr.nadam(cr.exponential(0.05, factor=0.99))

    def run(*arguments, **settings):
        trainer = trainer_of(optimizer, library, "float32")
        return fit(trainer, *arguments, batch_size=15, **settings)

    whole = run()
    with pytest.raises(Killed):
        run(tmp_path, Kill(22), checkpoint_every=10)
    check_resumed(whole, run(tmp_path, resume=True))


def test_it_resumes_more_than_once_and_after_the_end(tmp_path):
    optimizer = cr.adam(0.05)
    whole = fit(trainer_of(optimizer))
    for kill in (9, 25, 40):
        with pytest.raises(Killed):
            fit(
                trainer_of(optimizer),
                tmp_path,
                Kill(kill),
                checkpoint_every=5,
                resume=kill > 9,
            )
    check_resumed(whole, fit(trainer_of(optimizer), tmp_path, resume=True))
    check_resumed(whole, fit(trainer_of(optimizer), tmp_path, resume=True))
    longer = fit(trainer_of(optimizer), tmp_path, resume=True, epochs=9)
    assert longer.history["epoch"] == list(range(1, 10))


def test_it_resumes_from_between_epochs(tmp_path):
    whole = fit(trainer_of(cr.adam(0.05)))
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam(0.05)), tmp_path, Kill(at_epoch=4), checkpoint_every=6)
    resumed = fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True)
    check_resumed(whole, resumed)


def test_early_stopping_stops_where_it_would_have(tmp_path):
    def run(folder=None, kill=None, **settings):
        trainer = make_trainer(NET, optimizer=cr.adam(0.3))
        watchers = [cr.EarlyStopping(patience=4), kill or Kill()]
        held = (HELD[0], np.random.default_rng(5).permutation(HELD[1]))
        trainer.fit(
            X, Y, epochs=60, batch_size=16, validation=held, callbacks=watchers, checkpoint=folder,
            **settings,
        )  # fmt: skip
        return trainer

    whole = run()
    assert 4 < len(whole.history) < 60
    with pytest.raises(Killed):
        run(tmp_path, Kill(at_epoch=len(whole.history) - 2), checkpoint_every=7)
    resumed = run(tmp_path, resume=True)
    assert records(resumed) == records(whole)
    assert resumed.stopped == whole.stopped
    assert_same(host_state(resumed), host_state(whole))


def test_lbfgs_resumes(tmp_path):
    def run(folder=None, kill=None, **settings):
        trainer = make_trainer(classifier(3, cr.BatchNorm()), optimizer="lbfgs", l2=0.01)
        trainer.fit(X, Y, epochs=12, callbacks=[kill or Kill()], checkpoint=folder, **settings)
        return trainer

    whole = run()
    with pytest.raises(Killed):
        run(tmp_path, Kill(at_epoch=8), checkpoint_every=3)
    assert listed(tmp_path)[-1].name == "step-000000006.safetensors"
    resumed = run(tmp_path, resume=True)
    assert records(resumed) == records(whole)
    assert_same(host_state(resumed), host_state(whole))


def test_float16_resumes_within_an_epoch_of_skipped_steps(tmp_path):
    def run(folder=None, kill=None, **settings):
        trainer = make_trainer(classifier(3, cr.ReLU()), dtype="float16", optimizer=cr.adam(0.05))
        trainer.fit(
            X * 8, Y, epochs=4, batch_size=16, callbacks=[kill or Kill()], checkpoint=folder,
            **settings,
        )  # fmt: skip
        return trainer

    whole = run()
    assert whole.history["skipped_steps"][0] > 0
    with pytest.raises(Killed):
        run(tmp_path, Kill(5), checkpoint_every=4)
    resumed = run(tmp_path, resume=True)
    assert records(resumed) == records(whole)
    assert_same(host_state(resumed), host_state(whole))


def test_time_goes_on_where_it_was(tmp_path):
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam()), tmp_path, Kill(5), checkpoint_every=4)
    position = json.loads(read_arrays(listed(tmp_path)[-1])[1]["chainrule"])["progress"]["position"]
    assert position["epoch"] == 0
    resumed = fit(trainer_of(cr.adam()), tmp_path, resume=True)
    assert resumed.history["seconds"] == sorted(resumed.history["seconds"])
    assert resumed.history["seconds"][0] > position["seconds"] > 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"batch_size": 8}, "batch_size"),
        ({"accumulate": 2}, "accumulate"),
        ({"shuffle": False}, "shuffle"),
        ({"drop_last": True}, "drop_last"),
        ({"balanced": True}, "balanced"),
        ({"validation": (X, Y)}, "validation"),
        ({"sample_weight": np.ones(90)}, "data"),
        ({"trainer": make_trainer(NET, seed=8, optimizer=cr.adam(0.05))}, "seed"),
        ({"trainer": trainer_of(cr.adam(0.05), dtype="float32")}, "dtype"),
        ({"trainer": trainer_of(cr.adam(0.05), "strict")}, "backend"),
        ({"trainer": trainer_of(cr.adam(0.06))}, "optimizer"),
        ({"trainer": make_trainer(NET, optimizer=cr.adam(0.05), l2=0.1)}, "penalties"),
        ({"trainer": make_trainer(NET, cr.softmax_cross_entropy(0.1))}, "loss"),
        ({"trainer": make_trainer(classifier(), optimizer=cr.adam(0.05))}, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_setting_is_refused_unless_it_is_named(tmp_path, settings, name):
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam(0.05)), tmp_path, Kill(8), checkpoint_every=4)
    trainer = settings.pop("trainer", None) or trainer_of(cr.adam(0.05))
    match = (
        rf": the run was started with {name}=.*, now {name}=.*; resume with the same, pass allow_"
    )
    with pytest.raises(cr.InputError, match=match) as caught:
        fit(trainer, tmp_path, resume=True, **settings)
    assert str(listed(tmp_path)[-1]) in str(caught.value)
    if name in ("model", "loss"):
        return
    allowed = [name, "optimizer"]
    went_on = fit(trainer, tmp_path, resume=True, allow_changed=allowed, **settings)
    assert went_on.history["epoch"] == list(range(1, 9))


def test_other_data_is_refused(tmp_path):
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam(0.05)), tmp_path, Kill(8), checkpoint_every=4)
    other = X.copy()
    other[50, 2] += 1e-3
    watchers = [cr.EarlyStopping(patience=100), cr.Converged(patience=100), Kill()]
    for x, y, name in ((other, Y, "data"), (X, Y[::-1], "data"), (X[:80], Y[:80], "rows")):
        with pytest.raises(cr.InputError, match=rf"the run was started with {name}=.*, now"):
            trainer_of(cr.adam(0.05)).fit(
                x, y, epochs=8, batch_size=16, validation=HELD, callbacks=watchers,
                checkpoint=tmp_path, resume=True,
            )  # fmt: skip


def test_another_batch_size_begins_the_epoch_anew(tmp_path):
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam(0.05)), tmp_path, Kill(9), checkpoint_every=8)
    trainer = fit(
        trainer_of(cr.adam(0.05)),
        tmp_path,
        resume=True,
        batch_size=30,
        allow_changed=["batch_size"],
    )
    assert trainer.history["step"] == [6, 11, 14, 17, 20, 23, 26, 29]


def test_what_cannot_be_resumed(tmp_path):
    with pytest.raises(
        cr.InputError, match=r"^resume=True, but .*checkpoints holds no checkpoint$"
    ):
        fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True)
    fit(trainer_of(cr.adam(0.05)), tmp_path, epochs=1)
    with pytest.raises(
        cr.InputError, match=r"^allow_changed names 'batchsize'; expected any of rows"
    ):
        fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True, allow_changed=["batchsize"])
    with pytest.raises(
        cr.InputError, match=r"^callbacks has 1 entries, the saved run had 3; resume"
    ):
        trainer_of(cr.adam(0.05)).fit(
            X, Y, epochs=2, batch_size=16, validation=HELD, callbacks=[Kill()], checkpoint=tmp_path,
            resume=True,
        )  # fmt: skip
    with pytest.raises(cr.InputError, match=r"^checkpoint_every=0: expected a positive integer$"):
        fit(trainer_of(cr.adam(0.05)), tmp_path, checkpoint_every=0)


def test_a_new_run_leaves_an_earlier_ones_checkpoints_alone(tmp_path):
    first = fit(trainer_of(cr.adam(0.05)), tmp_path)
    path = listed(tmp_path)[-1]
    before = path.read_bytes()
    match = (
        r"holds an earlier run's checkpoints, up to step-000000048\.safetensors; pass resume=True"
    )
    with pytest.raises(cr.InputError, match=match):
        fit(trainer_of(cr.adam(0.05)), tmp_path)
    assert path.read_bytes() == before
    fit(first, tmp_path, epochs=1)
    assert listed(tmp_path)[-1].name == "step-000000054.safetensors"


def test_a_broken_checkpoint_names_the_one_before(tmp_path):
    whole = fit(trainer_of(cr.adam(0.05)), tmp_path, checkpoint_every=20)
    older, newest = listed(tmp_path)
    content = newest.read_bytes()
    for broken in (content[:100], content[:-1], b""):
        newest.write_bytes(broken)
        match = rf"{newest.name}: not a whole .* file \(.*; remove it to resume from {older.name}$"
        with pytest.raises(cr.DataError, match=match):
            fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True)
    newest.unlink()
    check_resumed(whole, fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True))


@pytest.mark.parametrize(
    ("about", "match"),
    [
        (None, "not a chainrule checkpoint; there is none before it$"),
        ("{", "not a chainrule checkpoint"),
        ("[]", "not a chainrule checkpoint"),
        ('{"format": 1}', "not a chainrule checkpoint"),
        (
            '{"format": 2, "settings": {}, "progress": {}, "callbacks": []}',
            "checkpoint format 2, this chainrule reads 1; there is none before it$",
        ),
    ],
)
def test_what_is_no_checkpoint(tmp_path, about, match):
    fit(trainer_of(cr.adam(0.05)), tmp_path, epochs=1)
    path = listed(tmp_path)[-1]
    write_arrays(path, read_arrays(path)[0], about and {"chainrule": about})
    with pytest.raises(cr.DataError, match=match):
        fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True)


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        fit(trainer_of(cr.adam(0.05)), tmp_path, Kill(8), checkpoint_every=4)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fit(trainer_of(cr.adam(0.05)), tmp_path, resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before


def test_divergence_names_the_last_good_checkpoint_and_saves_no_nan(tmp_path):
    trainer = make_trainer(cr.Dense(1), "squared_error", optimizer=cr.sgd(1e4))
    match = r"; the last good checkpoint is .*step-\d+\.safetensors$"
    with pytest.raises(cr.TrainingError, match=match) as caught:
        trainer.fit(X, Y * 1.0, epochs=500, batch_size=45, checkpoint=tmp_path, checkpoint_every=1)
    assert str(caught.value).endswith(str(listed(tmp_path)[-1]))
    for path in listed(tmp_path):
        assert all(np.isfinite(array).all() for array in read_arrays(path)[0].values())


def test_what_the_last_update_spoilt_is_not_saved(tmp_path):
    """The loss before the update was finite; the parameters after it are not."""
    trainer = make_trainer(cr.Dense(1), "absolute_error", optimizer=cr.sgd(1e-300))
    trainer.fit(X, Y * 1.0, epochs=1, batch_size=None, checkpoint=tmp_path, checkpoint_every=1)
    (good,) = listed(tmp_path)
    spoilt = make_trainer(cr.Dense(1), "absolute_error", optimizer=cr.sgd(1e200))
    match = (
        rf"^the parameters were no longer finite after step 2, .* last good checkpoint is {good}$"
    )
    with pytest.raises(cr.TrainingError, match=match):
        spoilt.fit(
            X * 1e150, Y * 1.0, epochs=2, batch_size=None, checkpoint=tmp_path, resume=True,
            checkpoint_every=1, allow_changed=["data", "optimizer"],
        )  # fmt: skip
    assert listed(tmp_path) == [good]


def test_files_of_other_names_are_left_alone(tmp_path):
    fit(trainer_of(cr.adam(0.05)), tmp_path)
    mine = tmp_path / "checkpoints" / "step-best.safetensors"
    mine.write_bytes(b"mine")
    for epochs in (7, 8):
        trainer = trainer_of(cr.adam(0.05))
        fit(trainer, tmp_path, resume=True, epochs=epochs)
    assert mine.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = make_trainer(backend=make_backend("numpy", "float64"))
    with pytest.raises(cr.InputError, match=r"^checkpoint='.*run': .*; choose another$"):
        trainer.fit(*blobs(), epochs=1, progress="off", checkpoint=tmp_path / "file" / "run")
