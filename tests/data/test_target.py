"""The target: the rule that tells classes from numbers, and the way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.data.csv_file import read_csv
from chainrule.data.table import TEXT, Table
from chainrule.data.target import ClassTarget, NumberTarget, class_counts, fit_target
from chainrule.errors import DataError, InputError


def table(cells):
    column = np.array(cells, dtype=TEXT) if isinstance(cells[0], str) else np.asarray(cells)
    return Table(("y",), (column,), "t.csv", np.arange(2, 2 + len(column), dtype=np.int64))


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["b", "a", " b "], ("a", "b")),
        (["True", "False"], ("False", "True")),
        ([True, False], ("False", "True")),
        (["0", "1"], ("0", "1")),
        (["10", "9", "9.0"] * 4, ("9", "10")),
        ([3.0, 1.0, 2.0] * 3, ("1", "2", "3")),
        ([-1, 1], ("-1", "1")),
        ([str(i) for i in range(20)] * 3, tuple(str(i) for i in range(20))),
    ],
)
def test_classes(cells, names):
    goal = fit_target(table(cells), "y")
    assert isinstance(goal, ClassTarget)
    assert goal.task == "classification"
    assert goal.class_names == names
    y = goal.read(table(cells))
    assert y.dtype == np.int64
    assert [goal.class_names[label] for label in y] == goal.decode(y)
    np.testing.assert_array_equal(goal.encode(y), y)


@pytest.mark.parametrize(
    "cells",
    [
        ["0.5", "1.5"],
        ["1", "2", "3", "4"],
        [str(i) for i in range(21)] * 3,
        [str(i) for i in range(20)] * 2,
        [1.5, 2.5],
    ],
)
def test_numbers(cells):
    goal = fit_target(table(cells), "y")
    assert isinstance(goal, NumberTarget)
    assert goal.task == "regression"
    values = np.array(cells, dtype=float)
    y = goal.read(table(cells))
    np.testing.assert_array_equal(y, values)
    np.testing.assert_allclose(goal.encode(y), (values - values.mean()) / values.std(), atol=1e-14)
    np.testing.assert_allclose(goal.decode(goal.encode(y)), y)


def test_task_by_hand():
    cells = ["1", "2", "3", "4"]
    assert fit_target(table(cells), "y", task="classification").class_names == tuple("1234")
    assert isinstance(fit_target(table(["0", "1"]), "y", task="regression"), NumberTarget)


@pytest.mark.parametrize(
    ("cells", "task", "message"),
    [
        (["a", "a"], "auto", r"^t\.csv: target 'y' has a single class, 'a'; expected two or more"),
        (["1", "1"], "auto", r"^t\.csv: target 'y' has a single class, '1'.*--task regression$"),
        (
            ["1", ""],
            "auto",
            r"^t\.csv:3:1: 1 missing cell in 'y', .*: pass --missing drop to leave",
        ),
        (["1", "2", "x"], "auto", r"^t\.csv:4:1: column 'y': 'x' is not a number$"),
        (["a", "b", "c"], "regression", r"^t\.csv:2:1: column 'y': 'a' is not a number$"),
        ([True, False], "regression", r"^t\.csv:2:1: column 'y': 'True' is not a number$"),
        (
            ["1", "0.5"],
            "classification",
            r"^t\.csv:3:1: target 'y': '0\.5' is no class.*regression$",
        ),
    ],
)
def test_faults(cells, task, message):
    with pytest.raises(DataError, match=message):
        fit_target(table(cells), "y", task=task)


def test_settings():
    with pytest.raises(InputError, match=r"^target='Y': .*\(did you mean 'y'\?\)"):
        fit_target(table(["a"]), "Y")
    with pytest.raises(InputError, match=r"^task='classify' is unknown \(did you mean 'classific"):
        fit_target(table(["a"]), "y", task="classify")
    with pytest.raises(InputError, match=r"^rows: got 0 rows of t\.csv"):
        fit_target(table(["a"]), "y", rows=np.array([], dtype=np.int64))
    with pytest.raises(InputError, match=r"^target='y': u\.csv has no such column"):
        fit_target(table(["a", "b"]), "y").read(
            Table(("a",), (np.zeros(1),), "u.csv", np.array([2]))
        )


def test_unseen_and_missing_labels(write):
    goal = fit_target(table(["setosa", "virginica"]), "y")
    new = read_csv(write("new.csv", "x,y\n1,setosa\n2,virginca\n"))
    with pytest.raises(
        DataError,
        match=r"^new\.csv:3:2: target 'y': label 'virginca' was never seen in training "
        r"\(did you mean 'virginica'\?\); expected 'setosa', 'virginica'$",
    ):
        goal.read(new)
    assert goal.read(new, np.array([0])).tolist() == [0]
    with pytest.raises(DataError, match=r"^t\.csv:3:1: 1 missing cell"):
        goal.read(table(["setosa", "?"]))
    with pytest.raises(DataError, match=r"^t\.csv:2:1: .*label 'x' was never seen"):
        fit_target(table(["0", "1"]), "y").read(table(["x", "0"]))
    with pytest.raises(DataError, match=r"^t\.csv:3:1: 1 missing cell"):
        NumberTarget("y", 0.0, 1.0).read(table(["1", ""]))
    with pytest.raises(DataError, match=r"^t\.csv:2:1: column 'y': 'x' is not"):
        NumberTarget("y", 0.0, 1.0).read(table(["x"]))


def test_spellings_of_a_number_are_one_class():
    goal = fit_target(table(["0", "1"]), "y")
    assert goal.read(table(["1.0", " 01", "0", "-0"])).tolist() == [1, 1, 0, 0]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 2)),
        elements=st.floats(-9, 9, width=32),
    )
)
def test_decode_keeps_the_shape(output):
    goal = NumberTarget("y", 5.0, 2.0)
    decoded = goal.decode(output)
    assert decoded.shape == output.shape
    np.testing.assert_allclose(decoded, output.astype(np.float64) * 2.0 + 5.0)
    np.testing.assert_allclose(goal.encode(decoded), output, atol=1e-12)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.0], r"^labels: got float64 of shape \(2,\); expected integers of shape \(n,\)"),
        ([[0], [1]], r"^labels: got int64 of shape \(2, 1\)"),
        ([0, 2], r"^labels: got 0 to 2; expected 0 to 1$"),
        ([-1, 0], r"^labels: got -1 to 0; expected 0 to 1$"),
    ],
)
def test_decode_refuses(labels, message):
    with pytest.raises(InputError, match=message):
        ClassTarget("y", ("a", "b"), False).decode(labels)


def test_class_counts():
    assert class_counts(("a", "b", "c"), np.array([0, 2, 2])) == {"a": 1, "b": 0, "c": 2}
