"""The training step: one pure function of state and batch, for every model, loss and optimizer."""

from collections.abc import Callable, Iterator
from typing import Any

from chainrule import tree
from chainrule.layers.layer import Layer, next_running, train_forward
from chainrule.losses.loss import Loss
from chainrule.ops.random import Key
from chainrule.optim.optimizer import Optimizer
from chainrule.optim.transforms import add_l1, add_l2, clip_by_norm, clip_by_value, penalty
from chainrule.train import loss_scale
from chainrule.typing import Array, Grads, Namespace, Params, State, Tree

Step = Callable[[Namespace, State, Tree], tuple[State, dict[str, Any]]]
Gradients = Callable[[Namespace, State, Tree], tuple[Array, Array | None, Grads, Tree]]

PLACE = "dropout"
"""The place of a step's random numbers; a micro-batch adds its number."""


def make_gradients(
    model: Layer,
    loss: Loss,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    micro_batch: int | None = None,
    short: str | None = None,
    penalised: bool = False,
) -> Gradients:
    """Return ``gradients(xp, state, batch) -> (loss, weight, grads, running)``, a pure function.

    state: ``params`` and ``running``; batch: ``x`` (rows, ...), ``y`` (rows, ...), and optionally
    ``weight`` (rows,) and ``key`` (2,) int32. The loss is the weighted mean over the batch, 0-d,
    with the penalties only if `penalised`; `weight` is what the batch counts in an epoch's mean:
    the sum of its rows' weights, 0-d, or None where it is their number.

    `micro_batch` rows are in memory at a time; the sum of their gradients is the whole batch's,
    whatever is left for the last. `short`, "float16" or "bfloat16", is what the passes are computed
    in, from float32 and back; the loss itself is float32. In float16 it is multiplied by the scale
    in the state (Micikevicius et al. 2018), and the gradients are returned without it.
    """
    scaled = short == "float16"

    def one_pass(
        xp: Namespace, params: Params, part: Tree, shares: Array | float, scale: Any, place: str
    ) -> tuple[Array, Grads, Any]:
        key = Key(part["key"], place) if "key" in part else None
        x = part["x"]
        if short:
            params, x = in_dtype(xp, params, short), xp.astype(x, getattr(xp, short))
        output, residuals = train_forward(model, xp, params, x, key)
        if short:
            output = xp.astype(output, xp.float32)
        value, kept = loss.forward(xp, output, part["y"], shares)
        doutput = loss.backward(xp, kept, scale)
        if short:
            doutput = xp.astype(doutput, getattr(xp, short))
        grads, _ = model.backward(xp, residuals, doutput, needs_dx=False)
        if short:
            grads = in_dtype(xp, grads, "float32")
        if scaled:
            grads = loss_scale.unscaled(grads, scale)
        return value, grads, residuals

    def gradients(
        xp: Namespace, state: State, batch: Tree
    ) -> tuple[Array, Array | None, Grads, Tree]:
        params, running = state["params"], state["running"]
        scale = state["scale"]["factor"] if scaled else 1.0
        shares, total = row_shares(xp, loss, batch, batch["x"].dtype)
        value: Any = None
        grads: Grads = {}
        for part, part_shares, place in _parts(batch, shares, micro_batch):
            more, own, residuals = one_pass(xp, params, part, part_shares, scale, place)
            value = more if value is None else value + more
            grads = tree.map(lambda a, b: a + b, grads, own) if grads else own
            if running:
                running = next_running(model, xp, running, residuals)
        if penalised and (l1 or l2):
            value = value + penalty(xp, params, l1, l2)
        if l2:
            grads = add_l2(xp, grads, params, l2)
        if l1:
            grads = add_l1(xp, grads, params, l1)
        return value, total, grads, running

    return gradients


def make_step(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    micro_batch: int | None = None,
    short: str | None = None,
) -> Step:
    """Return ``step(xp, state, batch) -> (state, metrics)``, a pure function.

    state: ``params``, ``running``, ``optimizer`` (and ``scale`` in float16), dead after the call.
    batch: as `make_gradients` takes it, and ``learning_rate``, 0-d. metrics: ``loss``, the batch's
    mean; where rows are weighted ``weight``, the sum of their weights; in float16 also ``finite``,
    0-d bool: whether the step was taken. Nothing inside reads an array's values on the host.
    `short` is as in `make_gradients`.
    """
    gradients = make_gradients(model, loss, l1=l1, l2=l2, micro_batch=micro_batch, short=short)

    def step(xp: Namespace, state: State, batch: Tree) -> tuple[State, dict[str, Any]]:
        value, weight, grads, running = gradients(xp, state, batch)
        finite = loss_scale.all_finite(xp, grads) if short == "float16" else None
        if clip_value is not None:
            grads = clip_by_value(xp, grads, clip_value)
        if clip_norm is not None:
            grads = clip_by_norm(xp, grads, clip_norm)
        params, memory = optimizer.update(
            xp, grads, state["optimizer"], state["params"], batch["learning_rate"]
        )
        taken: State = {"params": params, "running": running, "optimizer": memory}
        metrics: dict[str, Any] = {"loss": value}
        if weight is not None:
            metrics["weight"] = weight
        if finite is None:
            return taken, metrics
        kept = {name: state[name] for name in taken}
        chosen = tree.map(lambda new, old: xp.where(finite, new, old), taken, kept)
        chosen["scale"] = loss_scale.adjusted(xp, state["scale"], finite)
        return chosen, {**metrics, "finite": finite}

    return step


def in_dtype(xp: Namespace, arrays: Tree, dtype: str) -> Tree:
    """Return the arrays in the dtype of that name."""
    return tree.map(lambda array: xp.astype(array, getattr(xp, dtype)), arrays)


def row_shares(
    xp: Namespace, loss: Loss, batch: Tree, dtype: Any
) -> tuple[Array | float, Array | None]:
    """Return each row's share of the mean, and the sum of their weights.

    Where all count the same, the share is a float and the sum None.
    """
    rows = batch["x"].shape[0]
    weights = loss.row_weights(xp, batch["y"], batch.get("weight"), dtype)
    if weights is None:
        return 1.0 / max(rows, 1), None
    total = xp.sum(weights)
    return weights / xp.where(total > 0, total, 1.0), total


def _parts(
    batch: Tree, shares: Any, micro_batch: int | None
) -> Iterator[tuple[Tree, Array | float, str]]:
    """Yield the batch in parts of at most `micro_batch` rows, each with its shares and place."""
    rows = batch["x"].shape[0]
    if micro_batch is None or micro_batch >= rows:
        yield batch, shares, PLACE
        return
    for number, start in enumerate(range(0, rows, micro_batch)):
        stop = min(start + micro_batch, rows)
        part = {name: batch[name][start:stop, ...] for name in ("x", "y")}
        if "key" in batch:
            part["key"] = batch["key"]
        own = shares if isinstance(shares, float) else shares[start:stop]
        yield part, own, f"{PLACE}/{number}"
