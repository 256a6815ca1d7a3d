"""RMSprop: the gradient over the root of its decaying mean square."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.optim.optimizer import each_leaf
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def mean_square(v: Array, grad: Array, one_minus_rho: float) -> Array:
    """Return the decaying mean of the squared gradients (Tieleman & Hinton 2012, lecture 6.5)."""
    return v + one_minus_rho * (grad * grad - v)


def mean_and_variance(
    mean: Array, v: Array, grad: Array, rho: float, one_minus_rho: float
) -> tuple[Array, Array]:
    """Return the decaying mean and variance of the gradients (Graves 2013, eq. 38 to 40).

    The variance is Graves' mean of squares less the square of the mean, in the recursive form of
    Finch 2009, section 9, which rounding cannot make negative.
    """
    deviation = grad - mean
    return (
        mean + one_minus_rho * deviation,
        rho * (v + one_minus_rho * (deviation * deviation)),
    )


def rmsprop_update(
    xp: Namespace, param: Array, grad: Array, v: Array, learning_rate: Array, eps: float
) -> Array:
    """RMSprop for one parameter array; v is the mean square (or variance): one shape."""
    return param - learning_rate * grad / (xp.sqrt(v) + eps)


def rmsprop_momentum_update(
    xp: Namespace,
    param: Array,
    grad: Array,
    v: Array,
    velocity: Array,
    learning_rate: Array,
    momentum: float,
    eps: float,
) -> tuple[Array, Array]:
    """RMSprop whose scaled gradients feed a velocity; one shape -> new param, velocity."""
    velocity = momentum * velocity + grad / (xp.sqrt(v) + eps)
    return param - learning_rate * velocity, velocity


@dataclass(frozen=True)
class RMSprop:
    """RMSprop; eps stands outside the root and momentum acts after the scaling, as in PyTorch.

    `rho` is the decay (PyTorch's alpha); `centered` divides by the variance's root.
    Raises `InputError` for a setting outside its range.
    """

    name: ClassVar[str] = "rmsprop"
    lr: float | Schedule = 1e-2
    rho: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("rho", self.rho)
        settings.positive("eps", self.eps)
        settings.fraction("momentum", self.momentum)
        settings.flag("centered", self.centered)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return zeros: `v`, and `mean` and `velocity` where the settings need them."""
        kept = ["v"]
        if self.centered:
            kept.append("mean")
        if self.momentum:
            kept.append("velocity")
        return {name: tree.map(xp.zeros_like, params) for name in kept}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        state = dict(state)
        one_minus_rho = 1.0 - self.rho
        if self.centered:
            moments = partial(mean_and_variance, rho=self.rho, one_minus_rho=one_minus_rho)
            state["mean"], state["v"] = each_leaf(2, moments, state["mean"], state["v"], grads)
        else:
            moment = partial(mean_square, one_minus_rho=one_minus_rho)
            state["v"] = tree.map(moment, state["v"], grads)
        if self.momentum:
            rule = partial(
                rmsprop_momentum_update,
                xp,
                learning_rate=learning_rate,
                momentum=self.momentum,
                eps=self.eps,
            )
            params, state["velocity"] = each_leaf(
                2, rule, params, grads, state["v"], state["velocity"]
            )
        else:
            rule = partial(rmsprop_update, xp, learning_rate=learning_rate, eps=self.eps)
            params = tree.map(rule, params, grads, state["v"])
        return params, state


rmsprop = RMSprop
