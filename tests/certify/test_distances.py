"""Distances against numbers worked out by hand, floors and edges included."""

from math import inf, nan

import numpy as np
import pytest

from chainrule.certify.distances import (
    gradient_distances,
    loss_distances,
    state_distances,
    undetermined,
)
from chainrule.certify.recording import looks_of, marks_of
from chainrule.certify.start import digest, same_bits
from chainrule.certify.tolerances import TOLERANCES, within


def arrays(**values):
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def test_gradients_are_measured_by_their_largest_element():
    reference = arrays(a=[1.0, -4.0], b=[[2.0]])
    found = arrays(a=[1.0, -4.0 + 1e-4], b=[[2.0 - 1e-4]])
    assert gradient_distances(found, reference) == pytest.approx({"a": 2.5e-5, "b": 5e-5})


def test_small_gradients_are_measured_by_the_networks_largest():
    reference = arrays(large=[10.0], small=[1e-3], zero=[1e-16])
    found = arrays(large=[10.0], small=[2e-3], zero=[1e-6])
    expected = {"large": 0.0, "small": 1e-3 / 0.1, "zero": 1e-7}
    assert gradient_distances(found, reference) == pytest.approx(expected)
    assert undetermined(reference) == ("zero",)


def test_a_network_whose_gradients_are_all_zero():
    zero = arrays(a=[0.0], b=[])
    assert gradient_distances(zero, zero) == {"a": 0.0, "b": 0.0}
    assert gradient_distances(arrays(a=[1e-30], b=[]), zero) == {"a": inf, "b": 0.0}
    assert gradient_distances({}, {}) == {}


def test_states_are_measured_by_their_norm():
    reference = arrays(a=[[3.0, 4.0]], b=[0.0] * 4)
    found = arrays(a=[[3.0, 4.5]], b=[1e-3, 0.0, 0.0, 0.0])
    assert state_distances(found, reference) == pytest.approx({"a": 0.1, "b": 1e-3 / (1e-2 * 2)})


def test_float32_arrays_are_compared_as_they_are():
    reference = arrays(a=[0.1])
    found = {"a": reference["a"].astype(np.float32)}
    (distance,) = state_distances(found, reference).values()
    assert distance == pytest.approx(abs(float(np.float32(0.1)) - 0.1) / 0.1)


def test_losses_are_measured_step_by_step():
    assert loss_distances([2.0, 1.1], [2.0, 1.0, 0.5]) == pytest.approx([0.0, 0.1])
    assert loss_distances([2.0, 1e-3], [2.0, 1e-6]) == pytest.approx([0.0, 9.99e-4 / 2e-3])
    assert loss_distances([], []) == []


def test_nan_and_infinity_are_infinitely_far():
    assert loss_distances([nan, inf], [1.0, 1.0]) == [inf, inf]
    assert state_distances(arrays(a=[nan, 1.0]), arrays(a=[1.0, 1.0])) == {"a": inf}
    assert gradient_distances(arrays(a=[nan, 1.0]), arrays(a=[1.0, 1.0])) == {"a": inf}


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_tolerance_itself_passes_and_the_next_number_does_not(dtype):
    for limit in vars(TOLERANCES[dtype]).values():
        assert within(limit, limit)
        assert not within(np.nextafter(limit, 1.0), limit)
        assert within(0.0, limit)
        assert not within(inf, limit)
        assert not within(nan, limit)


def test_the_promised_tolerances():
    assert (TOLERANCES["float64"].gradient, TOLERANCES["float64"].loss) == (1e-10, 1e-8)
    assert (TOLERANCES["float32"].gradient, TOLERANCES["float32"].loss) == (1e-5, 1e-3)


@pytest.mark.parametrize(
    ("steps", "looks", "marks"),
    [
        (1, (1,), (1,)),
        (7, (1, 2, 3, 4, 5, 6, 7), (1, 7)),
        (10, tuple(range(1, 11)), (1, 10)),
        (100, (*range(1, 11), *range(20, 101, 10)), (1, 10, 100)),
        (250, (*range(1, 11), *range(20, 101, 10), 200, 250), (1, 10, 100, 250)),
    ],
)
def test_when_parameters_are_read_and_shown(steps, looks, marks):
    assert looks_of(steps) == looks
    assert marks_of(steps) == marks
    assert set(marks) <= set(looks)


def test_bits_are_compared_not_values():
    zero = np.zeros(2)
    assert same_bits(zero, np.zeros(2))
    assert not same_bits(zero, -zero)
    assert not same_bits(zero, zero.astype(np.float32))
    assert not same_bits(zero, np.zeros((2, 1)))
    assert same_bits(np.array([3, 4], np.int32), np.array([3, 4], np.int64))
    assert not same_bits(np.array([3, 4], np.int32), np.array([3, 5], np.int64))


def test_digests_stand_for_shape_dtype_and_bits():
    base = digest([np.arange(4), np.zeros(2)])
    assert base == digest([np.arange(4), np.zeros(2)])
    assert len(base) == 16
    others = [
        digest([np.arange(4).reshape(2, 2), np.zeros(2)]),
        digest([np.arange(4), np.zeros(2, np.float32)]),
        digest([np.arange(4), -np.zeros(2)]),
        digest([np.arange(4)]),
    ]
    assert base not in others
