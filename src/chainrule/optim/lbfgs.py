"""L-BFGS: a quasi-Newton method for the loss of all the data at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

from chainrule import settings
from chainrule.errors import InputError
from chainrule.optim.line_search import Trial, strong_wolfe
from chainrule.optim.schedules import OnPlateau, Schedule, rate_at
from chainrule.typing import Array, Grads, Namespace, Params, State, Tree


def two_loop(
    xp: Namespace,
    grad: Array,
    s: list[Array],
    y: list[Array],
    ys: list[Array],
    gamma: Array,
) -> Array:
    """Return the direction -H grad of the inverse Hessian that the pairs describe.

    grad and each s (step), y (change of the gradient): (n,); ys their products and gamma the first
    guess of H's diagonal, 0-d; oldest pair first. Source: Nocedal & Wright 2006, algorithm 7.4.
    """
    direction = -grad
    weights: list[Array] = []
    for step, change, product in zip(reversed(s), reversed(y), reversed(ys), strict=True):
        weight = xp.matmul(step, direction) / product
        direction = direction - weight * change
        weights.append(weight)
    direction = gamma * direction
    for step, change, product, weight in zip(s, y, ys, reversed(weights), strict=True):
        direction = direction + (weight - xp.matmul(change, direction) / product) * step
    return direction


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with a strong Wolfe line search, or with steps of `lr` times the direction.

    The first step is min(1, 1 / |grad|_1) lr. Without a line search (None) it is torch.optim.LBFGS:
    pairs with y.s <= 1e-10 are left out; with one, those with y.s <= machine epsilon times y.y.
    It stops when the largest |gradient| is at most `tolerance_grad`, when the largest change of a
    parameter is at most `tolerance_change` or that of the loss below it, or when no lower loss is
    found along the negative gradient; the state's `stopped` is then 1 and `iterate` returns at
    once. `max_evaluations` bounds one line search. Scalars are read on the host.
    Raises `InputError` for a setting outside its range.
    Source: Nocedal & Wright 2006, algorithms 7.4 and 7.5; gamma is eq. 7.20.
    """

    name: ClassVar[str] = "lbfgs"
    lr: float | Schedule = 1.0
    history: int = 10
    line_search: str | None = "strong_wolfe"
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9
    max_evaluations: int = 25

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        if isinstance(self.lr, OnPlateau):
            raise InputError("lr=on_plateau(...): expected a number or another schedule with lbfgs")
        settings.whole("history", self.history, 1)
        settings.one_of("line_search", self.line_search, ("strong_wolfe", None))
        settings.not_negative("tolerance_grad", self.tolerance_grad)
        settings.not_negative("tolerance_change", self.tolerance_change)
        settings.whole("max_evaluations", self.max_evaluations, 1)

    def init(self, xp: Namespace, params: Params) -> State:
        """Return the state before the first iteration, all arrays.

        `s` and `y` hold `history` arrays (n,), n the number of parameters, of which the last
        `pairs` count; `ys` their products. `step` counts the iterations.
        """
        x = _ravel(xp, params)
        zero = xp.zeros((), dtype=x.dtype, device=x.device)
        places = [str(place) for place in range(self.history)]
        return {
            "step": zero,
            "pairs": xp.zeros_like(zero),
            "stopped": xp.zeros_like(zero),
            "loss": xp.zeros_like(zero),
            "gamma": xp.ones_like(zero),
            "grad": xp.zeros_like(x),
            "s": {place: xp.zeros_like(x) for place in places},
            "y": {place: xp.zeros_like(x) for place in places},
            "ys": {place: xp.zeros_like(zero) for place in places},
        }

    def iterate(
        self,
        xp: Namespace,
        evaluate: Callable[[Params], tuple[Array, Grads]],
        params: Params,
        state: State,
    ) -> tuple[Params, State, Array]:
        """Take one step: return the next params and state, and the loss (0-d) at the next params.

        evaluate: params -> (loss 0-d, grads); the same function at every iteration, since the
        state keeps the loss and gradient of the last params.
        """
        if float(state["stopped"]):
            return params, state, state["loss"]
        x = _ravel(xp, params)
        fresh = float(state["step"]) == 0
        if fresh:
            loss, grads = evaluate(params)
            state = {**state, "loss": xp.asarray(loss), "grad": _ravel(xp, grads)}
        grad = state["grad"]
        if float(xp.max(xp.abs(grad))) <= self.tolerance_grad:
            return params, _stopped(xp, state), state["loss"]

        direction = self._direction(xp, state)
        length = rate_at(self.lr, int(state["step"]))
        if fresh or (self.line_search and not int(state["pairs"])):
            length *= min(1.0, 1.0 / float(xp.sum(xp.abs(grad))))

        def measure(length: float) -> Trial:
            change = length * direction
            tried = _unravel(xp, x + change, params)
            loss, grads = evaluate(tried)
            next_grad = _ravel(xp, grads)
            slope = float(xp.matmul(next_grad, direction))
            return Trial(length, float(loss), slope, (tried, change, xp.asarray(loss), next_grad))

        slope = float(xp.matmul(grad, direction))
        start = Trial(0.0, float(state["loss"]), slope, None)
        trial = None
        if self.line_search is None:
            if slope <= -self.tolerance_change:
                trial = measure(length)
        elif slope < 0:
            trial = strong_wolfe(
                measure,
                start,
                length,
                max_evaluations=self.max_evaluations,
                tolerance=self.tolerance_change / float(xp.max(xp.abs(direction))),
            )
        if trial is None:
            if self.line_search and int(state["pairs"]):
                return self.iterate(xp, evaluate, params, _forget(xp, state))
            return params, _stopped(xp, state), state["loss"]
        next_params, change, loss, next_grad = trial.kept
        next_state = self._remember(xp, state, change, next_grad)
        next_state["loss"] = loss
        if (
            float(xp.max(xp.abs(next_grad))) <= self.tolerance_grad
            or float(xp.max(xp.abs(change))) <= self.tolerance_change
            or abs(trial.loss - start.loss) < self.tolerance_change
        ):
            next_state = _stopped(xp, next_state)
        return next_params, next_state, loss

    def _direction(self, xp: Namespace, state: State) -> Array:
        used = [str(place) for place in range(self.history - int(state["pairs"]), self.history)]
        s, y, ys = ([state[name][place] for place in used] for name in ("s", "y", "ys"))
        return two_loop(xp, state["grad"], s, y, ys, state["gamma"])

    def _remember(self, xp: Namespace, state: State, s: Array, grad: Array) -> State:
        """Return the state after a step `s` to a point of gradient `grad`."""
        y = grad - state["grad"]
        ys, yy = xp.matmul(y, s), xp.matmul(y, y)
        least = float(xp.finfo(y.dtype).eps) * float(yy) if self.line_search else 1e-10
        state = {**state, "step": xp.asarray(state["step"] + 1.0), "grad": grad}
        if float(ys) > least:
            state["s"] = _push(state["s"], s)
            state["y"] = _push(state["y"], y)
            state["ys"] = _push(state["ys"], xp.asarray(ys))
            state["gamma"] = xp.asarray(ys / yy)
            if int(state["pairs"]) < self.history:
                state["pairs"] = xp.asarray(state["pairs"] + 1.0)
        return state


