"""Adamax: Adam with the largest recent gradient in place of the root mean square."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import bias_correction, each_leaf, next_step, step_zero
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def adamax_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    m: Array,
    u: Array,
    step_size: Array,
    one_minus_b1: float,
    b2: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """Adamax for one parameter array (Kingma & Ba 2015, algorithm 2).

    param, grad, m, u: one shape -> new param, m, u.
    """
    m = m + one_minus_b1 * (grad - m)
    u = xp.maximum(b2 * u, xp.abs(grad) + eps)
    return param - step_size * m / u, m, u


@dataclass(frozen=True)
class Adamax:
    """Adamax; eps is added to |gradient| inside the maximum, as in PyTorch (the paper has none).

    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "adamax"
    lr: float | Schedule = 2e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("b1", self.b1)
        settings.fraction("b2", self.b2)
        settings.positive("eps", self.eps)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return step 0, the first moment `m` and the norm `u`, zeros."""
        moments = {name: tree.map(xp.zeros_like, params) for name in ("m", "u")}
        return {"step": step_zero(xp, params), **moments}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        step = next_step(xp, state["step"])
        rule = partial(
            adamax_update,
            xp,
            step_size=learning_rate / bias_correction(xp, step, self.b1),
            one_minus_b1=1.0 - self.b1,
            b2=self.b2,
            eps=self.eps,
        )
        params, m, u = each_leaf(3, rule, params, grads, state["m"], state["u"])
        return params, {"step": step, "m": m, "u": u}


adamax = Adamax
