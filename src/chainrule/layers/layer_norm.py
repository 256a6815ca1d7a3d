"""Layer normalisation."""

from dataclasses import dataclass

import numpy as np

from chainrule.errors import InputError
from chainrule.ops.layer_norm import layer_norm_backward, layer_norm_forward
from chainrule.ops.random import Rng
from chainrule.settings import number
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape


@dataclass(frozen=True)
class LayerNorm:
    """Normalise each row over its last axis, then scale and shift (Ba, Kiros & Hinton 2016)."""

    eps: float = 1e-5

    def __post_init__(self) -> None:
        if not 0.0 < number(self.eps) < float("inf"):
            raise InputError(f"LayerNorm(eps={self.eps!r:.80}): expected a positive finite number")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """in_shape (..., features) -> scale (features,) of ones, shift (features,) of zeros."""
        if not in_shape:
            raise InputError("the input's shape is (), expected (..., features)")
        return {"scale": np.ones(in_shape[-1:]), "shift": np.zeros(in_shape[-1:])}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x (batch, ..., features) -> y of its shape."""
        return layer_norm_forward(xp, x, params["scale"], params["shift"], eps=self.eps)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> {scale, shift}, dx."""
        dx, dscale, dshift = layer_norm_backward(xp, residuals, dy)
        return {"scale": dscale, "shift": dshift}, dx if needs_dx else None
