"""Activation layers; the formulas stand in ``ops/activations``, a file each.

Every class repeats the same few lines on purpose: a layer is read on its own, and each is the
pattern of a user's own activation.
"""

from dataclasses import dataclass
from typing import ClassVar

from chainrule.errors import InputError
from chainrule.ops.activations.elu import elu_backward, elu_forward
from chainrule.ops.activations.gelu import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
)
from chainrule.ops.activations.relu import (
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
)
from chainrule.ops.activations.sigmoid import sigmoid_backward, sigmoid_forward
from chainrule.ops.activations.silu import silu_backward, silu_forward
from chainrule.ops.activations.softmax import softmax_backward, softmax_forward
from chainrule.ops.activations.softplus import softplus_backward, softplus_forward
from chainrule.ops.activations.tanh import tanh_backward, tanh_forward
from chainrule.ops.random import Rng
from chainrule.settings import flag, number
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape


@dataclass(frozen=True)
class Sigmoid:
    """y = 1 / (1 + exp(-x))."""

    suited_init: ClassVar[str] = "glorot_uniform"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return sigmoid_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, sigmoid_backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class Tanh:
    """y = tanh(x)."""

    suited_init: ClassVar[str] = "glorot_uniform"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return tanh_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, tanh_backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class ReLU:
    """y = max(x, 0)."""

    suited_init: ClassVar[str] = "he_normal"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return relu_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, relu_backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class LeakyReLU:
    """y = x where x > 0, else slope x (Maas, Hannun & Ng 2013)."""

    slope: float = 0.01
    suited_init: ClassVar[str] = "he_normal"

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.slope) < 1.0:
            raise InputError(f"LeakyReLU(slope={self.slope!r:.80}): expected a number in [0, 1)")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return leaky_relu_forward(xp, x, slope=self.slope)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, leaky_relu_backward(xp, residuals, dy, slope=self.slope) if needs_dx else None


@dataclass(frozen=True)
class ELU:
    """y = x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner & Hochreiter 2016)."""

    alpha: float = 1.0
    suited_init: ClassVar[str] = "he_normal"

    def __post_init__(self) -> None:
        if not 0.0 < number(self.alpha) < float("inf"):
            raise InputError(f"ELU(alpha={self.alpha!r:.80}): expected a positive finite number")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return elu_forward(xp, x, alpha=self.alpha)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, elu_backward(xp, residuals, dy, alpha=self.alpha) if needs_dx else None


@dataclass(frozen=True)
class GELU:
    """y = x P(X <= x) for a standard normal X (Hendrycks & Gimpel 2016).

    With ``approximate=True`` the tanh form of its section 2, within 5e-4.
    """

    approximate: bool = False
    suited_init: ClassVar[str] = "he_normal"

    def __post_init__(self) -> None:
        flag("GELU: approximate", self.approximate)

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return (gelu_tanh_forward if self.approximate else gelu_forward)(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        backward = gelu_tanh_backward if self.approximate else gelu_backward
        return {}, backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class SiLU:
    """y = x sigmoid(x), also called swish (Elfwing, Uchibe & Doya 2018)."""

    suited_init: ClassVar[str] = "he_normal"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return silu_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, silu_backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class Softplus:
    """y = log(1 + exp(x))."""

    suited_init: ClassVar[str] = "he_normal"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape stays."""
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return softplus_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, softplus_backward(xp, residuals, dy) if needs_dx else None


@dataclass(frozen=True)
class Softmax:
    """y = exp(x) / sum(exp(x)) over the last axis.

    Not in front of `softmax_cross_entropy`, which takes logits.
    """

    suited_init: ClassVar[str] = "glorot_uniform"

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """No parameters; the shape (..., classes) stays."""
        if not in_shape:
            raise InputError("the input's shape is (), expected (..., classes)")
        return {}, in_shape

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x -> y of its shape."""
        return softmax_forward(xp, x)

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy -> dx."""
        return {}, softmax_backward(xp, residuals, dy) if needs_dx else None
