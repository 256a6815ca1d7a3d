"""What a backend has in hand before the first update: weights, batches, masks, gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import get
from chainrule.backends.base import Backend
from chainrule.data.sampler import Sampler
from chainrule.layers import Layer, Sequential
from chainrule.layers.layer import is_random, train_forward
from chainrule.ops.random import Key
from chainrule.train.fit import batch_rows, stage_keys
from chainrule.train.inputs import prepare_x, prepare_y
from chainrule.train.step import PLACE, make_gradients
from chainrule.train.trainer import Trainer
from chainrule.typing import Array, Namespace, Residuals, Tree

Arrays = dict[str, NDArray[Any]]
"""Host arrays by dotted names."""


@dataclass(frozen=True)
class Start:
    """What was found, on the host. Steps count from 1.

    state: the initial parameters and running state. rows: the row numbers of each step's batch, as
    gathered. altered: the first step whose gathered x or y are not the host's, None if all are.
    masks: by step, then by layer. gradients: the first step's.
    """

    state: Arrays
    rows: list[NDArray[np.int64]]
    altered: int | None
    masks: dict[int, Arrays]
    gradients: Arrays


def look_at_start(
    trainer: Trainer, X: Any, y: Any, sampler: Sampler, steps: int, looks: tuple[int, ...]
) -> Start:
    """Return what a built trainer is about to work with, computed by its backend as in training.

    Batches are gathered for the first `steps` steps, masks made for those of them in `looks`, of
    which step 1 is one.
    """
    backend, model = trainer.backend, trainer.model
    host = _prepared(trainer, get("numpy", backend.dtype), X, y)
    rows = np.arange(sampler.rows)
    with backend.scope():
        data = _prepared(trainer, backend, X, y)
        numbered = data | {"row": backend.asarray(rows, "index")}
        keys = stage_keys(backend, trainer.seed, range(steps)) if trainer.random else None
        gradients = make_gradients(model, trainer.loss)

        def gathered(data: Tree, indices: Array) -> Tree:
            return {name: backend.gather(array, indices) for name, array in data.items()}

        def passes(state: Tree, data: Tree, indices: Array, words: Array | None) -> Tree:
            batch, xp = gathered(data, indices), backend.xp
            key = None if words is None else Key(words, PLACE)
            _, kept = train_forward(model, xp, state["params"], batch["x"], key)
            batch |= {} if words is None else {"key": words}
            grads = gradients(xp, state, batch)[2]
            return {"grads": grads, "masks": dict(_masks(xp, model, kept, ""))}

        gather, run = backend.compile(gathered), backend.compile(passes)
        state = {part: trainer.state[part] for part in ("params", "running")}
        taken: list[NDArray[np.int64]] = []
        altered: int | None = None
        made: dict[int, Arrays] = {}
        grads: Arrays = {}
        for step, (indices, expected) in enumerate(_batches(backend, sampler, steps), start=1):
            batch = on_host(backend, gather(numbered, indices))
            taken.append(batch.pop("row").astype(np.int64))
            same = all(same_bits(batch[name], host[name][expected]) for name in host)
            altered = step if altered is None and not same else altered
            if step in looks:
                words = None if keys is None else keys[step - 1, ...]
                found = run(state, data, indices, words)
                made[step] = on_host(backend, found["masks"])
                grads = grads or on_host(backend, found["grads"])
    return Start(state_on_host(trainer), taken, altered, made, grads)


def state_on_host(trainer: Trainer) -> Arrays:
    """Return the parameters by name, and the running state with ``running.`` in front."""
    state = trainer.state
    return on_host(trainer.backend, state["params"] | {"running": state["running"]})


def on_host(backend: Backend, arrays: Tree) -> Arrays:
    """Return the leaves of a tree by dotted names, copied to the host."""
    return {name: backend.to_numpy(leaf) for name, leaf in tree.flatten(arrays).items()}


def same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Tell whether two arrays agree bit for bit; integers may be of different width."""
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        a, b = a.astype(np.int64), b.astype(np.int64)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def digest(arrays: list[NDArray[Any]]) -> str:
    """Return 16 hexadecimal digits that stand for the shapes, dtypes and bits of the arrays."""
    sums = blake2b(digest_size=8)
    for array in arrays:
        sums.update(f"{array.shape} {array.dtype}".encode())
        sums.update(array.tobytes())
    return sums.hexdigest()


def _prepared(trainer: Trainer, backend: Backend, X: Any, y: Any) -> Tree:
    x = prepare_x(backend, X, trainer.in_shape)
    rows = int(x.shape[0])
    return {"x": x, "y": prepare_y(backend, y, trainer.loss, rows, trainer.out_shape)}


def _batches(
    backend: Backend, sampler: Sampler, steps: int
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Yield each step's staged indices and, from the host, the rows they should be."""
    for first in range(0, steps, sampler.batches):
        epoch = first // sampler.batches
        order = sampler.order(epoch)
        for number, rows in zip(range(steps - first), sampler.epoch(epoch), strict=False):
            staged = backend.stage(
                batch_rows(order, number, number + 1, sampler.batch_size), "index"
            )
            yield staged[0, ...], rows


def _masks(
    xp: Namespace, layer: Layer, residuals: Residuals, place: str
) -> Iterator[tuple[str, Array]]:
    """Yield the masks that the random layers have kept for their backward passes."""
    if isinstance(layer, Sequential):
        for number, inner in enumerate(layer.layers):
            name = f"{place}.{number}" if place else str(number)
            yield from _masks(xp, inner, residuals[0][number], name)
    elif is_random(layer):
        kept: list[Any] = list(residuals) if isinstance(residuals, tuple | list) else [residuals]  # pyright: ignore[reportUnknownArgumentType]
        flags = [a for a in kept if hasattr(a, "dtype") and xp.isdtype(a.dtype, "bool")]
        for number, array in enumerate(flags):
            yield f"{place}#{number}" if number else place, array
