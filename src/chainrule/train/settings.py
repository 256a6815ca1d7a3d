"""The settings of a trainer and of a fit, and their checks."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from chainrule import settings
from chainrule.backends.base import SHORT_DTYPES
from chainrule.data.sampler import Sampler
from chainrule.errors import InputError, choice
from chainrule.layers.layer import Layer, describe, is_random
from chainrule.losses.loss import Loss

NUMERICS = ("dtype", "matmul_precision", "deterministic")
"""What a trainer computes in, and how."""


@dataclass(frozen=True)
class Penalties:
    """What is added to the gradients, and how they are cut.

    l1, l2: the loss grows by l1 sum |w| + l2 / 2 sum w**2 over the arrays named "weight"; histories
    show it without (L-BFGS, whose line search needs it: with). clip_value bounds each gradient's
    elements, then clip_norm all of them together (2-norm).
    """

    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            settings.not_negative(name, getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                settings.positive(name, getattr(self, name))
                object.__setattr__(self, name, float(getattr(self, name)))


def positive_integer(name: str, value: object) -> int:
    """Return `value`; raise `InputError` unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name}={value!r}: expected a positive integer")
    return int(value)


def named(argument: str, given: Any, table: Mapping[str, Any], method: str) -> Any:
    """Return the loss or optimizer that `given`, a name or an object, stands for."""
    if isinstance(given, str):
        return table[choice(argument, given, table)]()
    if isinstance(given, type) or not hasattr(given, method):
        name = getattr(given, "name", "")
        hint = f"; pass {name}(...)" if isinstance(given, type) and name in table else ""
        raise InputError(
            f"{argument}={given!r:.80}: expected an object or one of {', '.join(table)}{hint}"
        )
    return given


def check_network(model: Layer, loss: Loss) -> None:
    """Refuse what is no layer, and a last layer that does what the loss does already."""
    if isinstance(model, type) or not hasattr(model, "backward"):
        raise InputError(f"model={model!r:.80}: expected a layer, such as Sequential(Dense(10))")
    last: Any = model
    while isinstance(getattr(last, "layers", None), tuple) and last.layers:
        last = last.layers[-1]
    link = {"softmax_cross_entropy": "Softmax", "sigmoid_cross_entropy": "Sigmoid"}.get(loss.name)
    if link is not None and type(last).__name__ == link:
        raise InputError(
            f"the network ends with {describe(last)}, but {loss.name} takes logits and does that "
            "itself; leave it out (predict_proba gives the probabilities)"
        )


def check_full_batch(model: Layer, optimizer: Any, penalties: Penalties, dtype: str) -> None:
    """Refuse what an optimizer that asks for one loss again and again cannot be used with."""
    wrong = [
        (is_random(model), "a network with Dropout, whose loss changes from one look to the next"),
        (penalties.clip_norm is not None, "clip_norm"),
        (penalties.clip_value is not None, "clip_value"),
        (dtype in SHORT_DTYPES, f"dtype={dtype!r}"),
    ]
    for holds, what in wrong:
        if holds:
            raise InputError(f"optimizer={optimizer.name} cannot be used with {what}; try adam")


def check_two_rows(model: Layer, sampler: Sampler, micro_batch: int) -> None:
    """Refuse batches of one row where the network takes statistics over the batch."""
    last = (sampler.tail or sampler.batch_size) % micro_batch
    if getattr(model, "needs_two_rows", False) and (micro_batch == 1 or last == 1):
        raise InputError(
            f"batch_size={micro_batch} leaves a batch of one of the {sampler.rows} rows, from "
            "which BatchNorm takes no statistics; use drop_last=True or another batch_size"
        )


def warn(message: str) -> None:
    """Warn the caller of the trainer's method."""
    warnings.warn(message, UserWarning, stacklevel=3)
