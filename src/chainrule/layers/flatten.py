"""Flattening."""

from dataclasses import dataclass
from math import prod

from chainrule.ops.random import Rng
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape


@dataclass(frozen=True)
class Flatten:
    """Reshape (batch, ...) to (batch, features)."""

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """in_shape (...,) -> no parameters, (features,)."""
        return {}, (prod(in_shape),)

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x (batch, ...) -> y (batch, features)."""
        return xp.reshape(x, (x.shape[0], prod(x.shape[1:]))), (x.shape,)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy (batch, features) -> dx (batch, ...)."""
        (shape,) = residuals
        return {}, xp.reshape(dy, shape) if needs_dx else None
