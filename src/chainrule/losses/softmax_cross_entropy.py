"""Cross-entropy for classes that exclude each other."""

from dataclasses import dataclass
from typing import Any, ClassVar

from chainrule.losses.loss import Task
from chainrule.losses.settings import check_class_weight, check_smoothing
from chainrule.ops.losses.softmax_cross_entropy import (
    one_hot,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from chainrule.typing import Array, Namespace, Residuals


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """-sum_k t_k log softmax(logits)_k in nats, the mean over rows.

    The targets t are labels (batch,), integers in [0, classes), or probabilities (batch, classes).
    `class_weight`, one number a class, weighs the rows: by the label's, or by the mean under the
    probabilities; the mean is divided by the sum of the weights.
    """

    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    name: ClassVar[str] = "softmax_cross_entropy"
    task: ClassVar[Task] = "classification"

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        if self.class_weight is not None:
            object.__setattr__(self, "class_weight", check_class_weight(self.class_weight))

    def forward(
        self, xp: Namespace, output: Array, y: Array, weight: Array | float
    ) -> tuple[Array, Residuals]:
        """Output (batch, classes), y (batch,) or (batch, classes) -> loss, 0-d."""
        classes = output.shape[-1]
        smoothing = self.label_smoothing
        if y.ndim == 1:
            targets = one_hot(xp, y, classes, output.dtype, smoothing=smoothing)
        elif smoothing:
            targets = y * (1.0 - smoothing) + smoothing / classes
        else:
            targets = y
        return softmax_cross_entropy_forward(xp, output, targets, weight)

    def backward(self, xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
        """Return dlogits, (batch, classes)."""
        return softmax_cross_entropy_backward(xp, residuals, dloss)

    def row_weights(
        self, xp: Namespace, y: Array, weight: Array | None, dtype: Any
    ) -> Array | None:
        """Return the sample weights times the class weights, (batch,)."""
        if self.class_weight is None:
            return weight
        table = xp.asarray(self.class_weight, dtype=dtype, device=getattr(y, "device", None))
        rows = xp.take(table, y, axis=0) if y.ndim == 1 else xp.matmul(y, table)
        return rows if weight is None else rows * weight


softmax_cross_entropy = SoftmaxCrossEntropy
