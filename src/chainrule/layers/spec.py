"""Networks as JSON: a name and settings a layer, nothing that could be executed."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from reprlib import repr as shortened
from typing import Any, cast

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
    own = fields(cast(Any, layer))
    return {"layer": name} | {field.name: getattr(layer, field.name) for field in own}


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
    settings: dict[str, Field[Any]] = {field.name: field for field in fields(known[name])}
    for key in given:
        choice(f"model: {name} setting", key, settings)
    missing = [k for k, f in settings.items() if k not in given and f.default is MISSING]
    if missing:
        raise InputError(f"model: {name} lacks the setting {missing[0]!r}")
    return known[name](**given)
