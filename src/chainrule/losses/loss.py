"""What a loss is."""

from typing import Any, ClassVar, Literal, Protocol

from chainrule.typing import Array, Namespace, Residuals

Task = Literal["classification", "binary", "regression"]


class Loss(Protocol):
    """A frozen dataclass of settings and pure functions of outputs (batch, ...) and targets `y`.

    `task` says what `y` is: labels or rows of probabilities ("classification"), numbers from 0 to 1
    ("binary") or any numbers ("regression").
    """

    name: ClassVar[str]
    task: ClassVar[Task]

    def forward(
        self, xp: Namespace, output: Array, y: Array, weight: Array | float
    ) -> tuple[Array, Residuals]:
        """Return ``sum_i weight_i l_i``, 0-d; `weight` is a float or (batch,) and sums to 1."""
        ...

    def backward(self, xp: Namespace, residuals: Residuals, dloss: Array | float) -> Array:
        """Return the derivative with respect to the output, of its shape."""
        ...

    def row_weights(
        self, xp: Namespace, y: Array, weight: Array | None, dtype: Any
    ) -> Array | None:
        """Return what each row counts, (batch,) of `dtype`, before it is made to sum to 1.

        None means that all rows count the same.
        """
        ...
