"""The schema as a whole: fitted on training rows, applied to any file, stored as JSON."""

import csv
import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.columns import CategoricalColumn, Dropped, NumericColumn
from chainrule.data.csv_file import read_csv
from chainrule.data.schema import Schema
from chainrule.data.sources import open_table
from chainrule.data.table import TEXT, DataWarning, Table
from chainrule.data.target import ClassTarget, NumberTarget, fit_target
from chainrule.errors import DataError, InputError

CONTENT = "age,city,income,bought\n31,Oslo,1.5,yes\n25,Rome,2.5,no\n46,Oslo,0.5,no\n52,Lima,4,yes\n"


@pytest.fixture
def table(write):
    return read_csv(write("train.csv", CONTENT))


def test_features_and_target(table):
    schema = Schema.fit(table, "bought")
    assert schema.feature_names == ("age", "city=Lima", "city=Oslo", "city=Rome", "income")
    assert schema.task == "classification"
    assert schema.class_names == ("no", "yes")
    X = schema.transform(table)
    assert X.dtype == np.float64
    assert X.shape == (4, 5)
    np.testing.assert_allclose(X[:, [0, 4]].mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(X[:, [0, 4]].std(axis=0), 1)
    np.testing.assert_array_equal(X[:, 1:4], [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert schema.target(table).tolist() == [1, 0, 0, 1]
    assert schema.decode_target([1, 0]) == ["yes", "no"]
    np.testing.assert_array_equal(schema.encode_target(np.array([1])), [1])


def test_regression(table):
    schema = Schema.fit(table, "income")
    assert (schema.task, schema.class_names) == ("regression", None)
    y = schema.target(table, [3, 0])
    assert y.tolist() == [4.0, 1.5]
    np.testing.assert_allclose(schema.decode_target(schema.encode_target(y)), y)


def test_only_training_rows_are_learnt(table):
    schema = Schema.fit(table, "bought", rows=[0, 1])
    assert schema.columns[0] == NumericColumn("age", 28.0, 3.0)
    assert schema.columns[1] == CategoricalColumn("city", ("Oslo", "Rome"))
    np.testing.assert_allclose(schema.transform(table, [1, 0])[:, 0], [-1, 1])
    with pytest.raises(DataError, match=r"^train\.csv:5:2: .*category 'Lima' was never seen"):
        schema.transform(table)
    assert schema.transform(table, unseen="ignore")[3, 1:3].tolist() == [0, 0]


def test_a_target_fitted_before_the_split(table):
    goal = fit_target(table, "bought")
    schema = Schema.fit(table, goal, rows=[1, 2])
    assert schema.goal is goal
    assert schema.target(table, [0, 3]).tolist() == [1, 1]


def test_against_scikit_learn_and_pandas(write):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(5, 20, 200),
            "b": random.choice(["x", "y y", "z"], 200),
            "c": random.integers(-5, 1000, 200),
            "y": random.choice(["p", "q"], 200),
        }
    )
    path = write("t.csv", "")
    frame.to_csv(path, index=False)
    read = pd.read_csv(path)
    train = np.sort(random.permutation(200)[:150])
    table = read_csv(path)
    X = Schema.fit(table, "y", rows=train).transform(table)
    scaler = preprocessing.StandardScaler().fit(read.loc[train, ["a", "c"]])
    encoder = preprocessing.OneHotEncoder(sparse_output=False).fit(read.loc[train, ["b"]])
    np.testing.assert_allclose(X[:, [0, 4]], scaler.transform(read[["a", "c"]]), rtol=1e-12)
    np.testing.assert_array_equal(X[:, 1:4], encoder.transform(read[["b"]]))


def test_columns_are_matched_by_name(table, write):
    schema = Schema.fit(table, "bought")
    new = read_csv(write("new.csv", "income,city,age\n1.5,Oslo,31\n"))
    np.testing.assert_array_equal(schema.transform(new), schema.transform(table, [0]))
    extra = read_csv(write("extra.csv", "note,income,city,age\nhello,1.5,Oslo,31\n"))
    with pytest.warns(DataWarning, match=r"^extra\.csv: columns .* are ignored: 'note'$"):
        X = schema.transform(extra)
    np.testing.assert_array_equal(X, schema.transform(table, [0]))
    absent = read_csv(write("absent.csv", "Age,town,income\n31,Oslo,1\n"))
    with pytest.raises(
        DataError,
        match=r"^absent\.csv:1: 2 of the 3 columns the model needs are absent: "
        r"'age' \(did you mean 'Age'\?\), 'city'; columns are matched by name$",
    ):
        schema.transform(absent)


def test_many_absent_columns(write):
    names = [f"c{i}" for i in range(9)]
    table = read_csv(
        write("t.csv", ",".join([*names, "y"]) + "\n" + "1," * 9 + "0\n" + "2," * 9 + "1\n")
    )
    schema = Schema.fit(table, "y")
    with pytest.raises(DataError, match=r"9 of the 9 .* and 4 more; columns are matched"):
        schema.transform(read_csv(write("u.csv", "zzzz,wwww\n1,2\n")))


MISSING = "a,b,y\n1,x,p\n,x,q\n3,,p\n4,z,q\n"


def test_missing_is_refused_by_default(write):
    table = read_csv(write("t.csv", MISSING))
    with pytest.raises(
        DataError, match=r"^t\.csv:3:1: 2 missing cells in 'a', 'b', .*--missing mean"
    ):
        Schema.fit(table, "y")
    schema = Schema.fit(table, "y", rows=[0, 3])
    with pytest.raises(DataError, match=r"^t\.csv:3:1: 2 missing .*: fill them in the file, or"):
        schema.transform(table)


@pytest.mark.parametrize(("policy", "fill"), [("mean", 8 / 3), ("median", 3), ("most_frequent", 1)])
def test_missing_is_filled(write, policy, fill):
    table = read_csv(write("t.csv", MISSING))
    schema = Schema.fit(table, "y", missing=policy)
    X = schema.transform(table)
    column = np.array([1, fill, 3, 4])
    np.testing.assert_allclose(X[:, 0], (column - column.mean()) / column.std())
    np.testing.assert_array_equal(X[:, 1:], [[1, 0], [1, 0], [1, 0], [0, 1]])
    assert len(schema.complete_rows(table)) == 2


def test_missing_rows_are_dropped(write):
    table = read_csv(write("t.csv", MISSING + "5,x,\n"))
    schema = Schema.fit(table, "y", missing="drop")
    assert schema == Schema.fit(table, "y", missing="drop", rows=[0, 1, 2, 3, 4])
    assert schema.columns[0] == NumericColumn("a", 2.5, 1.5)
    assert schema.complete_rows(table).tolist() == [0, 3]
    assert schema.complete_rows(table, target=False).tolist() == [0, 3, 4]
    assert schema.complete_rows(table, [4, 3, 2]).tolist() == [3]
    with pytest.raises(DataError, match=r"^t\.csv:3:1: .*take the rows of Schema\.complete_rows$"):
        schema.transform(table)
    with pytest.raises(DataError, match=r"^u\.csv: every row has a missing cell"):
        Schema.fit(read_csv(write("u.csv", "a,y\n,1\n2,\n")), "y", missing="drop")


def test_missing_target_is_never_filled(write):
    table = read_csv(write("t.csv", "a,y\n1,p\n2,\n3,q\n"))
    with pytest.raises(DataError, match=r"^t\.csv:3:2: 1 missing cell in 'y', .*--missing drop"):
        Schema.fit(table, "y", missing="mean")


def test_constant_and_empty_columns_warn(write):
    table = read_csv(write("t.csv", "a,b,c,y\n7,,1,2.5\n7,,2,2.5\n"))
    with pytest.warns(DataWarning) as caught:
        schema = Schema.fit(table, "y", missing="mean")
    assert [str(warning.message) for warning in caught] == [
        "t.csv: dropped 'b' (every cell is missing); pass drop= to leave columns out in silence, "
        "categorical= or max_categories= to keep them",
        "t.csv: constant in the training rows, scaled by 1: 'a', 'y'",
    ]
    X = schema.transform(table)
    assert np.all(np.isfinite(X))
    np.testing.assert_array_equal(X[:, 0], 0)
    assert schema.dropped == (Dropped("b", "every cell is missing"),)
    np.testing.assert_array_equal(schema.encode_target(schema.target(table)), 0)


def test_drop_and_categorical(table):
    schema = Schema.fit(table, "bought", drop=["city"], categorical="age")
    assert schema.feature_names == ("age=25", "age=31", "age=46", "age=52", "income")
    assert schema.dropped == (Dropped("city", "asked for"),)
    assert schema.transform(table).shape == (4, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "bougth"}, r"^target='bougth': .*\(did you mean 'bought'\?\)"),
        ({"task": "cluster"}, r"^task='cluster' is unknown"),
        ({"missing": "median "}, r"^missing='median ' is unknown \(did you mean 'median'\?\)"),
        ({"drop": ["aeg"]}, r"^drop='aeg': .*\(did you mean 'age'\?\)"),
        ({"drop": "bought"}, r"^drop='bought': this column is the target$"),
        ({"categorical": ["x"]}, r"^categorical='x': train\.csv has no such column"),
        ({"rows": [0, 4]}, r"^rows: got indices 0 to 4; expected 0 to 3$"),
        ({"rows": [-1]}, r"^rows: got indices -1 to -1"),
        ({"rows": [[0]]}, r"^rows: got int64 of shape \(1, 1\); expected integers"),
        ({"rows": [True, False]}, r"^rows: got bool"),
        ({"rows": np.array([], dtype=int)}, r"^rows: got 0 rows"),
        (
            {"drop": ["age", "city", "income"]},
            r"^train\.csv: no feature columns besides .*asked for",
        ),
    ],
)
def test_settings(table, options, message):
    with pytest.raises(InputError, match=message):
        Schema.fit(table, **{"target": "bought", **options})


