"""Scores outside training: weighted by rows, over any number of them, against metrics by hand."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.train import evaluation
from chainrule.train.metrics import mean_absolute_error, r2
from train.problems import blobs, classifier, make_trainer, plane

X, Y = blobs(60)
PX, PY = plane(60)
WEIGHT = np.random.default_rng(0).random(60)


def test_rows_of_weight_zero_do_not_count():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2)
    weight = np.repeat([0.5, 0.0], 30)
    assert trainer.evaluate(X, Y, sample_weight=weight) == pytest.approx(
        trainer.evaluate(X[:30], Y[:30]), rel=1e-14
    )


def test_weighted_scores_of_labels():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2)
    probs = trainer.predict_proba(X)
    scores = trainer.evaluate(X, Y, sample_weight=WEIGHT)
    rows = -np.log(probs[np.arange(60), Y])
    assert scores["loss"] == pytest.approx(np.average(rows, weights=WEIGHT), rel=1e-12)
    right = probs.argmax(axis=1) == Y
    assert scores["accuracy"] == pytest.approx(np.average(right, weights=WEIGHT), rel=1e-15)


def test_weighted_scores_of_numbers():
    trainer = make_trainer(cr.Dense(2), "huber")
    trainer.fit(PX, PY, epochs=2)
    scores = trainer.evaluate(PX, PY, sample_weight=WEIGHT)
    found = trainer.predict(PX)
    assert scores["r2"] == r2(PY, found, weights=WEIGHT)
    assert scores["mae"] == mean_absolute_error(PY, found, weights=WEIGHT)


def test_weighted_scores_of_several_yes_or_no():
    y = np.stack([Y == 0, Y == 1], axis=1)
    trainer = make_trainer(classifier(2), "sigmoid_cross_entropy")
    trainer.fit(X, y, epochs=2)
    scores = trainer.evaluate(X, y, sample_weight=WEIGHT)
    right = (trainer.predict_labels(X) == y).mean(axis=1)
    assert scores["accuracy"] == pytest.approx(np.average(right, weights=WEIGHT), rel=1e-15)


def test_more_rows_than_fit_at_once(backend32, monkeypatch):
    trainer = make_trainer(classifier(3, cr.BatchNorm()), backend=backend32)
    trainer.fit(X, Y, epochs=1, batch_size=60)
    whole, scores = trainer.predict(X), trainer.evaluate(X, Y)
    monkeypatch.setattr(evaluation, "ROWS", 25)
    np.testing.assert_allclose(trainer.predict(X), whole, rtol=1e-6, atol=1e-6)
    assert trainer.evaluate(X, Y) == pytest.approx(scores, rel=1e-6)


def test_outputs_that_are_not_finite_have_no_scores_but_a_loss():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=1)
    trainer.state["params"]["0"]["bias"][...] = np.nan
    scores = trainer.evaluate(X, Y)
    assert list(scores) == ["loss", "accuracy"]
    assert np.isnan(list(scores.values())).all()
    trainer = make_trainer(cr.Dense(2), "squared_error")
    trainer.fit(PX, PY, epochs=1)
    trainer.state["params"]["bias"][...] = np.inf
    assert np.isnan([trainer.evaluate(PX, PY)[name] for name in ("r2", "mae")]).all()


def test_validation_that_is_not_finite_does_not_stop_the_watchers():
    """Training goes on with rows that are; the epoch's value counts as no improvement."""
    trainer = make_trainer(cr.Dense(2), "squared_error", optimizer=cr.sgd(1e-9))
    held = (np.full((4, 3), 1e200), np.full((4, 2), 1e200))
    stopping = cr.EarlyStopping("val_r2", patience=2)
    history = trainer.fit(PX, PY, epochs=9, validation=held, callbacks=[stopping])
    assert len(history) in (2, 3)
    assert "val_r2" in trainer.stopped


def test_logits_beyond_all_measure_have_a_finite_loss():
    trainer = make_trainer(cr.Dense(3, weight_init=1e30))
    trainer.build((4,))
    scores = trainer.evaluate(X, Y)
    assert np.isfinite(scores["loss"])
    binary = make_trainer(cr.Dense(1, weight_init=-1e30), "sigmoid_cross_entropy")
    binary.build((4,))
    assert np.isfinite(binary.evaluate(X, Y > 0)["loss"])
    assert np.isfinite(binary.predict_proba(X)).all()
