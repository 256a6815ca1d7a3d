"""Adagrad: a rate per parameter that falls with all its squared gradients."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import each_leaf
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def adagrad_update(
    xp: Namespace, param: Array, grad: Array, total: Array, learning_rate: Array, eps: float
) -> tuple[Array, Array]:
    """Adagrad for one parameter array (Duchi, Hazan & Singer 2011, the diagonal form, figure 1).

    param, grad, total: one shape -> new param, total (the sum of the squared gradients).
    """
    total = total + grad * grad
    return param - learning_rate * grad / (xp.sqrt(total) + eps), total


@dataclass(frozen=True)
class Adagrad:
    """Adagrad; eps stands outside the root, as in PyTorch, and the sum starts at `initial`.

    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "adagrad"
    lr: float | Schedule = 1e-2
    eps: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.positive("eps", self.eps)
        settings.not_negative("initial", self.initial)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the sums of squared gradients."""
        return {"total": tree.map(partial(xp.full_like, fill_value=self.initial), params)}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        params, total = each_leaf(
            2,
            partial(adagrad_update, xp, learning_rate=learning_rate, eps=self.eps),
            params,
            grads,
            state["total"],
        )
        return params, {"total": total}


adagrad = Adagrad
