"""The Huber loss."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from chainrule.errors import InputError
from chainrule.losses.loss import Task
from chainrule.ops.losses.huber import huber_backward, huber_forward
from chainrule.settings import number
from chainrule.typing import Array, Namespace, Residuals


@dataclass(frozen=True)
class Huber:
    """e**2 / 2 where |e| <= delta, else delta (|e| - delta / 2); the mean over outputs and rows."""

    delta: float = 1.0
    name: ClassVar[str] = "huber"
    task: ClassVar[Task] = "regression"

    def __post_init__(self) -> None:
        if not 0.0 < number(self.delta) < inf:
            raise InputError(f"huber(delta={self.delta!r:.80}): expected a positive finite number")

    def forward(
        self, xp: Namespace, output: Array, y: Array, weight: Array | float
    ) -> tuple[Array, Residuals]:
        """Output and y of one shape (batch, ...) -> loss, 0-d."""
        return huber_forward(xp, output, y, weight, delta=self.delta)

    def backward(self, xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
        """Return doutput, of the output's shape."""
        return huber_backward(xp, residuals, dloss, delta=self.delta)

    def row_weights(
        self, xp: Namespace, y: Array, weight: Array | None, dtype: Any
    ) -> Array | None:
        """Return the sample weights."""
        return weight


huber = Huber
