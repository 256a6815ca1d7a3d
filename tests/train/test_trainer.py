"""The trainer's face: every task, every library, the same run everywhere."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.data.sampler import Sampler
from chainrule.ops.dropout import keep_mask
from chainrule.ops.random import Key, host_key
from chainrule.optim import OPTIMIZERS
from chainrule.train.fit import batch_rows, stage_keys
from libraries import make_backend
from train.problems import (
    assert_close,
    assert_same,
    blobs,
    classifier,
    host_params,
    make_trainer,
    plane,
)

X, Y = blobs(90)
PX, PY = plane(80)


def test_classification():
    trainer = make_trainer()
    history = trainer.fit(X, Y, epochs=30, validation=0.2)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.8
    scores = trainer.evaluate(X, Y)
    assert list(scores) == ["loss", "accuracy"]
    labels, probs = trainer.predict_labels(X), trainer.predict_proba(X)
    assert scores["accuracy"] == np.mean(labels == Y)
    assert labels.dtype == np.int64
    assert probs.shape == trainer.predict(X).shape == (90, 3)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    np.testing.assert_array_equal(probs.argmax(axis=1), labels)
    expected = -np.mean(np.log(probs[np.arange(90), Y]))
    assert scores["loss"] == pytest.approx(expected, rel=1e-12)


def test_targets_given_as_probabilities():
    soft = np.eye(3)[Y] * 0.9 + 0.1 / 3
    trainer = make_trainer()
    trainer.fit(X, soft, epochs=30)
    assert trainer.evaluate(X, soft)["accuracy"] == np.mean(trainer.predict_labels(X) == Y) > 0.8


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_yes_or_no(shape):
    y = (Y == 1).astype(int)
    trainer = make_trainer(classifier(1), "sigmoid_cross_entropy")
    history = trainer.fit(X, y.reshape(shape), epochs=30, validation=0.2, balanced=True)
    assert history["val_accuracy"][-1] > 0.8
    labels, probs = trainer.predict_labels(X), trainer.predict_proba(X)
    assert labels.shape == (90,)
    assert probs.shape == (90, 2)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    np.testing.assert_array_equal(probs[:, 1] > 0.5, labels == 1)
    assert trainer.evaluate(X, y.reshape(shape))["accuracy"] == np.mean(labels == y)


def test_several_yes_or_no():
    y = np.stack([Y == 0, Y > 0, X[:, 0] > 0], axis=1)
    trainer = make_trainer(classifier(3), "sigmoid_cross_entropy")
    trainer.fit(X, y, epochs=30)
    labels = trainer.predict_labels(X)
    assert labels.shape == trainer.predict_proba(X).shape == (90, 3)
    assert trainer.evaluate(X, y)["accuracy"] == pytest.approx(np.mean(labels == y))
    assert np.mean(labels == y) > 0.8


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_regression_of_several_outputs(loss):
    trainer = make_trainer(cr.Sequential(cr.Dense(8), cr.Tanh(), cr.Dense(2)), loss)
    trainer.fit(PX, PY, epochs=150)
    scores = trainer.evaluate(PX, PY)
    assert list(scores) == ["loss", "r2", "mae"]
    assert scores["r2"] > 0.9
    assert scores["mae"] == pytest.approx(np.mean(np.abs(trainer.predict(PX) - PY)))
    for verb in (trainer.predict_labels, trainer.predict_proba):
        with pytest.raises(cr.InputError, match=f"^loss='{loss}' is for numbers: .*; use predict$"):
            verb(PX)


def test_own_arrays_in_own_arrays_out(backend32):
    trainer = make_trainer(backend=backend32)
    x = backend32.asarray(X.astype(np.float32))
    y = backend32.asarray(Y, "index")
    weight = backend32.asarray(np.ones(90, np.float32))
    trainer.fit(x, y, epochs=2, sample_weight=weight, validation=0.2, batch_size=36)
    for given in (x, X, X.tolist()):
        for found in (trainer.predict(given), trainer.predict_proba(given)):
            assert backend32.owns(found) is backend32.owns(given) or backend32.name == "numpy"
            assert isinstance(found, np.ndarray) or backend32.owns(given)
            assert tuple(found.shape) == (90, 3)
    assert isinstance(trainer.predict_labels(x), np.ndarray)
    assert trainer.evaluate(x, y) == pytest.approx(trainer.evaluate(X, Y), rel=1e-6)
    np.testing.assert_allclose(
        backend32.to_numpy(trainer.predict(x)), trainer.predict(X), rtol=1e-6
    )
    assert all(backend32.owns(leaf) for leaf in tree.leaves(trainer.params))
    assert trainer.predict(X[:0]).shape == (0, 3)


def test_the_same_run_on_every_library(backend64):
    net = cr.Sequential(
        cr.Dense(8, use_bias=False), cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.3), cr.Dense(3)
    )
    runs = []
    for backend in (make_backend("numpy", "float64"), backend64):
        trainer = make_trainer(net, backend=backend)
        trainer.build((4,))
        before = host_params(trainer)
        history = trainer.fit(X, Y, epochs=3, batch_size=16, validation=0.2)
        runs.append((before, host_params(trainer), history))
    assert_same(runs[0][0], runs[1][0])
    assert_close(runs[0][1], runs[1][1], 1e-10)
    for name in ("loss", "val_loss", "val_accuracy", "learning_rate", "step"):
        np.testing.assert_allclose(runs[0][2][name], runs[1][2][name], rtol=1e-11)
    if backend64.name == "numpy":
        assert_same(runs[0][1], runs[1][1])
        assert runs[0][2]["loss"] == runs[1][2]["loss"]


def test_batches_and_masks_are_the_same_bits_on_every_library(backend32):
    host = Sampler(50, 16, seed=3).order(2)
    keys = stage_keys(backend32, 3, range(7, 9))
    for number in range(4):
        rows = backend32.to_numpy(
            backend32.stage(batch_rows(host, number, number + 1, 16), "index")
        )
        np.testing.assert_array_equal(rows[0], host[number * 16 : (number + 1) * 16])
    for place, step in enumerate((7, 8)):
        key = backend32.xp.asarray(keys[place, ...])
        mask = keep_mask(backend32.xp, Key(key, "dropout.1"), (5, 7), 0.3)
        expected = keep_mask(np, Key(host_key(3, step), "dropout.1"), (5, 7), 0.3)
        np.testing.assert_array_equal(backend32.to_numpy(mask), expected)


def test_a_seed_decides_everything():
    net = classifier(3, cr.ReLU(), cr.Dropout(0.5))
    runs = []
    for seed in (7, 7, 8):
        trainer = make_trainer(net, seed=seed)
        trainer.fit(X, Y, epochs=2)
        runs.append(host_params(trainer))
    assert_same(runs[0], runs[1])
    assert not np.array_equal(runs[0]["params.0.weight"], runs[2]["params.0.weight"])


def test_a_second_fit_goes_on():
    one, other = make_trainer(), make_trainer()
    one.fit(X, Y, epochs=2)
    first = one.history["loss"]
    history = one.fit(X, Y, epochs=3)
    whole = other.fit(X, Y, epochs=5)
    assert history is one.history
    assert history["loss"][:2] == first
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert history["loss"] == whole["loss"]
    assert_same(host_params(one), host_params(other))


def test_the_parameters_are_a_copy():
    trainer = make_trainer()
    assert trainer.params == {}
    trainer.fit(X, Y, epochs=1)
    before = trainer.predict(X)
    trainer.params["0"]["weight"][...] = 0.0
    np.testing.assert_array_equal(trainer.predict(X), before)


def test_snapshot_and_restore():
    trainer = make_trainer(classifier(3, cr.BatchNorm()))
    trainer.fit(X, Y, epochs=1)
    before, snapshot = host_params(trainer), trainer.snapshot()
    trainer.fit(X, Y, epochs=1)
    assert not np.array_equal(host_params(trainer)["running.1.mean"], before["running.1.mean"])
    for _ in range(2):  # it can be put back more than once
        trainer.restore(snapshot)
        assert_same(host_params(trainer), before)
        trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers_by_name(name):
    trainer = cr.Trainer(classifier(), "softmax_cross_entropy", name, seed=1)
    history = trainer.fit(X, Y, epochs=2)
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"optimizer": "adm"},
            r"^optimizer='adm' is unknown \(did you mean 'adam'\?\); expected on",
        ),
        (
            {"loss": "softmax_entropy"},
            r"^loss='softmax_entropy' is unknown \(did you mean 'softmax_cross_entropy'\?\)",
        ),
        ({"backend": "nunpy"}, r"^backend='nunpy' is unknown \(did you mean 'numpy'\?\)"),
        ({"dtype": "float23"}, r"^dtype='float23' is unknown \(did you mean 'float32'\?\)"),
        (
            {"optimizer": cr.sgd},
            r"^optimizer=<class .*: expected an object or .*; pass sgd\(\.\.\.\)",
        ),
        ({"loss": 3}, "^loss=3: expected an object or one of absolute_error, huber"),
        (
            {"model": cr.Dense},
            r"^model=<class .*: expected a layer, such as Sequential\(Dense\(10\)\)",
        ),
        ({"model": None}, "^model=None: expected a layer"),
        ({"seed": -1}, "^seed=-1: expected an integer from 0 to"),
        ({"l1": -1.0}, r"^l1=-1\.0: expected a finite number of at least 0$"),
        ({"l2": float("nan")}, "^l2=nan: expected a finite number"),
        ({"l2": True}, "^l2=True: expected"),
        ({"clip_norm": 0}, "^clip_norm=0: expected a positive finite number$"),
        ({"clip_value": "1"}, "^clip_value='1': expected a positive finite number$"),
        (
            {"model": cr.Sequential(cr.Dense(2), cr.Softmax())},
            r"^the network ends with Softmax\(\), but softmax_cross_entropy takes logits",
        ),
        (
            {"model": cr.Sequential(cr.Dropout(0.1)), "optimizer": "lbfgs"},
            "^optimizer=lbfgs cannot",
        ),
        (
            {"optimizer": "lbfgs", "clip_norm": 1.0},
            "^optimizer=lbfgs cannot be used with clip_norm",
        ),
        ({"optimizer": "lbfgs", "clip_value": 1.0}, "^optimizer=lbfgs .* clip_value; try adam$"),
        ({"optimizer": "lbfgs", "dtype": "float16"}, "^optimizer=lbfgs .* dtype='float16'"),
    ],
)
def test_settings_that_cannot_be_used(settings, match):
    chosen = {"model": classifier(), "loss": "softmax_cross_entropy"} | settings
    with pytest.raises(cr.InputError, match=match) as caught:
        cr.Trainer(**chosen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: cr.adam(float("nan")), "^lr=nan: expected a positive finite number"),
        (lambda: cr.sgd(-0.1), r"^lr=-0\.1: expected"),
        (lambda: cr.adam(1e-3, b1=1), r"^b1=1: expected a number in \[0, 1\)"),
        (lambda: cr.sgd(0.1, momentum=1.0), r"^momentum=1\.0: expected a number in \[0, 1\)"),
    ],
)
def test_ranges_of_the_optimizers(make, match):
    with pytest.raises(cr.InputError, match=match):
        make()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"epochs": 0}, "^epochs=0: expected a positive integer$"),
        ({"epochs": 2.0}, r"^epochs=2\.0: expected a positive integer$"),
        ({"batch_size": 0}, "^batch_size=0: expected a positive integer$"),
        ({"batch_size": -4}, "^batch_size=-4: expected"),
        ({"batch_size": 3.0}, r"^batch_size=3\.0: expected"),
        ({"callbacks": [3]}, r"^callbacks\[0\] is 3; expected a function"),
        ({"callbacks": 3}, "^callbacks=3: expected a list of them$"),
        ({"callbacks": cr.Converged()}, r"^callbacks=Converged\(.*: expected a list of them$"),
        ({"callbacks": print}, "^callbacks=<built-in function print>: expected a list"),
        (
            {"progress": "loud"},
            "^progress='loud' is unknown; expected one of auto, bar, lines, off",
        ),
        ({"resume": True}, "^resume and checkpoint_every need checkpoint=, the run folder$"),
        ({"checkpoint_every": 5}, "^resume and checkpoint_every need checkpoint="),
        ({"balanced": True, "shuffle": False}, "^balanced sampling draws rows at random"),
    ],
)
def test_settings_of_fit_that_cannot_be_used(settings, match):
    with pytest.raises(cr.InputError, match=match):
        make_trainer().fit(X, Y, **settings)


def test_settings_of_numpy_are_taken():
    trainer = make_trainer(seed=np.int64(3), l2=np.float32(0.5), clip_norm=np.int32(1))
    trainer.fit(X, Y, epochs=np.int64(2), batch_size=np.int32(16), accumulate=np.int8(2))
    trainer.fit(X, Y, epochs=1, validation=np.float32(0.25))
    assert trainer.history["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("device", ["device1", "no_x64", "no_float64"])
def test_everything_stays_on_the_device(device):
    net = cr.Sequential(cr.Flatten(), cr.Dense(8), cr.BatchNorm(), cr.Dropout(0.2), cr.Dense(3))
    loss = cr.softmax_cross_entropy(0.1, class_weight=(1, 2, 3))
    backend = make_backend(f"strict:{device}")
    trainer = make_trainer(net, loss, backend=backend, l1=1e-3, clip_norm=1.0, clip_value=1.0)
    plain = make_trainer(net, loss, dtype="float32", l1=1e-3, clip_norm=1.0, clip_value=1.0)
    stopping = cr.EarlyStopping(patience=9)
    settings = {"epochs": 3, "batch_size": 12, "validation": 0.2, "accumulate": 2, "balanced": True}
    history = trainer.fit(X, Y, callbacks=[stopping], **settings)
    assert history["loss"] == plain.fit(X, Y, **settings)["loss"]
    assert {str(leaf.device) for leaf in tree.leaves(trainer.state)} == {
        f"array_api_strict.Device('{device}')"
    }


def test_a_batch_larger_than_the_data_is_one_batch_and_a_warning():
    with pytest.warns(UserWarning, match="^batch_size=91 is more than the 90 rows") as caught:
        one = make_trainer().fit(X, Y, epochs=2, batch_size=91)
    assert caught[0].filename == __file__
    assert one["loss"] == make_trainer().fit(X, Y, epochs=2, batch_size=None)["loss"]
    assert one.step == 2


@pytest.mark.parametrize(
    ("rows", "batch_size", "accumulate", "refused"),
    [(9, 4, 1, True), (9, 4, 2, True), (9, 1, 4, True), (9, None, 1, False), (8, 4, 1, False),
     (1, None, 1, True), (13, 4, 3, True), (14, 4, 3, False)],
)  # fmt: skip
def test_batch_norm_and_a_batch_of_one(rows, batch_size, accumulate, refused):
    trainer = make_trainer(classifier(3, cr.BatchNorm()))
    settings = {"epochs": 1, "batch_size": batch_size, "accumulate": accumulate}
    if not refused:
        trainer.fit(X[:rows], Y[:rows], **settings)
        return
    match = rf"^batch_size=\d+ leaves a batch of one of the {rows} rows, from which BatchNorm takes"
    with pytest.raises(cr.InputError, match=match):
        trainer.fit(X[:rows], Y[:rows], **settings)
    if rows == 9 and accumulate == 1:
        trainer.fit(X[:rows], Y[:rows], drop_last=True, **settings)


def test_nothing_can_be_asked_of_an_empty_trainer(tmp_path):
    trainer = make_trainer()
    for verb, call in {
        "predict": lambda: trainer.predict(X),
        "predict_proba": lambda: trainer.predict_proba(X),
        "predict_labels": lambda: trainer.predict_labels(X),
        "evaluate": lambda: trainer.evaluate(X, Y),
        "save": lambda: trainer.save(tmp_path),
    }.items():
        with pytest.raises(
            cr.InputError, match=f"^{verb}: the network has no parameters yet; call"
        ):
            call()
    with pytest.raises(
        cr.InputError, match=r"^model=Sequential\(Flatten\(\)\) has no parameters to"
    ):
        make_trainer(cr.Sequential(cr.Flatten())).fit(X, Y)


def test_balanced_needs_labels():
    for net, loss, y in (
        (classifier(2), "squared_error", X[:, :2]),
        (classifier(3), "softmax_cross_entropy", np.eye(3)[Y]),
        (classifier(1), "sigmoid_cross_entropy", np.full(90, 0.5)),
    ):
        with pytest.raises(
            cr.InputError, match=r"^balanced=True needs labels: y of shape \(rows,\)$"
        ):
            make_trainer(net, loss).fit(X, y, balanced=True)


def test_balanced_counts_every_class_as_often():
    y = np.repeat([0, 1, 2], [70, 15, 5])
    seen = []

    class Spy(cr.Tanh):
        def forward(self, xp, params, x):
            seen.append(x)
            return super().forward(xp, params, x)

    x = np.eye(3)[y] + np.zeros((90, 3))
    make_trainer(cr.Sequential(Spy(), cr.Dense(3))).fit(x, y, epochs=1, balanced=True)
    np.testing.assert_array_equal(np.concatenate(seen).sum(axis=0), [30, 30, 30])


def test_repr_says_where_and_how():
    text = repr(make_trainer(cr.Sequential(cr.Dense(2)), optimizer=cr.sgd(0.1)))
    assert text == (
        "Trainer(Sequential(Dense(2)), loss=SoftmaxCrossEntropy(label_smoothing=0.0, "
        "class_weight=None), optimizer=SGD(lr=0.1, momentum=0.0, nesterov=False), "
        "backend='numpy:cpu', dtype='float64', seed=7)"
    )


def test_auto_says_what_it_chose(capsys):
    trainer = cr.Trainer(cr.Dense(1), loss="huber", backend="auto")
    assert capsys.readouterr().err.startswith(f"chainrule: auto chose {trainer.backend.name}")
    cr.Trainer(cr.Dense(1), loss="huber", backend="numpy")
    assert capsys.readouterr().err == ""
