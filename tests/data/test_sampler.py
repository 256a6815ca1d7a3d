"""The sampler: every row once an epoch, in an order that never changes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from chainrule.data.sampler import Sampler, check_batch_size, permutation
from chainrule.errors import InputError
from chainrule.ops.random import Rng

sizes = st.integers(1, 200)
seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 2**31)


@given(sizes, sizes, seeds, epochs)
def test_an_epoch_takes_every_row_once(rows, batch_size, seed, epoch):
    sampler = Sampler(rows, batch_size, seed)
    batches = list(sampler.epoch(epoch))
    assert len(batches) == sampler.batches == -(-rows // batch_size)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches[-1]) == (sampler.tail or batch_size) <= batch_size or rows < batch_size
    order = np.concatenate(batches)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, sampler.order(epoch))
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))


@given(st.integers(2, 200), st.data(), seeds)
def test_drop_last_leaves_out_the_tail(rows, data, seed):
    batch_size = data.draw(st.integers(1, rows))
    sampler = Sampler(rows, batch_size, seed, drop_last=True)
    batches = list(sampler.epoch(3))
    assert len(batches) == sampler.batches == rows // batch_size
    assert sampler.tail == 0
    assert {len(batch) for batch in batches} == {batch_size}
    whole = np.concatenate(list(Sampler(rows, batch_size, seed).epoch(3)))
    np.testing.assert_array_equal(np.concatenate(batches), whole[: len(batches) * batch_size])


@given(sizes, sizes, seeds, epochs, st.data())
def test_a_run_resumes_at_any_batch(rows, batch_size, seed, epoch, data):
    sampler = Sampler(rows, batch_size, seed)
    start = data.draw(st.integers(0, sampler.batches))
    whole, rest = (
        list(sampler.epoch(epoch)),
        list(Sampler(rows, batch_size, seed).epoch(epoch, start)),
    )
    assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[start:]]


@pytest.mark.parametrize(
    ("seed", "epoch", "order"),
    [
        (0, 0, [2, 8, 6, 0, 3, 7, 1, 4, 5, 9]),
        (0, 1, [9, 3, 2, 4, 0, 8, 5, 6, 7, 1]),
        (2**32 - 1, 123456, [1, 4, 0, 3, 6, 9, 7, 8, 2, 5]),
    ],
)
def test_the_order_is_for_ever(seed, epoch, order):
    assert Sampler(10, 3, seed).order(epoch).tolist() == order


def test_the_balanced_order_is_for_ever():
    labels = np.asarray([0, 0, 0, 0, 0, 0, 2, 2, 1])
    order = Sampler(9, 3, seed=5, balance=labels).order(2)
    assert order.tolist() == [6, 8, 0, 6, 8, 7, 8, 3, 2]


def test_without_shuffling_the_rows_keep_their_order():
    assert Sampler(5, 2, shuffle=False).order(7).tolist() == [0, 1, 2, 3, 4]


def test_seeds_and_epochs_give_other_orders():
    orders = [Sampler(50, 5, seed).order(epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert len({order.tobytes() for order in orders}) == 9


@pytest.mark.parametrize("rows", [2, 3, 4, 5])
def test_all_permutations_are_as_likely(rows):
    """Chi-square over all permutations (120 at most), the seed fixed, at the 0.1 % level."""
    epochs, places = 4000, rows ** np.arange(rows)
    orders = np.stack([Sampler(rows, 1, seed=9).order(epoch) for epoch in range(epochs)])
    _, counts = np.unique(orders @ places, return_counts=True)
    possible = math.factorial(rows)
    expected = epochs / possible
    distance = np.sum((counts - expected) ** 2) / expected + (possible - len(counts)) * expected
    assert distance < chi2.ppf(0.999, possible - 1)


def test_every_place_gets_every_row():
    """Chi-square of a 20 by 20 table of row and place over 4,000 epochs."""
    table = np.zeros((20, 20))
    for epoch in range(4000):
        table[Sampler(20, 5, seed=77).order(epoch), np.arange(20)] += 1
    distance = np.sum((table - 200.0) ** 2) / 200.0
    assert distance < chi2.ppf(0.999, 19 * 19)


def test_ties_of_words_are_broken_by_number(monkeypatch):
    monkeypatch.setattr(Rng, "words", lambda self, count: np.zeros(count, np.uint32))
    assert permutation(Rng(0), 6).tolist() == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), seeds, epochs)
def test_balanced_epochs_hold_as_many_of_every_class(labels, seed, epoch):
    labels = np.asarray(labels)
    sampler = Sampler(len(labels), 4, seed, balance=labels)
    order = sampler.order(epoch)
    assert order.shape == labels.shape
    classes, counts = np.unique(labels[order], return_counts=True)
    assert len(classes) == len(np.unique(labels))
    assert counts.max() - counts.min() <= 1
    for label in classes:
        drawn = np.unique(order[labels[order] == label], return_counts=True)[1]
        available = int(np.sum(labels == label))
        assert len(drawn) == min(available, int(drawn.sum()))
        assert drawn.max() - drawn.min() <= 1
    np.testing.assert_array_equal(order, sampler.order(epoch))


def test_balanced_epochs_reach_every_row():
    labels = np.asarray([0] * 30 + [1] * 10)
    sampler = Sampler(40, 8, seed=1, balance=labels)
    seen = np.unique(np.concatenate([sampler.order(epoch) for epoch in range(12)]))
    assert seen.tolist() == list(range(40))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "^rows=0: expected at least one row$"),
        ({"batch_size": 0}, "^batch_size=0: expected a positive integer$"),
        ({"batch_size": -3}, "^batch_size=-3: expected a positive integer$"),
        ({"batch_size": 2.0}, r"^batch_size=2\.0: expected a positive integer$"),
        ({"batch_size": True}, "^batch_size=True: expected a positive integer$"),
        ({"batch_size": "8"}, "^batch_size='8': expected a positive integer$"),
        ({"seed": -1}, "^seed=-1: expected an integer from 0 to 4294967295$"),
        ({"seed": 2**32}, "^seed=4294967296: expected an integer"),
        ({"seed": 0.5}, r"^seed=0\.5: expected an integer"),
        (
            {"batch_size": 11, "drop_last": True},
            "^drop_last=True leaves no batch: batch_size=11, 10 rows$",
        ),
        (
            {"balance": np.zeros(10, int), "shuffle": False},
            "^balanced sampling draws rows at random: it needs shuffle=True$",
        ),
        ({"balance": np.zeros(9, int)}, r"^balance has shape \(9,\), expected one label a row"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Sampler(**({"rows": 10, "batch_size": 3} | settings))


def test_batch_sizes_of_numpy():
    assert check_batch_size(np.int32(7)) == 7
    assert Sampler(10, np.int64(3), seed=np.uint32(4)).batches == 4