def test_transform_setting(table):
    with pytest.raises(InputError, match=r"^unseen='zeros' is unknown"):
        Schema.fit(table, "bought").transform(table, unseen="zeros")


def test_inputs_are_not_changed(table):
    before = [column.copy() for column in table.columns]
    schema = Schema.fit(table, "bought", missing="mean")
    schema.transform(table)
    for column, copy in zip(table.columns, before, strict=True):
        np.testing.assert_array_equal(column, copy)


def test_parquet_gives_the_same_features(table, write):
    pytest.importorskip("pyarrow")
    pd.read_csv("train.csv").to_parquet("train.parquet")
    schema = Schema.fit(table, "bought")
    other = open_table("train.parquet")
    np.testing.assert_array_equal(schema.transform(other), schema.transform(table))
    assert Schema.fit(other, "bought") == schema


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
positive = st.floats(min_value=5e-324, allow_infinity=False)


@st.composite
def schemas(draw):
    labels = draw(st.lists(names, min_size=3, max_size=6, unique=True))
    columns = []
    for label in labels[:-2]:
        if draw(st.booleans()):
            columns.append(
                NumericColumn(label, draw(finite), draw(positive), draw(st.none() | finite))
            )
        else:
            found = tuple(sorted(draw(st.sets(names, min_size=1, max_size=4))))
            fill = draw(st.none() | st.sampled_from(found))
            columns.append(CategoricalColumn(label, found, fill))
    dropped = (Dropped(labels[-2], draw(names)),)
    if draw(st.booleans()):
        goal = NumberTarget(labels[-1], draw(finite), draw(positive))
    else:
        found = draw(st.lists(names, min_size=2, max_size=4, unique=True))
        goal = ClassTarget(labels[-1], tuple(found), draw(st.booleans()))
    missing = draw(st.sampled_from(["error", "mean", "median", "most_frequent", "drop"]))
    return Schema(tuple(columns), dropped, goal, missing)


