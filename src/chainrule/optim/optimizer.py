"""What an optimizer is, and the few lines all of them share."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, cast

from chainrule import tree
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State, Tree


class Optimizer(Protocol):
    """A frozen dataclass: a learning rate, hyperparameters, and two pure functions.

    `update` is elementwise arithmetic over the leaves, which share one dtype, so that it runs
    eagerly on every library and can be compiled. It reads nothing back to the host.
    """

    name: ClassVar[str]

    @property
    def lr(self) -> float | Schedule:
        """The learning rate, or the schedule that gives it for each step."""
        ...

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the state before the first update: a tree of arrays like `params`' leaves."""
        ...

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state; `learning_rate` is a float or 0-d of their dtype."""
        ...


class FullBatchOptimizer(Protocol):
    """An optimizer that asks for the loss of all the data as often as it needs (L-BFGS)."""

    name: ClassVar[str]

    @property
    def lr(self) -> float | Schedule:
        """The length of the first step it tries, or the schedule that gives it."""
        ...

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the state before the first iteration."""
        ...

    def iterate(
        self,
        xp: Namespace,
        evaluate: Callable[[Params], tuple[Array, Grads]],
        params: Params,
        state: State,
    ) -> tuple[Params, State, Array]:
        """Return the next params and state, and the loss (0-d) at the next params."""
        ...


def each_leaf(count: int, rule: Callable[..., Any], *trees: Tree) -> tuple[Tree, ...]:
    """Apply a rule that returns `count` arrays to matching leaves; return `count` trees."""
    results: tuple[Tree, ...] = tuple({} for _ in range(count))
    first, *rest = trees
    for key, value in first.items():
        matching = [other[key] for other in rest]
        if isinstance(value, dict):
            found = each_leaf(count, rule, cast(Tree, value), *matching)
        else:
            found = rule(value, *matching)
        for result, part in zip(results, found, strict=True):
            result[key] = part
    return results


def step_zero(xp: Namespace, params: Params) -> Array:
    """Return the 0-d step count 0, of the dtype and on the device of `params`.

    A traced array of JAX has no device; what is made beside it goes where it goes.
    """
    leaves = tree.leaves(params)
    if not leaves:
        return xp.zeros(())
    return xp.zeros((), dtype=leaves[0].dtype, device=getattr(leaves[0], "device", None))


def next_step(xp: Namespace, step: Array) -> Array:
    """Return `step` + 1 as a 0-d array (NumPy's arithmetic alone would give a scalar)."""
    return xp.asarray(step + 1.0)


def bias_correction(xp: Namespace, step: Array, b: float) -> Array:
    """Return 1 - b^step (0-d), exact to the last bits in float32 too, where 1 - b^1 is not."""
    return -xp.expm1(step * (math.log(b) if b > 0 else -math.inf))
