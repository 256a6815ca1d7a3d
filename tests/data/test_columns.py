"""Feature columns against scikit-learn's scaler and encoder."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.data.columns import (
    CategoricalColumn,
    Dropped,
    NumericColumn,
    fit_column,
    mean_and_scale,
    standardise,
)
from chainrule.data.table import TEXT, Table
from chainrule.errors import DataError


def table(**columns):
    arrays = [
        np.array(cells, dtype=TEXT) if isinstance(cells[0], str) else np.asarray(cells)
        for cells in columns.values()
    ]
    lines = np.arange(2, 2 + len(arrays[0]), dtype=np.int64)
    return Table(tuple(columns), tuple(arrays), "t.csv", lines)


def fit(cells, missing="error", *, categorical=False, max_categories=100, rows=None):
    return fit_column(
        table(a=cells),
        "a",
        rows,
        missing,
        categorical=categorical,
        max_categories=max_categories,
    )


def encode(column, cells, ignore_unseen=False):
    out = np.full((len(cells), len(column.feature_names)), np.nan)
    empty = column.encode(table(a=cells), None, out, ignore_unseen)
    return out, empty.tolist()


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e9, 1e9)))
def test_standardised_as_by_scikit_learn(values):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    spread = np.ptp(values)
    assume(spread == 0 or spread > max(1e-100, 1e-6 * np.abs(values).max()))
    scaler = preprocessing.StandardScaler().fit(values[:, None])
    mean, scale = mean_and_scale(values)
    np.testing.assert_allclose(mean, scaler.mean_[0], rtol=1e-12, atol=1e-12 * spread)
    np.testing.assert_allclose(scale, scaler.scale_[0], rtol=1e-7)
    np.testing.assert_allclose(
        standardise(values, mean, scale), scaler.transform(values[:, None])[:, 0], atol=1e-6
    )


@pytest.mark.parametrize(
    ("values", "mean", "scale"),
    [
        ([3.0, 3.0], 3.0, 1.0),
        ([0.1] * 7, 0.1, 1.0),
        ([-1e308, 1e308], 0.0, 1e308),
        ([1e-200, 3e-200], 2e-200, 1e-200),
        ([0.0, 5e-324], 0.0, 1.0),
    ],
)
def test_extremes_of_scale(values, mean, scale):
    found = mean_and_scale(np.array(values))
    np.testing.assert_allclose(found, (mean, scale), rtol=1e-12, atol=5e-324)


def test_numeric_column():
    fitted = fit(["1", " 2", "3"])
    assert fitted.column == NumericColumn("a", 2.0, np.sqrt(2 / 3))
    assert not fitted.constant
    assert fitted.missing.tolist() == [False, False, False]
    out, empty = encode(fitted.column, ["2", "?"])
    assert out[0, 0] == 0.0
    assert np.isnan(out[1, 0])
    assert empty == [False, True]
    assert fit(["4", "4"]).constant


def test_rows_choose_what_is_learnt():
    assert fit(["1", "x", "3", ""], rows=np.array([2, 0])).column == NumericColumn("a", 2.0, 1.0)


def test_filled_column_is_scaled_with_its_fills():
    column = fit(["1", "", "5", "1"], "median").column
    assert isinstance(column, NumericColumn)
    assert column.fill == 1.0
    assert (column.mean, column.scale) == mean_and_scale(np.array([1.0, 1.0, 5.0, 1.0]))
    out, empty = encode(column, ["", "1"])
    assert out[0, 0] == out[1, 0]
    assert empty == [True, False]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "x", "3", "4"], r"^t\.csv:3:1: column 'a': 'x' is not a number$"),
        (["1", "x"], r"^t\.csv:3:1: column 'a': 'x' is not a number$"),
        (["1,5", "2,5", "3,5"], r"^t\.csv:2:1: .*'1,5' is not a number; a decimal comma\?"),
        (["1", "1e400"], r"^t\.csv:3:1: .*'1e400' is out of range"),
        (["1", "2", "x" * 99], r"^t\.csv:4:1: column 'a': 'x{37}\.\.\.' is not a number$"),
        ([1.0, np.inf], r"^t\.csv:3:1: column 'a': 'inf' is out of range"),
    ],
)
def test_mixtures_are_refused(cells, message):
    with pytest.raises(DataError, match=message):
        fit(cells)


def test_numbers_beyond_the_scale():
    column = NumericColumn("a", 0.0, 1e-300)
    with pytest.raises(
        DataError, match=r"^t\.csv:3:1: .*10000000000\.0 is out of range for .*scale"
    ):
        encode(column, ["1", "1e10"])
    with pytest.raises(DataError, match=r"^t\.csv:2:1: column 'a': 'x' is not a number"):
        encode(column, ["x"])


def test_categories():
    fitted = fit(["red", " blue ", "red", "7"])
    assert fitted.column == CategoricalColumn("a", ("7", "blue", "red"))
    assert fitted.column.feature_names == ("a=7", "a=blue", "a=red")
    out, empty = encode(fitted.column, ["blue", " red", "7"])
    np.testing.assert_array_equal(out, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert empty == [False, False, False]


@given(st.lists(st.sampled_from(["a", "b", "c d", "É", "x,y"]), min_size=1, max_size=30))
def test_encoded_as_by_scikit_learn(cells):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    encoder = preprocessing.OneHotEncoder(sparse_output=False)
    expected = encoder.fit_transform(np.array(cells, dtype=object)[:, None])
    column = fit(cells).column
    assert isinstance(column, CategoricalColumn)
    assert list(column.categories) == encoder.categories_[0].tolist()
    np.testing.assert_array_equal(encode(column, cells)[0], expected)


def test_unseen_category():
    column = CategoricalColumn("a", ("blue", "red"))
    with pytest.raises(
        DataError,
        match=r"^t\.csv:3:1: column 'a': category 'RED' was never seen in training "
        r"\(did you mean 'red'\?\); expected 'blue', 'red'.*unseen='ignore'",
    ):
        encode(column, ["red", "RED"])
    out, _ = encode(column, ["green", "red"], ignore_unseen=True)
    np.testing.assert_array_equal(out, [[0, 0], [0, 1]])


def test_filled_category():
    column = fit(["b", "a", "", "b", "a", "c"], "mean").column
    assert column == CategoricalColumn("a", ("a", "b", "c"), "a")
    out, empty = encode(column, ["", "b"])
    np.testing.assert_array_equal(out, [[1, 0, 0], [0, 1, 0]])
    assert empty == [True, False]
    unfilled = fit(["b", "a", ""]).column
    assert unfilled == CategoricalColumn("a", ("a", "b"))
    assert encode(unfilled, [""])[1] == [True]


def test_booleans_and_codes_as_categories():
    assert fit([True, False, True]).column == CategoricalColumn("a", ("False", "True"))
    assert fit(["01", "2"], categorical=True).column == CategoricalColumn("a", ("01", "2"))
    codes = np.array([1.0, 2.0, np.nan])
    assert fit(codes, "mean", categorical=True).column == CategoricalColumn("a", ("1", "2"), "1")


@pytest.mark.parametrize(
    ("cells", "options", "why"),
    [
        (["", "?"], {}, "every cell is missing"),
        (["", "NA"], {"categorical": True}, "every cell is missing"),
        (np.array([np.nan]), {}, "every cell is missing"),
        ([f"name {i}" for i in range(21)], {}, "21 different texts in 21 rows"),
        (["a", "b", "c"] * 9, {"max_categories": 2}, "3 different texts in 27 rows"),
    ],
)
def test_dropped(cells, options, why):
    assert fit(cells, **options).column == Dropped("a", why)


def test_kept():
    names = [f"name {i}" for i in range(20)]
    assert isinstance(fit(names).column, CategoricalColumn)
    many = [f"name {i}" for i in range(200)]
    assert isinstance(fit(many, categorical=True).column, CategoricalColumn)
    assert isinstance(fit(many * 3, max_categories=200).column, CategoricalColumn)
