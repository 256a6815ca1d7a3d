"""Random numbers: known answers, the same bits everywhere, and sound distributions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chainrule.errors import InputError
from chainrule.ops.dropout import keep_mask
from chainrule.ops.random import Key, Rng, bits, check_seed, host_key, threefry2x32
from libraries import make_backend

# Random123's kat_vectors: rounds, counter, key, result.
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
ONES = 0xFFFFFFFF
KNOWN = [
    (13, (0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
    (13, (ONES, ONES), (ONES, ONES), (0xFD36D048, 0x2D17272C)),
    (13, PI[:2], PI[2:], (0xBA3E4725, 0xF27D669E)),
    (20, (0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    (20, (ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
    (20, PI[:2], PI[2:], (0xC4923A9C, 0x483DF7A0)),
]


def words(*values: int) -> Any:
    return np.asarray(values, dtype=np.uint32).view(np.int32)


@pytest.mark.parametrize(("rounds", "counter", "key", "expected"), KNOWN)
def test_known_answers(rounds, counter, key, expected, backend64):
    first, second, own_key = (
        backend64.asarray(words(*part)) for part in (counter[:1], counter[1:], key)
    )
    result = threefry2x32(backend64.xp, own_key, first, second, rounds=rounds)
    found = tuple(int(backend64.to_numpy(word).view(np.uint32)[0]) for word in result)
    assert found == expected


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_twenty_rounds_are_jaxs(seed):
    jax = pytest.importorskip("jax")
    prng = pytest.importorskip("jax.extend.random")
    rng = np.random.default_rng(seed)
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    count = rng.integers(0, 2**32, 16, dtype=np.uint32)
    expected = np.asarray(prng.threefry_2x32(jax.numpy.asarray(key), jax.numpy.asarray(count)))
    first, second = count.view(np.int32)[:8], count.view(np.int32)[8:]
    ours = np.concatenate(threefry2x32(np, key.view(np.int32), first, second, rounds=20))
    np.testing.assert_array_equal(ours.view(np.uint32), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
def test_the_same_bits_on_every_library(count, dtype, library):
    backend = make_backend(library, dtype)
    for seed, step, place in ((0, 0, ""), (2**32 - 1, 2**32 + 5, "dropout.2"), (7, 3, "é")):
        host = Key(host_key(seed, step), place)
        expected = bits(np, host, count)
        mask = keep_mask(np, host, (count, 1), 0.3)
        with backend.scope():
            own = Key(backend.asarray(host.words), place)
            found = backend.to_numpy(bits(backend.xp, own, count))
            compiled = backend.compile(lambda w, p=place: bits(backend.xp, Key(w, p), count))
            again = backend.to_numpy(compiled(own.words))
            kept = backend.to_numpy(keep_mask(backend.xp, own, (count, 1), 0.3))
        assert found.dtype == np.int32
        assert found.shape == (count,)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(again, expected)
        np.testing.assert_array_equal(kept, mask)


def test_bits_are_frozen():
    """Every recorded run rests on these words: a change would make none of them repeatable."""
    key = Key(host_key(seed=2026, step=3), "dropout.1")
    found = bits(np, key, 4).view(np.uint32).tolist()
    assert found == [0xDD64C4B6, 0x731B1E78, 0x03747751, 0x8C393138]
    numbers = Rng(0).at("0").at("weight").uniform((2,)).tolist()
    assert numbers == [0.8725224283930909, 0.9410091420334578]


def test_an_odd_count_is_an_even_one_less_a_word():
    key = Key(host_key(1, 2), "a")
    np.testing.assert_array_equal(bits(np, key, 7), bits(np, key, 8)[:7])


def test_seeds_steps_and_places_are_independent():
    keys = [
        Key(host_key(seed, step), place)
        for seed in (0, 1, 2**31)
        for step in (0, 1, 2**31)
        for place in ("", "a", "b", "a.0", "a.1")
    ]
    drawn = np.stack([bits(np, key, 4000) for key in keys]).astype("float64") / 2.0**31
    correlation = np.corrcoef(drawn) - np.eye(len(keys))
    assert np.max(np.abs(correlation)) < 5.0 / np.sqrt(4000)
    assert len({row.tobytes() for row in drawn}) == len(keys)


def test_key_places_are_nested():
    key = Key(host_key(0, 0), "dropout")
    assert key.at("2").at("0").place == "dropout.2.0"
    assert Rng(0).at("2").at("weight").place == "2.weight"


@pytest.mark.parametrize("place", ["0.weight", "shuffle"])
def test_uniform_and_normal_are_what_they_say(place):
    rng = Rng(seed=5).at(place)
    uniform, normal = rng.uniform((200, 101)), rng.normal((201, 101))
    assert uniform.dtype == normal.dtype == np.float64
    assert uniform.shape == (200, 101)
    assert normal.shape == (201, 101)
    assert uniform.min() >= 0.0
    assert uniform.max() < 1.0
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(normal.ravel()[:-1], normal.ravel()[1:])[0, 1]) < 0.03
    low_bits = (uniform * 2.0**53).astype(np.uint64) & np.uint64(255)
    assert stats.chisquare(np.bincount(low_bits.ravel().astype(int), minlength=256)).pvalue > 0.01


def test_words_fill_every_byte_evenly():
    found = Rng(seed=9).words(20000).view(np.uint8)
    assert stats.chisquare(np.bincount(found, minlength=256)).pvalue > 0.01


def test_rng_repeats_and_addresses_steps():
    rng = Rng(seed=3).at("order")
    np.testing.assert_array_equal(rng.words(5), rng.words(5))
    np.testing.assert_array_equal(rng.words(5, step=4), Rng(3, "order", 4).words(5))
    np.testing.assert_array_equal(Rng(3, "x", 4).at("y").words(3), Rng(3, "x.y", 4).words(3))
    assert not np.array_equal(rng.words(5), rng.words(5, step=1))
    assert rng.uniform(()).shape == ()
    assert rng.normal((0, 3)).shape == (0, 3)


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.1, 0.5, 0.9, 0.999])
def test_the_rate_of_dropped_elements(rate):
    mask = keep_mask(np, Key(host_key(11, 0), "dropout"), (1000, 200), rate)
    dropped = int(mask.size - mask.sum())
    if rate == 0.0:
        assert dropped == 0
    else:
        assert stats.binomtest(dropped, mask.size, rate).pvalue > 1e-3


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "7", None, np.float64(3.0)])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(InputError, match=r"^seed=.*: expected an integer from 0 to 4294967295$"):
        check_seed(seed)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(5), np.uint8(5)])
def test_a_good_seed_is_a_plain_integer(seed):
    assert check_seed(seed) == seed
    assert type(check_seed(seed)) is int
