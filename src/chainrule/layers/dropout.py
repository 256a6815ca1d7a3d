"""Dropout."""

from dataclasses import dataclass
from typing import ClassVar

from chainrule.errors import InputError
from chainrule.ops.dropout import dropout_backward, dropout_forward
from chainrule.ops.random import Key, Rng
from chainrule.settings import number
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape, Tree


@dataclass(frozen=True)
class Dropout:
    """In training, zero elements with probability `rate` and scale the rest by 1 / (1 - rate).

    The mask depends on seed, step and the layer's place alone: the same bits on every library.
    """

    rate: float = 0.5
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.rate) < 1.0:
            raise InputError(f"Dropout(rate={self.rate!r:.80}): expected a number in [0, 1)")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(
        self, xp: Namespace, params: Params, x: Array, *, key: Key
    ) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return dropout_forward(xp, x, key, rate=self.rate)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, dropout_backward(xp, residuals, dy, rate=self.rate) if needs_dx else None

    def infer(self, xp: Namespace, params: Params, running: Tree, x: Array) -> Array:
        """Outside training nothing is dropped."""
        return x
