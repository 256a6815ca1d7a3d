"""Adadelta: steps in the units of the parameter, from decaying averages of steps and gradients."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import each_leaf
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def adadelta_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    v: Array,
    u: Array,
    learning_rate: Array,
    one_minus_rho: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """Adadelta for one parameter array (Zeiler 2012, algorithm 1; eps inside both roots).

    param, grad, v (mean squared gradient), u (mean squared step): one shape -> new param, v, u.
    """
    v = v + one_minus_rho * (grad * grad - v)
    step = xp.sqrt((u + eps) / (v + eps)) * grad
    u = u + one_minus_rho * (step * step - u)
    return param - learning_rate * step, v, u


@dataclass(frozen=True)
class Adadelta:
    """Adadelta; the paper has no learning rate (1.0), PyTorch scales the step by it.

    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "adadelta"
    lr: float | Schedule = 1.0
    rho: float = 0.9
    eps: float = 1e-6

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("rho", self.rho)
        settings.positive("eps", self.eps)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the mean squared gradients `v` and steps `u`, zeros."""
        return {"v": tree.map(xp.zeros_like, params), "u": tree.map(xp.zeros_like, params)}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        rule = partial(
            adadelta_update,
            xp,
            learning_rate=learning_rate,
            one_minus_rho=1.0 - self.rho,
            eps=self.eps,
        )
        params, v, u = each_leaf(3, rule, params, grads, state["v"], state["u"])
        return params, {"v": v, "u": u}


adadelta = Adadelta
