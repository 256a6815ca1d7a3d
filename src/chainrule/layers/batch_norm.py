"""Batch normalisation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from chainrule.errors import InputError
from chainrule.ops.batch_norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_infer,
    batch_norm_running,
)
from chainrule.ops.random import Rng
from chainrule.settings import number
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape, Tree


@dataclass(frozen=True)
class BatchNorm:
    """Normalise each feature over the batch in training, by running statistics outside it.

    running = (1 - momentum) running + momentum batch (Ioffe & Szegedy 2015, algorithms 1 and 2).
    """

    momentum: float = 0.1
    eps: float = 1e-5
    needs_two_rows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0.0 < number(self.momentum) <= 1.0:
            raise InputError(
                f"BatchNorm(momentum={self.momentum!r:.80}): expected a number in (0, 1]"
            )
        if not 0.0 < number(self.eps) < float("inf"):
            raise InputError(f"BatchNorm(eps={self.eps!r:.80}): expected a positive finite number")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """in_shape (..., features) -> scale (features,) of ones, shift (features,) of zeros."""
        if not in_shape:
            raise InputError("the input's shape is (), expected (..., features)")
        return {"scale": np.ones(in_shape[-1:]), "shift": np.zeros(in_shape[-1:])}, in_shape

    def init_running(self, params: Params) -> Tree:
        """Return mean (features,) of zeros and variance (features,) of ones."""
        shape = params["scale"].shape
        return {"mean": np.zeros(shape), "variance": np.ones(shape)}

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x (batch, ..., features) -> y of its shape, by the batch's statistics."""
        return batch_norm_forward(xp, x, params["scale"], params["shift"], eps=self.eps)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> {scale, shift}, dx."""
        dx, dscale, dshift = batch_norm_backward(xp, residuals, dy)
        return {"scale": dscale, "shift": dshift}, dx if needs_dx else None

    def next_running(self, xp: Namespace, running: Tree, residuals: Residuals) -> Tree:
        """Return the running statistics after a training pass."""
        mean, variance = batch_norm_running(
            xp, residuals, running["mean"], running["variance"], momentum=self.momentum
        )
        return {"mean": mean, "variance": variance}

    def infer(self, xp: Namespace, params: Params, running: Tree, x: Array) -> Array:
        """x (batch, ..., features) -> y of its shape, by the running statistics."""
        return batch_norm_infer(
            xp,
            x,
            params["scale"],
            params["shift"],
            running["mean"],
            running["variance"],
            eps=self.eps,
        )
