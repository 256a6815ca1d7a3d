"""NAdam: Adam with Nesterov's momentum."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import bias_correction, each_leaf, next_step, step_zero
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State

_LOG_WARMING = math.log(0.96)
"""The paper's constant in the momentum schedule."""


def nadam_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    grad_size: Array,
    momentum_size: Array,
    one_minus_b1: float,
    one_minus_b2: float,
    eps: Array,
) -> tuple[Array, Array, Array]:
    """NAdam for one parameter array (Dozat 2016, algorithm 2).

    param, grad, m, v: one shape; the sizes hold the rate, the momentum schedule and both bias
    corrections -> new param, m, v.
    """
    m = m + one_minus_b1 * (grad - m)
    v = v + one_minus_b2 * (grad * grad - v)
    return param - (grad_size * grad + momentum_size * m) / (xp.sqrt(v) + eps), m, v


@dataclass(frozen=True)
class NAdam:
    """NAdam with the paper's momentum schedule mu_t = b1 (1 - 0.96^(t momentum_decay) / 2).

    As PyTorch: m decays by b1, not by mu_t, and the form is m̂ / (√v̂ + eps).
    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "nadam"
    lr: float | Schedule = 2e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    momentum_decay: float = 4e-3

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("b1", self.b1)
        settings.fraction("b2", self.b2)
        settings.positive("eps", self.eps)
        settings.not_negative("momentum_decay", self.momentum_decay)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return step 0, the product of the mu_t, 1, and the moments `m` and `v`, zeros."""
        step = step_zero(xp, params)
        moments = {name: tree.map(xp.zeros_like, params) for name in ("m", "v")}
        return {"step": step, "mu_product": xp.ones_like(step), **moments}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        step = next_step(xp, state["step"])
        decay = self.momentum_decay * _LOG_WARMING
        mu = self.b1 * (1.0 - 0.5 * xp.exp(step * decay))
        mu_next = self.b1 * (1.0 - 0.5 * xp.exp((step + 1.0) * decay))
        mu_product = xp.asarray(state["mu_product"] * mu)
        root = xp.sqrt(bias_correction(xp, step, self.b2))
        rate = learning_rate * root
        rule = partial(
            nadam_update,
            xp,
            grad_size=rate * (1.0 - mu) / (1.0 - mu_product),
            momentum_size=rate * mu_next / (1.0 - mu_product * mu_next),
            one_minus_b1=1.0 - self.b1,
            one_minus_b2=1.0 - self.b2,
            eps=self.eps * root,
        )
        params, m, v = each_leaf(3, rule, params, grads, state["m"], state["v"])
        return params, {"step": step, "mu_product": mu_product, "m": m, "v": v}


nadam = NAdam
