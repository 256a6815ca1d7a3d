"""The squared error."""

from dataclasses import dataclass
from typing import Any, ClassVar

from chainrule.losses.loss import Task
from chainrule.ops.losses.squared_error import squared_error_backward, squared_error_forward
from chainrule.typing import Array, Namespace, Residuals


@dataclass(frozen=True)
class SquaredError:
    """(output - target)**2, the mean over outputs and rows; no factor 1/2 (PyTorch's MSELoss)."""

    name: ClassVar[str] = "squared_error"
    task: ClassVar[Task] = "regression"

    def forward(
        self, xp: Namespace, output: Array, y: Array, weight: Array | float
    ) -> tuple[Array, Residuals]:
        """Output and y of one shape (batch, ...) -> loss, 0-d."""
        return squared_error_forward(xp, output, y, weight)

    def backward(self, xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
        """Return doutput, of the output's shape."""
        return squared_error_backward(xp, residuals, dloss)

    def row_weights(
        self, xp: Namespace, y: Array, weight: Array | None, dtype: Any
    ) -> Array | None:
        """Return the sample weights."""
        return weight


squared_error = SquaredError