def _stopped(xp: Namespace, state: State) -> State:
    return {**state, "stopped": xp.ones_like(state["stopped"])}


def _forget(xp: Namespace, state: State) -> State:
    """Drop the history: the next direction is the negative gradient."""
    pairs, gamma = xp.zeros_like(state["pairs"]), xp.ones_like(state["gamma"])
    return {**state, "pairs": pairs, "gamma": gamma}


def _push(entries: Tree, newest: Array) -> Tree:
    """Drop the oldest entry, move the others down, and put `newest` last."""
    kept = [entries[str(place)] for place in range(1, len(entries))]
    return {str(place): entry for place, entry in enumerate([*kept, newest])}


def _ravel(xp: Namespace, tree: Tree) -> Array:
    """Return all leaves in one array (n,), in the order of their sorted keys."""
    pieces = [xp.reshape(leaf, (-1,)) for leaf in _sorted_leaves(tree)]
    if not pieces:
        raise InputError("params: no arrays in the tree; expected a network with parameters")
    return xp.concat(pieces)


def _sorted_leaves(tree: Tree) -> list[Array]:
    found: list[Array] = []
    for key in sorted(tree):
        value = tree[key]
        found += _sorted_leaves(cast(Tree, value)) if isinstance(value, dict) else [value]
    return found


def _unravel(xp: Namespace, flat: Array, like: Tree) -> Tree:
    """Return the tree of the shapes of `like` whose `_ravel` is `flat`."""
    return _take(xp, flat, like, 0)[0]


def _take(xp: Namespace, flat: Array, like: Tree, start: int) -> tuple[Tree, int]:
    taken: Tree = {}
    for key in sorted(like):
        value = like[key]
        if isinstance(value, dict):
            taken[key], start = _take(xp, flat, cast(Tree, value), start)
        else:
            size = 1
            for length in value.shape:
                size *= length
            taken[key] = xp.reshape(flat[start : start + size], value.shape)
            start += size
    return {key: taken[key] for key in like}, start


lbfgs = LBFGS
