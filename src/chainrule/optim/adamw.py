"""AdamW: Adam with weight decay beside the gradient step instead of inside it."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.adam import adam_update, folded_corrections
from chainrule.optim.optimizer import each_leaf, next_step, step_zero
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def adamw_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    kept: Array,
    step_size: Array,
    one_minus_b1: float,
    one_minus_b2: float,
    eps: Array,
) -> tuple[Array, Array, Array]:
    """AdamW for one parameter array (Loshchilov & Hutter 2019, algorithm 2).

    param, grad, m, v: one shape; kept = 1 - lr weight_decay -> new param, m, v.
    """
    decayed = kept * param
    return adam_update(xp, decayed, grad, m, v, step_size, one_minus_b1, one_minus_b2, eps)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay on every parameter, times the learning rate as in PyTorch.

    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "adamw"
    lr: float | Schedule = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("b1", self.b1)
        settings.fraction("b2", self.b2)
        settings.positive("eps", self.eps)
        settings.not_negative("weight_decay", self.weight_decay)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return step 0 and the moments `m` and `v`, zeros."""
        moments = {name: tree.map(xp.zeros_like, params) for name in ("m", "v")}
        return {"step": step_zero(xp, params), **moments}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        step = next_step(xp, state["step"])
        step_size, eps = folded_corrections(xp, step, learning_rate, self.b1, self.b2, self.eps)
        rule = partial(
            adamw_update,
            xp,
            kept=1.0 - learning_rate * self.weight_decay,
            step_size=step_size,
            one_minus_b1=1.0 - self.b1,
            one_minus_b2=1.0 - self.b2,
            eps=eps,
        )
        params, m, v = each_leaf(3, rule, params, grads, state["m"], state["v"])
        return params, {"step": step, "m": m, "v": v}


adamw = AdamW
