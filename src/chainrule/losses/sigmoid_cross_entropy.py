"""Cross-entropy for a yes or no, or several of them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from chainrule.errors import InputError
from chainrule.losses.loss import Task
from chainrule.losses.settings import check_class_weight, check_smoothing
from chainrule.ops.losses.sigmoid_cross_entropy import (
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
)
from chainrule.typing import Array, Namespace, Residuals


@dataclass(frozen=True)
class SigmoidCrossEntropy:
    """-t log p - (1 - t) log(1 - p), p = sigmoid(logit), in nats, the mean over outputs and rows.

    The targets t are 0, 1 or between, of the output's shape. `label_smoothing` moves them towards
    1/2. `class_weight`, for 0 and for 1, weighs the rows of a network with one output; the mean is
    divided by the sum of the weights.
    """

    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    name: ClassVar[str] = "sigmoid_cross_entropy"
    task: ClassVar[Task] = "binary"

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        if self.class_weight is not None:
            weights = check_class_weight(self.class_weight)
            if len(weights) != 2:
                raise InputError(
                    f"class_weight={self.class_weight!r}: expected two numbers, for 0 and for 1"
                )
            object.__setattr__(self, "class_weight", weights)

    def forward(
        self, xp: Namespace, output: Array, y: Array, weight: Array | float
    ) -> tuple[Array, Residuals]:
        """Output and y (batch,) or (batch, outputs) -> loss, 0-d."""
        if self.label_smoothing:
            y = y * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        return sigmoid_cross_entropy_forward(xp, output, y, weight)

    def backward(self, xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
        """Return dlogits, of the output's shape."""
        return sigmoid_cross_entropy_backward(xp, residuals, dloss)

    def row_weights(
        self, xp: Namespace, y: Array, weight: Array | None, dtype: Any
    ) -> Array | None:
        """Return the sample weights times the class weights, (batch,)."""
        if self.class_weight is None:
            return weight
        if y.ndim > 1 and y.shape[1] != 1:
            raise InputError(
                f"class_weight needs one output, the network has {y.shape[1]}; use sample_weight"
            )
        negative, positive = self.class_weight
        rows = negative + (positive - negative) * xp.reshape(y, (-1,))
        return rows if weight is None else rows * weight


sigmoid_cross_entropy = SigmoidCrossEntropy
