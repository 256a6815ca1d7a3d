"""Missing cells: counted, placed, filled as scikit-learn fills them, or their rows left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.csv_file import read_csv
from chainrule.data.missing import IMPUTE, complete_rows, fill_number, missing_error

CONTENT = "a,b,c\n1,,x\n,2,\n3,4,y\n,,z\n9,?,NA\n"


def mask(*cells):
    return np.array(cells, dtype=bool)


def test_error_counts_and_places(write):
    table = read_csv(write("t.csv", CONTENT))
    error = missing_error(
        table,
        None,
        {"a": mask(0, 1, 0, 1, 0), "b": mask(1, 0, 0, 1, 1), "c": mask(0, 0, 0, 0, 0)},
        IMPUTE,
    )
    assert str(error) == (
        "t.csv:2:2: 5 missing cells in 'a', 'b', first at 2:2, 3:1, 5:1, 5:2, 6:2 (line:column); "
        "expected none: pass --missing mean (or median, most_frequent) to fill them, "
        "or --missing drop to leave those rows out"
    )


def test_error_of_chosen_rows(write):
    table = read_csv(write("t.csv", CONTENT))
    error = missing_error(table, np.array([2, 3]), {"a": mask(0, 1)}, "way out")
    assert str(error) == (
        "t.csv:5:1: 1 missing cell in 'a', first at 5:1 (line:column); expected none: way out"
    )


def test_complete_rows(write):
    table = read_csv(write("t.csv", CONTENT))
    assert complete_rows(table, table.names).tolist() == [2]
    assert complete_rows(table, ["a"]).tolist() == [0, 2, 4]
    assert complete_rows(table, ["a", "c"], np.array([2, 1, 0])).tolist() == [2, 0]
    assert complete_rows(table, []).tolist() == [0, 1, 2, 3, 4]


@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=20))
def test_fills_are_those_of_scikit_learn(values):
    impute = pytest.importorskip("sklearn.impute")
    column = np.array(values)
    for policy in ("mean", "median", "most_frequent"):
        expected = impute.SimpleImputer(strategy=policy).fit(column[:, None]).statistics_[0]
        np.testing.assert_allclose(fill_number(column, policy), expected, rtol=1e-12, atol=1e-10)


def test_fill_of_large_and_zero_values():
    assert fill_number(np.array([1.6e308, 1.6e308, 1.2e308]), "mean") == pytest.approx(
        1.4666666666666667e308
    )
    assert fill_number(np.zeros(3), "mean") == 0.0
    assert fill_number(np.zeros(3), "error") is None
    assert fill_number(np.zeros(3), "drop") is None
