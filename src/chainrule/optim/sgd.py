"""Stochastic gradient descent, with momentum and Nesterov's momentum."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from chainrule import settings, tree
from chainrule.errors import InputError
from chainrule.optim.optimizer import each_leaf
from chainrule.optim.schedules import Schedule
from chainrule.typing import Array, Grads, Namespace, Params, State


def sgd_update(param: Array, grad: Array, learning_rate: Array) -> Array:
    """Step down the gradient: param, grad of one shape -> new param."""
    return param - learning_rate * grad


def momentum_update(
    param: Array, grad: Array, velocity: Array, learning_rate: Array, momentum: float
) -> tuple[Array, Array]:
    """Step down the velocity, a decaying sum of gradients (Polyak 1964).

    param, grad, velocity: one shape -> new param, velocity.
    """
    velocity = momentum * velocity + grad
    return param - learning_rate * velocity, velocity


def nesterov_update(
    param: Array, grad: Array, velocity: Array, learning_rate: Array, momentum: float
) -> tuple[Array, Array]:
    """Step down the gradient plus the velocity that the next step would have.

    param, grad, velocity: one shape -> new param, velocity.
    Source: Sutskever, Martens, Dahl & Hinton 2013, eq. 3 and 4, at the look-ahead point.
    """
    velocity = momentum * velocity + grad
    return param - learning_rate * (grad + momentum * velocity), velocity


@dataclass(frozen=True)
class SGD:
    """Gradient descent; `momentum` in [0, 1), with `nesterov` in Sutskever's form.

    As PyTorch: the velocity is not scaled by 1 - momentum, nor by the learning rate, so that a
    change of the rate acts on the whole velocity at once.
    Raises `InputError` for a setting outside its range.

    >>> import numpy as np
    >>> optimizer = SGD(lr=0.1)
    >>> params, grads = {"weight": np.asarray([1.0])}, {"weight": np.asarray([2.0])}
    >>> optimizer.update(np, grads, optimizer.init(np, params), params, 0.1)[0]
    {'weight': array([0.8])}
    """

    name: ClassVar[str] = "sgd"
    lr: float | Schedule = 1e-2
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        settings.fraction("momentum", self.momentum)
        settings.flag("nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0:
            raise InputError("nesterov=True: expected a momentum above 0, as in momentum=0.9")

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the velocities, zeros; without momentum the state is empty."""
        return {"velocity": tree.map(xp.zeros_like, params)} if self.momentum else {}

    def update(
        self, xp: Namespace, grads: Grads, state: State, params: Params, learning_rate: Array
    ) -> tuple[Params, State]:
        """Return the next params and state."""
        if not self.momentum:
            rule = partial(sgd_update, learning_rate=learning_rate)
            return tree.map(rule, params, grads), {}
        rule = nesterov_update if self.nesterov else momentum_update
        params, velocity = each_leaf(
            2,
            partial(rule, learning_rate=learning_rate, momentum=self.momentum),
            params,
            grads,
            state["velocity"],
        )
        return params, {"velocity": velocity}


sgd = SGD
