"""A stored schema is checked field by field; nothing in it is trusted."""

import json

import pytest

from chainrule.data import schema_json
from chainrule.data.columns import CategoricalColumn, Dropped, NumericColumn
from chainrule.data.schema import Schema
from chainrule.data.target import ClassTarget, NumberTarget
from chainrule.errors import DataError

SCHEMA = Schema(
    (NumericColumn("a", 0.1, 2.0, 0.5), CategoricalColumn("b", ("x", "y"), None)),
    (Dropped("c", "asked for"),),
    ClassTarget("y", ("p", "q"), False),
    "mean",
)
NUMBERS = Schema(SCHEMA.columns, (), NumberTarget("y", 1.0, 2.0), "error")


def changed(path, value, schema=SCHEMA):
    content = json.loads(schema.to_json())
    *parents, last = path
    place = content
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content)


def test_what_is_written():
    content = json.loads(SCHEMA.to_json())
    assert content["format"] == "chainrule.schema"
    assert content["version"] == 1
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    assert Schema.from_json(NUMBERS.to_json()) == NUMBERS
    assert Schema.from_json(changed(["columns", 0, "mean"], 3)).columns[0].mean == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON at line 1, column 2"),
        ("", "not JSON at line 1, column 1"),
        ("[]", "no chainrule schema; expected an object with format 'chainrule.schema'"),
        ("{}", "no chainrule schema"),
        ('{"format": "x", "format": "chainrule.schema"}', "an object names one key twice"),
        ("[" * 200_000, "nested too deeply"),
        (changed(["version"], 2), "version '2', this chainrule reads version 1; use the chainrule"),
        (changed(["version"], True), "version 'True', this"),
        (changed(["version"], None), "version 'None', this"),
        (changed(["missing"], "guess"), "missing is 'guess'; expected"),
        (changed(["missing"], []), "missing is '\\[\\]'; expected"),
        (changed(["missing"], None), "schema has the keys .*; expected format, version, missing"),
        (changed(["more"], 1), "schema has the keys .*'more'"),
        (changed(["columns"], {}), "schema.columns is no list"),
        (changed(["columns"], []), "columns is empty"),
        (changed(["columns", 0], 5), "columns\\[0\\].kind is 'None'"),
        (changed(["columns", 0, "kind"], "magic"), "columns\\[0\\].kind is 'magic'; expected 'num"),
        (changed(["columns", 0, "name"], ""), "columns\\[0\\].name is ''; expected text"),
        (changed(["columns", 0, "name"], "b"), "a column name occurs twice"),
        (changed(["columns", 0, "mean"], "1"), "columns\\[0\\].mean is '1'; expected a number"),
        (changed(["columns", 0, "mean"], True), "columns\\[0\\].mean is 'True'; expected a number"),
        (changed(["columns", 0, "mean"], 10**400), "columns\\[0\\].mean is out of range"),
        (
            changed(["columns", 0, "scale"], 0),
            "columns\\[0\\].scale is 0.0; expected a number above",
        ),
        (changed(["columns", 0, "scale"], -1.5), "columns\\[0\\].scale is -1.5"),
        (SCHEMA.to_json().replace("0.1", "NaN"), "holds NaN; expected finite numbers"),
        (SCHEMA.to_json().replace("0.1", "1e999"), "columns\\[0\\].mean is out of range"),
        (
            changed(["columns", 1, "categories"], ["y", "x"]),
            "columns\\[1\\].categories are not sort",
        ),
        (changed(["columns", 1, "categories"], ["x", "x"]), "columns\\[1\\].categories holds one"),
        (
            changed(["columns", 1, "categories"], []),
            "columns\\[1\\].categories: expected a list of",
        ),
        (changed(["columns", 1, "categories"], [1]), "columns\\[1\\].categories: expected a list"),
        (changed(["columns", 1, "fill"], "z"), "columns\\[1\\].fill is 'z'; expected a category"),
        (changed(["columns", 1, "fill"], ["x"]), "columns\\[1\\].fill is .*; expected a category"),
        (changed(["dropped", 0], "c"), "dropped\\[0\\] is no object; expected one with name, why"),
        (
            changed(["target"], 1),
            "target.task is 'None'; expected 'classification' or 'regression'",
        ),
        (changed(["target", "task"], "regression"), "target has the keys 'name', 'task', 'class"),
        (changed(["target", "class_names"], ["p"]), "target.class_names has a single class"),
        (changed(["target", "numeric"], 1), "target.numeric is not true or false"),
        (changed(["target", "scale"], 0, NUMBERS), "target.scale is 0.0"),
    ],
)
def test_faults(text, message):
    with pytest.raises(DataError, match=f"^runs/x/schema.json: {message}") as caught:
        Schema.from_json(text, "runs/x/schema.json")
    assert str(caught.value).isprintable()


def test_length_is_capped(monkeypatch):
    monkeypatch.setattr(schema_json, "_LONGEST", 10)
    with pytest.raises(DataError, match=r"^schema\.json: 11 characters; a schema has at most 10"):
        Schema.from_json(" " * 11)
