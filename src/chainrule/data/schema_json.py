"""A fitted schema as JSON text: versioned, checked field by field on reading, and never code."""

import json
import math
from typing import Any, cast

from chainrule.data.columns import CategoricalColumn, Dropped, FeatureColumn, NumericColumn
from chainrule.data.escaping import shown
from chainrule.data.missing import POLICIES
from chainrule.data.target import ClassTarget, NumberTarget, Target
from chainrule.errors import DataError

FORMAT = "chainrule.schema"
VERSION = 1

Parts = tuple[tuple[FeatureColumn, ...], tuple[Dropped, ...], Target, str]
"""Feature columns, dropped columns, target, missing-value policy."""

_Object = dict[str, Any]
_LONGEST = 64 << 20


def write_schema(
    columns: tuple[FeatureColumn, ...], dropped: tuple[Dropped, ...], target: Target, missing: str
) -> str:
    """Return the parts of a schema as JSON text; floats keep every bit."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "missing": missing,
        "columns": [_column_object(column) for column in columns],
        "dropped": [{"name": column.name, "why": column.why} for column in dropped],
        "target": _target_object(target),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def read_schema(text: str, path: str) -> Parts:
    """Return the parts of the schema in `text`; a `DataError` names `path` and the first fault."""
    try:
        return _read(text)
    except _FaultError as fault:
        raise DataError(f"{path}: {fault}") from None


class _FaultError(Exception):
    """The place inside the JSON text and what is wrong there."""


def _read(text: str) -> Parts:
    if len(text) > _LONGEST:
        raise _FaultError(f"{len(text)} characters; a schema has at most {_LONGEST}")
    try:
        content: Any = json.loads(
            text, object_pairs_hook=_object_once, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise _FaultError(f"not JSON at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _FaultError("nested too deeply; expected a schema") from None
    if not isinstance(content, dict) or cast(_Object, content).get("format") != FORMAT:
        raise _FaultError(f"no chainrule schema; expected an object with format '{FORMAT}'")
    content = cast(_Object, content)
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        raise _FaultError(
            f"version {shown(str(version))}, this chainrule reads version {VERSION}; "
            "use the chainrule that wrote it, or fit the schema again"
        )
    _keys(content, "schema", ("format", "version", "missing", "columns", "dropped", "target"))
    if content["missing"] not in POLICIES:
        raise _FaultError(f"missing is {shown(str(content['missing']))}; expected {POLICIES}")
    columns = tuple(
        _column(item, f"columns[{i}]") for i, item in enumerate(_list(content, "columns", "schema"))
    )
    dropped = tuple(
        _dropped(item, f"dropped[{i}]")
        for i, item in enumerate(_list(content, "dropped", "schema"))
    )
    target = _target(content["target"])
    names = [column.name for column in (*columns, *dropped, target)]
    if len(set(names)) != len(names):
        raise _FaultError("a column name occurs twice")
    if not columns:
        raise _FaultError("columns is empty; expected one feature column or more")
    return columns, dropped, target, content["missing"]


def _column_object(column: FeatureColumn) -> _Object:
    if isinstance(column, NumericColumn):
        return {
            "name": column.name,
            "kind": "numeric",
            "mean": column.mean,
            "scale": column.scale,
            "fill": column.fill,
        }
    return {
        "name": column.name,
        "kind": "categorical",
        "categories": list(column.categories),
        "fill": column.fill,
    }


def _column(item: Any, where: str) -> FeatureColumn:
    kind = cast(_Object, item).get("kind") if isinstance(item, dict) else None
    if kind == "numeric":
        fields = _keys(item, where, ("name", "kind", "mean", "scale", "fill"))
        fill = None if fields["fill"] is None else _number(fields, "fill", where)
        mean, scale = _number(fields, "mean", where), _scale(fields, where)
        return NumericColumn(_text(fields, "name", where), mean, scale, fill)
    if kind == "categorical":
        fields = _keys(item, where, ("name", "kind", "categories", "fill"))
        categories = _texts(fields, "categories", where)
        if list(categories) != sorted(categories):
            raise _FaultError(f"{where}.categories are not sorted")
        if fields["fill"] is not None and fields["fill"] not in categories:
            raise _FaultError(f"{where}.fill is {shown(str(fields['fill']))}; expected a category")
        return CategoricalColumn(_text(fields, "name", where), categories, fields["fill"])
    raise _FaultError(f"{where}.kind is {shown(str(kind))}; expected 'numeric' or 'categorical'")


def _dropped(item: Any, where: str) -> Dropped:
    fields = _keys(item, where, ("name", "why"))
    return Dropped(_text(fields, "name", where), _text(fields, "why", where))


def _target_object(target: Target) -> _Object:
    if isinstance(target, NumberTarget):
        content = {"mean": target.mean, "scale": target.scale}
    else:
        content = {"class_names": list(target.class_names), "numeric": target.numeric}
    return {"name": target.name, "task": target.task, **content}


def _target(item: Any) -> Target:
    task = cast(_Object, item).get("task") if isinstance(item, dict) else None
    if task == "regression":
        fields = _keys(item, "target", ("name", "task", "mean", "scale"))
        mean, scale = _number(fields, "mean", "target"), _scale(fields, "target")
        return NumberTarget(_text(fields, "name", "target"), mean, scale)
    if task == "classification":
        fields = _keys(item, "target", ("name", "task", "class_names", "numeric"))
        names = _texts(fields, "class_names", "target")
        if len(names) < 2:
            raise _FaultError("target.class_names has a single class; expected two or more")
        if not isinstance(fields["numeric"], bool):
            raise _FaultError("target.numeric is not true or false")
        return ClassTarget(_text(fields, "name", "target"), names, fields["numeric"])
    raise _FaultError(
        f"target.task is {shown(str(task))}; expected 'classification' or 'regression'"
    )


def _object_once(pairs: list[tuple[str, Any]]) -> _Object:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _FaultError("an object names one key twice")
    return content


def _refuse_constant(name: str) -> float:
    raise _FaultError(f"holds {name}; expected finite numbers")


def _keys(item: Any, where: str, expected: tuple[str, ...]) -> _Object:
    if not isinstance(item, dict):
        raise _FaultError(f"{where} is no object; expected one with {', '.join(expected)}")
    fields = cast(_Object, item)
    if set(fields) != set(expected):
        raise _FaultError(
            f"{where} has the keys {', '.join(map(shown, fields))}; expected {', '.join(expected)}"
        )
    return fields


def _list(fields: _Object, key: str, where: str) -> list[Any]:
    if not isinstance(fields[key], list):
        raise _FaultError(f"{where}.{key} is no list")
    return cast(list[Any], fields[key])


def _text(fields: _Object, key: str, where: str) -> str:
    if not isinstance(fields[key], str) or not fields[key]:
        raise _FaultError(f"{where}.{key} is {shown(str(fields[key]))}; expected text")
    return fields[key]


def _texts(fields: _Object, key: str, where: str) -> tuple[str, ...]:
    texts = _list(fields, key, where)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _FaultError(f"{where}.{key}: expected a list of texts")
    if len(set(texts)) != len(texts):
        raise _FaultError(f"{where}.{key} holds one text twice")
    return tuple(texts)


def _number(fields: _Object, key: str, where: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _FaultError(f"{where}.{key} is {shown(str(value))}; expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _FaultError(f"{where}.{key} is out of range; expected a finite number")
    return number


def _scale(fields: _Object, where: str) -> float:
    scale = _number(fields, "scale", where)
    if scale <= 0:
        raise _FaultError(f"{where}.scale is {scale}; expected a number above 0")
    return scale