@given(schemas())
def test_json_round_trip(schema):
    text = schema.to_json()
    assert Schema.from_json(text) == schema
    assert Schema.from_json(text).to_json() == text
    json.loads(text, parse_constant=pytest.fail)


@given(
    rows=st.lists(st.tuples(finite, st.sampled_from("uvw"), finite), min_size=2, max_size=8),
    order=st.permutations([0, 1, 2, 3]),
)
def test_reordered_columns_give_equal_features(tmp_path_factory, rows, order):
    folder = tmp_path_factory.mktemp("schema")
    names = ["a", "b", "c", "y"]
    tables = []
    for turn in (range(4), order):
        text = io.StringIO(newline="")
        full = [(*row, i % 2) for i, row in enumerate(rows)]
        csv.writer(text).writerows([[line[i] for i in turn] for line in [names, *full]])
        path = folder / "t.csv"
        path.write_bytes(text.getvalue().encode())
        tables.append(read_csv(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        schema = Schema.fit(tables[0], "y")
    X = schema.transform(tables[0])
    assert np.all(np.isfinite(X))
    np.testing.assert_array_equal(schema.transform(tables[1]), X)
    np.testing.assert_array_equal(schema.target(tables[1]), schema.target(tables[0]))


def test_terminal_escapes_are_escaped_in_messages():
    cells = np.array(["\x1b[2J", "b"], dtype=TEXT)
    labels = np.array(["p", "q"], dtype=TEXT)
    table = Table(("\x07", "y"), (cells, labels), "t\n.csv", np.array([2, 3]))
    schema = Schema.fit(table, "y")
    other = Table(("\x07",), (np.array(["\x1b[1A"], dtype=TEXT),), "t\n.csv", np.array([2]))
    with pytest.raises(DataError) as caught:
        schema.transform(other)
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(
        r"t\n.csv:2:1: column '\x07': category '\x1b[1A' was never seen"
    )
