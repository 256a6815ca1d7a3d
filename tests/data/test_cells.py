"""The policy for missing cells, numbers and text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.cells import (
    MISSING,
    fault,
    is_missing,
    is_text,
    number_label,
    read_labels,
    read_numbers,
    refuse,
)
from chainrule.data.table import TEXT


def text(*cells):
    return np.array(cells, dtype=TEXT)


def test_numbers_and_blanks():
    numbers = read_numbers(text("1", " -2.5 ", "1e-3", "007", "+.5"))
    np.testing.assert_array_equal(numbers.values, [1.0, -2.5, 1e-3, 7.0, 0.5])
    assert not numbers.missing.any()
    assert not numbers.odd.size


@pytest.mark.parametrize(
    "cell", ["", "  ", "?", "NA", "n/a", "NaN", "-nan", "NULL", "None", "<NA>"]
)
def test_missing(cell):
    assert is_missing(cell)
    numbers = read_numbers(text("1", cell))
    assert numbers.missing.tolist() == [False, True]
    assert not numbers.odd.size
    assert math.isnan(numbers.values[1])
    assert read_labels(text("x", cell))[1].tolist() == [False, True]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (
            "1,5",
            "not a number; a decimal comma? write 1.5, and thousands as 1000",
        ),
        (
            "1.234,5",
            "not a number; a decimal comma? write 1.5, and thousands as 1000",
        ),
        ("1e400", "out of range for a number"),
        ("-inf", "out of range for a number"),
        ("Infinity", "out of range for a number"),
        ("1_000", "not a number; write it without underscores"),
        ("0x10", "not a number"),
        ("5%", "not a number"),
        ("True", "not a number"),
        ("abc", "not a number"),
    ],
)
def test_no_number(cell, reason):
    for column in (text("1", cell), text(cell, cell)):
        numbers = read_numbers(column)
        assert numbers.odd[-1] == 1
        assert math.isnan(numbers.values[1])
        assert not numbers.missing.any()
    assert fault(cell) == reason
    assert is_text(cell) == (reason == "not a number")
    assert refuse("t.csv:2:1", "a", cell) == f"t.csv:2:1: column 'a': '{cell}' is {reason}"


def test_long_cells_are_shortened():
    assert len(refuse("t.csv:2:1", "a", "x" * 10_000)) < 100


@pytest.mark.parametrize(
    ("column", "values", "missing", "odd"),
    [
        (np.array([1, -2], dtype=np.int8), [1, -2], [False, False], []),
        (np.array([True, False]), [1, 0], [False, False], []),
        (np.array([1.5, np.nan, np.inf]), [1.5, np.nan, np.nan], [False, True, False], [2]),
        (np.array([2.0], dtype=np.float16), [2], [False], []),
    ],
)
def test_columns_of_numbers(column, values, missing, odd):
    before = column.copy()
    numbers = read_numbers(column)
    np.testing.assert_array_equal(numbers.values, values)
    assert numbers.values.dtype == np.float64
    assert numbers.missing.tolist() == missing
    assert numbers.odd.tolist() == odd
    np.testing.assert_array_equal(column, before)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_is_read_back(values):
    numbers = read_numbers(text(*(repr(value) for value in values)))
    np.testing.assert_array_equal(numbers.values, values)
    assert not numbers.odd.size


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1))
def test_fast_and_slow_paths_agree(cells):
    together = read_numbers(text(*cells))
    alone = [read_numbers(text(cell, "x")) for cell in cells]
    np.testing.assert_array_equal(together.values, [one.values[0] for one in alone])
    assert together.missing.tolist() == [bool(one.missing[0]) for one in alone]
    assert together.odd.tolist() == [i for i, one in enumerate(alone) if one.odd[0] == 0]
    assert together.missing.tolist() == [cell.strip().lower() in MISSING for cell in cells]


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (np.array([1, 20]), ["1", "20"]),
        (np.array([1.0, 0.5]), ["1", "0.5"]),
        (np.array([True, False]), ["True", "False"]),
        (text(" a b ", "01"), ["a b", "01"]),
    ],
)
def test_labels(column, labels):
    assert read_labels(column)[0] == labels


def test_number_label():
    assert number_label(2**60) == str(2**60)
    assert number_label(-0.0) == "0"
    assert number_label(math.nan) == "nan"
