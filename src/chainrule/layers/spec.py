"""Networks as JSON: a name and settings a layer, nothing that could be executed."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from math import isfinite
from reprlib import repr as shortened
from typing import Any, cast

import numpy as np

from chainrule.errors import InputError, choice, nearest
from chainrule.layers import LAYERS
from chainrule.layers.layer import Layer
from chainrule.layers.sequential import Sequential

DEEPEST = 20


def to_json(layer: Layer) -> dict[str, Any]:
    """Return ``{"layer": "Dense", "units": 128, …}``, with ``"layers"`` for a Sequential.

    >>> from chainrule.layers import Dense, ReLU
    >>> to_json(Sequential(Dense(2, use_bias=False), ReLU()))["layers"][1]
    {'layer': 'ReLU'}
    """
    name = type(layer).__name__
    if isinstance(layer, Sequential):
        return {"layer": name, "layers": [to_json(inner) for inner in layer.layers]}
    if not hasattr(layer, "__dataclass_fields__"):
        raise InputError(f"layer {name} cannot be saved: expected a frozen dataclass")
    own = [field.name for field in fields(cast(Any, layer)) if field.init]
    return {"layer": name} | {key: _plain(name, key, getattr(layer, key)) for key in own}


def from_json(spec: object, custom: Iterable[type] = (), *, depth: int = 0) -> Layer:
    """Return the network `to_json` described; `custom` holds the user's own layer classes.

    Raises `InputError` for an unknown layer or setting, or one out of range.
    """
    if depth > DEEPEST:
        raise InputError(f"model: layers are nested more than {DEEPEST} deep")
    if not isinstance(spec, Mapping):
        raise InputError(f"model: expected a layer with its settings, got {shortened(spec)}")
    given = dict(cast("Mapping[str, Any]", spec))
    known = LAYERS | {layer.__name__: layer for layer in custom}
    name = given.pop("layer", None)
    if not isinstance(name, str):
        raise InputError(f"model: expected a layer with its name, got {shortened(given)}")
    if name not in known:
        raise InputError(
            f"model: layer {name!r} is unknown{nearest(name, known)}; "
            f"pass your own classes, custom=[{name}]"
        )
    if known[name] is Sequential:
        inner = given.pop("layers", None)
        if not isinstance(inner, list) or given:
            raise InputError("model: Sequential takes a list of layers")
        return Sequential(*(from_json(one, custom, depth=depth + 1) for one in cast(Any, inner)))
    settings: dict[str, Field[Any]] = {f.name: f for f in fields(known[name]) if f.init}
    for key in given:
        choice(f"model: {name} setting", key, settings)
    for key, field in settings.items():
        if key not in given and field.default is field.default_factory is MISSING:
            raise InputError(f"model: {name} lacks the setting {key!r}")
    return known[name](**{key: _setting(value, custom, depth) for key, value in given.items()})


def _plain(layer: str, key: str, value: Any) -> Any:
    """Return a setting as JSON holds it: a number, text, a layer, or a list of them."""
    if isinstance(value, tuple | list):
        return [_plain(layer, key, part) for part in cast("list[Any]", value)]
    if hasattr(value, "backward"):
        return to_json(value)
    plain = cast(Any, value.item() if isinstance(value, np.generic) else value)
    if plain is None or isinstance(plain, str | int):
        return plain
    if isinstance(plain, float) and isfinite(plain):
        return plain
    raise InputError(
        f"layer {layer} cannot be saved: its setting {key}={value!r:.40} is no finite number, "
        "text, layer or tuple of them"
    )


def _setting(value: Any, custom: Iterable[type], depth: int) -> Any:
    """Return the setting that `_plain` wrote; a list becomes a tuple."""
    if depth > DEEPEST:
        raise InputError(f"model: settings are nested more than {DEEPEST} deep")
    if isinstance(value, list):
        return tuple(_setting(part, custom, depth + 1) for part in cast("list[Any]", value))
    if isinstance(value, Mapping) and "layer" in value:
        return from_json(cast("Mapping[str, Any]", value), custom, depth=depth + 1)
    return cast(Any, value)
