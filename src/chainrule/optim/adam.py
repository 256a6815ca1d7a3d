"""Adam, and AMSGrad, which never lets the second moment fall."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import bias_correction, each_leaf, next_step, step_zero
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def adam_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    step_size: Array,
    one_minus_b1: float,
    one_minus_b2: float,
    eps: Array,
) -> tuple[Array, Array, Array]:
    """Adam for one parameter array (Kingma & Ba 2015, section 2, the efficient form).

    param, grad, m, v: one shape; step_size and eps hold the bias corrections -> new param, m, v.
    """
    m = m + one_minus_b1 * (grad - m)
    v = v + one_minus_b2 * (grad * grad - v)
    return param - step_size * m / (xp.sqrt(v) + eps), m, v


def amsgrad_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    v_max: Array,
    step_size: Array,
    one_minus_b1: float,
    one_minus_b2: float,
    eps: Array,
) -> tuple[Array, Array, Array, Array]:
    """AMSGrad for one parameter array (Reddi, Kale & Kumar 2018, algorithm 2).

    param, grad, m, v, v_max: one shape -> new param, m, v, v_max.
    """
    m = m + one_minus_b1 * (grad - m)
    v = v + one_minus_b2 * (grad * grad - v)
    v_max = xp.maximum(v_max, v)
    return param - step_size * m / (xp.sqrt(v_max) + eps), m, v, v_max


def folded_corrections(
    xp: Namespace, step: Array, learning_rate: Array, b1: float, b2: float, eps: float
) -> tuple[Array, Array]:
    """Return the step size and eps (0-d) that fold both bias corrections into Adam's update.

    With c1 = 1 - b1^t and c2 = 1 - b2^t: lr m̂ / (√v̂ + eps) = (lr √c2 / c1) m / (√v + eps √c2).
    """
    root = xp.sqrt(bias_correction(xp, step, b2))
    return learning_rate * root / bias_correction(xp, step, b1), eps * root


@dataclass(frozen=True)
class Adam:
    """Adam in the form m̂ / (√v̂ + eps) of PyTorch and optax, or AMSGrad.

    AMSGrad as PyTorch: the maximum is taken of the uncorrected second moment, then corrected.
    Raises `InputError` for a setting outside its range.

    >>> Adam(3e-4)
    Adam(lr=0.0003, b1=0.9, b2=0.999, eps=1e-08, amsgrad=False)
    """

    name: ClassVar[str] = "adam"
    lr: float | Schedule = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    amsgrad: bool = False

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("b1", self.b1)
        settings.fraction("b2", self.b2)
        settings.positive("eps", self.eps)
        settings.flag("amsgrad", self.amsgrad)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return step 0 and the moments `m`, `v` (and `v_max`), zeros."""
        kept = ("m", "v", "v_max") if self.amsgrad else ("m", "v")
        moments = {name: tree.map(xp.zeros_like, params) for name in kept}
        return {"step": step_zero(xp, params), **moments}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        step = next_step(xp, state["step"])
        step_size, eps = folded_corrections(xp, step, learning_rate, self.b1, self.b2, self.eps)
        rule = partial(
            amsgrad_update if self.amsgrad else adam_update,
            xp,
            step_size=step_size,
            one_minus_b1=1.0 - self.b1,
            one_minus_b2=1.0 - self.b2,
            eps=eps,
        )
        names = ("m", "v", "v_max") if self.amsgrad else ("m", "v")
        params, *moments = each_leaf(
            1 + len(names), rule, params, grads, *(state[name] for name in names)
        )
        return params, {"step": step, **dict(zip(names, moments, strict=True))}


adam = Adam


def amsgrad(
    lr: float | Schedule = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Adam:
    """Return the AMSGrad variant of `Adam`."""
    return Adam(lr, b1, b2, eps, amsgrad=True)
