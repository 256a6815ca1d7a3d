"""Splits: disjoint, of the right size, stratified within one, every class on both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.splitting import split
from chainrule.errors import InputError

fractions = st.floats(0.001, 0.999)
seeds = st.integers(0, 2**32 - 1)


def check_parts(rows, train, held):
    assert len(train)
    assert len(held)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(rows))
    for part in (train, held):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


@given(st.integers(2, 300), fractions, seeds)
def test_a_split_is_a_partition_of_the_right_size(rows, fraction, seed):
    train, held = split(rows, fraction, seed=seed)
    check_parts(rows, train, held)
    assert len(held) == min(max(round(rows * fraction), 1), rows - 1)
    again = split(rows, fraction, seed=seed)
    np.testing.assert_array_equal(again[1], held)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), fractions, seeds)
def test_a_stratified_split_gives_every_class_its_share(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = len(labels)
    train, held = split(rows, fraction, labels=labels, seed=seed)
    check_parts(rows, train, held)
    target = min(max(round(rows * fraction), len(counts)), rows - len(counts))
    assert len(held) == target
    shares = np.bincount(labels[held], minlength=len(counts))
    assert (shares >= 1).all()
    assert (np.bincount(labels[train], minlength=len(counts)) >= 1).all()
    exact = np.asarray(counts) * target / rows
    unforced = (exact >= 1) & (exact <= np.asarray(counts) - 1)
    if unforced.all():
        assert (np.abs(shares - exact) < 1).all()


def test_a_class_of_two_gives_one_to_each_side():
    labels = np.asarray([0] * 98 + [1] * 2)
    train, held = split(100, 0.1, labels=labels)
    assert np.bincount(labels[held]).tolist() == [9, 1]
    assert np.bincount(labels[train]).tolist() == [89, 1]


def test_the_split_is_for_ever():
    assert split(10, 0.3, seed=4)[1].tolist() == [4, 7, 8]
    labels = [0, 1, 0, 1, 1, 1, 0, 0, 1, 1]
    assert split(10, 0.3, labels=labels, seed=4)[1].tolist() == [2, 3, 9]


def test_labels_may_be_text():
    train, held = split(6, 0.5, labels=["b", "a", "b", "a", "b", "a"])
    assert (len(train), len(held)) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 0.0), r"^fraction=0\.0: expected a number between 0 and 1$"),
        ((10, 1.0), r"^fraction=1\.0: expected"),
        ((10, float("nan")), "^fraction=nan: expected"),
        ((10, -0.1), r"^fraction=-0\.1: expected"),
        ((1, 0.5), "^1 rows cannot be split in two; expected at least 2$"),
        ((0, 0.5), "^0 rows cannot be split"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        split(*arguments)


def test_a_class_of_one_row_is_named():
    message = (
        "^class {} has one row; a stratified split needs two of each class: add rows, drop the "
    )
    with pytest.raises(InputError, match=message.format("'rare'")):
        split(4, 0.5, labels=["a", "a", "rare", "a"])
    with pytest.raises(InputError, match=message.format("3")):
        split(4, 0.5, labels=[0, 0, 3, 0])
