"""The fully connected layer."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from chainrule.errors import InputError
from chainrule.layers.initializers import check_initializer, initial
from chainrule.ops.linear import linear_backward, linear_forward
from chainrule.ops.random import Rng
from chainrule.settings import flag
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape


@dataclass(frozen=True)
class Dense:
    """y = x W + b, with `units` outputs; the number of inputs is inferred.

    `weight_init` and `bias_init` are an initialiser's name or a constant. Without `weight_init` the
    rule follows the activation behind the layer: He's for rectifiers, Glorot's otherwise.

    >>> params, shape = Dense(3).init(Rng(seed=0), (4,))
    >>> params["weight"].shape, params["bias"].shape, shape
    ((4, 3), (3,), (3,))
    """

    units: int
    use_bias: bool = True
    weight_init: str | float | None = None
    bias_init: str | float = "zeros"

    def __post_init__(self) -> None:
        units: Any = self.units
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise InputError(f"Dense(units={units!r:.80}): expected a positive integer")
        object.__setattr__(self, "units", int(units))
        flag("Dense: use_bias", self.use_bias)
        if self.weight_init is not None:
            check_initializer("weight_init", self.weight_init)
        check_initializer("bias_init", self.bias_init)
        if self.bias_init == "orthogonal":
            raise InputError("bias_init='orthogonal': a bias is a vector; expected another rule")

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """in_shape (in_features,) -> weight (in_features, units), bias (units,)."""
        if len(in_shape) != 1:
            raise InputError(
                f"the input's shape is {in_shape}, expected (features,); put Flatten() in front"
            )
        shape = (in_shape[0], self.units)
        rule = "glorot_uniform" if self.weight_init is None else self.weight_init
        params: Params = {"weight": initial(rule, rng.at("weight"), shape)}
        if self.use_bias:
            params["bias"] = initial(self.bias_init, rng.at("bias"), (1, self.units))[0]
        return params, (self.units,)

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x (batch, in_features) -> y (batch, units)."""
        return linear_forward(xp, x, params["weight"], params.get("bias"))

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """dy (batch, units) -> {weight, bias}, dx (batch, in_features)."""
        dx, dweight, dbias = linear_backward(xp, residuals, dy, needs_dx=needs_dx)
        return ({"weight": dweight, "bias": dbias} if self.use_bias else {"weight": dweight}), dx
