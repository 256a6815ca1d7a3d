"""The optimizers and schedules by name, and their settings to and from JSON."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any, cast

from chainrule.errors import InputError, choice, nearest
from chainrule.optim.adadelta import Adadelta
from chainrule.optim.adagrad import Adagrad
from chainrule.optim.adam import Adam, amsgrad
from chainrule.optim.adamax import Adamax
from chainrule.optim.adamw import AdamW
from chainrule.optim.lbfgs import LBFGS
from chainrule.optim.nadam import NAdam
from chainrule.optim.optimizer import FullBatchOptimizer, Optimizer
from chainrule.optim.rmsprop import RMSprop
from chainrule.optim.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    Warmup,
)
from chainrule.optim.sgd import SGD

OPTIMIZERS: dict[str, Callable[..., Optimizer | FullBatchOptimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": NAdam,
    "amsgrad": amsgrad,
    "lbfgs": LBFGS,
}

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step_decay": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "warmup": Warmup,
    "one_cycle": OneCycle,
    "on_plateau": OnPlateau,
}


def to_json(optimizer: Optimizer | FullBatchOptimizer) -> dict[str, Any]:
    """Return ``{"name": ..., setting: value, ...}``, which `from_json` turns back.

    Raises `InputError` for an optimizer or schedule that is not chainrule's own.

    >>> to_json(SGD(Exponential(0.1, factor=0.9)))["lr"]
    {'name': 'exponential', 'lr': 0.1, 'factor': 0.9, 'every': 1}
    """
    return _write("optimizer", optimizer, OPTIMIZERS)


def from_json(data: Mapping[str, Any]) -> Optimizer | FullBatchOptimizer:
    """Return the optimizer whose settings `to_json` wrote.

    Raises `InputError` for an unknown name or setting, a missing one, or a value out of range.
    """
    return _read("optimizer", data, OPTIMIZERS, 0)


def _write(what: str, value: Any, table: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    kind = cast(type[Any], type(value))
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or table.get(name) is not kind:
        raise InputError(
            f"{what}={kind.__name__}: a custom {what} cannot be saved; "
            f"expected one of {', '.join(table)}, or pass it again when loading"
        )
    return {"name": name} | {
        field.name: _plain(getattr(value, field.name)) for field in fields(kind)
    }


def _plain(value: Any) -> Any:
    if callable(value):
        return _write("schedule", value, SCHEDULES)
    if value is None or isinstance(value, (bool, str)):
        return value
    return int(value) if isinstance(value, Integral) else float(cast(Real, value))


def _read(what: str, data: object, table: Mapping[str, Callable[..., Any]], depth: int) -> Any:
    if depth > 2:
        raise InputError(f"{what}: schedules nested too deep; expected warmup around another one")
    if not isinstance(data, Mapping):
        raise InputError(f"{what}={data!r:.80}: expected an object with a name and its settings")
    given = dict(cast(Mapping[str, Any], data))
    name = choice(what, given.pop("name", ""), table)
    known = signature(table[name]).parameters
    for key in given:
        if key not in known:
            raise InputError(
                f"{what} {name}: unknown setting {key!r}{nearest(str(key), known)}; "
                f"expected {', '.join(known)}"
            )
    for key, parameter in known.items():
        if key not in given and parameter.default is Parameter.empty:
            raise InputError(f"{what} {name}: the setting {key!r} is missing")
    if isinstance(given.get("lr"), Mapping):
        given["lr"] = _read("schedule", given["lr"], SCHEDULES, depth + 1)
    return table[name](**given)
