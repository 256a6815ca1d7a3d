"""Whether a run's steps are compiled, and the program they are compiled to."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import tree
from chainrule.backends.scan import Advice
from chainrule.data.sampler import Sampler
from chainrule.errors import InputError
from chainrule.train.fit import stage_keys
from chainrule.train.programs import layer_of
from chainrule.train.settings import positive_integer
from chainrule.train.state import host_state
from chainrule.typing import Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer


FOREVER = 2**40
"""Steps that always pay: the step is looked at, however short the run."""


def choose(
    trainer: "Trainer",
    data: Tree,
    sampler: Sampler,
    micro_batch: int | None,
    steps: int,
    before: Any,
) -> None:
    """Decide whether the `steps` steps of a run are compiled; leave it in ``trainer.compiled``.

    `before` is what the run that is resumed had decided, or None. Raises `InputError` if the steps
    must be compiled and cannot be.
    """
    asked = trainer.compile
    wanted = before if asked == "auto" and isinstance(before, bool) else asked
    if trainer.full_batch:
        advice = Advice(False, False, f"{trainer.optimizer.name} runs eagerly")
    elif wanted is False:
        advice = Advice(False, False, "compile=False" if asked is False else "as the run was begun")
    else:
        controls = _controls(trainer, min(sampler.batch_size, sampler.rows))
        steps = FOREVER if wanted is True else steps
        advice = trainer.programs.advice(micro_batch, trainer.state, data, controls, steps)
    if wanted is True and not advice.possible:
        why = "compile=True" if asked is True else "the run to resume was compiled"
        way_out = "" if asked is True else "; allow_changed=['compiled'] goes on eagerly"
        raise InputError(f"{why}: {advice.reason}{way_out}") from advice.cause
    trainer.compiled = wanted if isinstance(wanted, bool) else advice.pays
    forced = "compile=True" if asked is True else "as the run was begun"
    trainer.compile_reason = forced if wanted is True else advice.reason


def program_text(trainer: "Trainer", batch_size: int) -> str:
    """Return the step of a built trainer for one batch as loops, to be read."""
    from chainrule.backends.planning import plan
    from chainrule.trace.text import written

    rows = positive_integer("batch_size", batch_size)
    if trainer.full_batch:
        raise InputError(f"{trainer.optimizer.name} runs eagerly: it has no program")
    if trainer.short == "bfloat16":
        raise InputError("dtype='bfloat16': steps run eagerly: they have no program")
    dtype = np.dtype(trainer.backend.dtype)
    labels = trainer.loss.task == "classification" and prod(trainer.out_shape) > 1
    targets = _Array((rows,), np.dtype(np.int64))
    data = {
        "x": _Array((rows, *(trainer.in_shape or ())), dtype),
        "y": targets if labels else _Array((rows, *trainer.out_shape), dtype),
    }
    controls = {
        "indices": _Array((1, rows), np.dtype(np.int64)),
        "learning_rate": _Array((1,), dtype),
    }
    if trainer.random:
        controls["key"] = _Array((1, 2), np.dtype(np.int32))
    state = _with_branches(tree.unflatten(host_state(trainer)), trainer.state)
    try:
        return written(plan(trainer.programs.make_step(None), state, data, controls))
    except Exception as error:
        raise InputError(f"{layer_of(error)}cannot be traced: {error}") from error


@dataclass(frozen=True)
class _Array:
    """All that tracing looks at."""

    shape: tuple[int, ...]
    dtype: Any


def _controls(trainer: "Trainer", rows: int) -> Tree:
    """Return the controls of one step, for their shapes and dtypes."""
    stage = trainer.backend.stage
    controls = {
        "indices": stage(np.arange(rows).reshape(1, rows), "index"),
        "learning_rate": stage(np.zeros(1), "float"),
    }
    if trainer.random:
        controls["key"] = stage_keys(trainer.backend, trainer.seed, range(1))
    return controls


def _with_branches(state: Tree, like: Tree) -> Tree:
    """Return the state with the empty branches that it has on the backend."""
    return {name: state.get(name, {}) for name in like}
