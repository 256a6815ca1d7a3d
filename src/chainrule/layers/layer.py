"""What a layer is."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from chainrule.errors import InputError
from chainrule.ops.random import Key, Rng
from chainrule.typing import Array, Grads, Namespace, Params, Residuals, Shape, Tree


class Layer(Protocol):
    """Hyperparameters and three pure functions; a frozen dataclass that holds no arrays.

    Shapes exclude the batch axis. A layer may have more, found by name:

    - ``random = True``: its `forward` also takes ``key=``, a `chainrule.ops.random.Key`;
    - ``init_running(params) -> running`` and ``next_running(xp, running, residuals) -> running``:
      running state, updated after each training pass;
    - ``infer(xp, params, running, x) -> y``: what it does outside training, where that differs;
    - ``suited_init``: the name of the initialiser that suits weights in front of it;
    - ``needs_two_rows = True``: a training batch of one row is refused.
    """

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """Return initial parameters (float64 NumPy arrays) and the shape of the output.

        Raises `InputError` if the layer cannot take `in_shape`.
        """
        ...

    def forward(self, xp: Namespace, params: Params, x: Array) -> tuple[Array, Residuals]:
        """x (batch, *in_shape) -> y (batch, *out_shape), and what `backward` needs."""
        ...

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """Return the derivatives of the loss: for each parameter, and for x or None."""
        ...


class RandomLayer(Protocol):
    """A layer whose training pass takes random numbers; in all else a `Layer`."""

    random: ClassVar[bool]

    def init(self, rng: Rng, in_shape: Shape) -> tuple[Params, Shape]:
        """As `Layer.init`."""
        ...

    def forward(
        self, xp: Namespace, params: Params, x: Array, *, key: Key
    ) -> tuple[Array, Residuals]:
        """As `Layer.forward`, by the numbers of `key`."""
        ...

    def backward(
        self, xp: Namespace, residuals: Residuals, dy: Array, *, needs_dx: bool = True
    ) -> tuple[Grads, Array | None]:
        """As `Layer.backward`."""
        ...


def is_random(layer: Layer) -> bool:
    """Tell whether the layer's training pass needs a key."""
    return bool(getattr(layer, "random", False))


def init_running(layer: Layer, params: Params) -> Tree:
    """Return the layer's initial running state, empty for most."""
    own: Callable[[Params], Tree] | None = getattr(layer, "init_running", None)
    return own(params) if own else {}


def next_running(layer: Layer, xp: Namespace, running: Tree, residuals: Residuals) -> Tree:
    """Return the running state after a training pass."""
    own: Callable[..., Tree] | None = getattr(layer, "next_running", None)
    return own(xp, running, residuals) if own else running


def train_forward(
    layer: Layer, xp: Namespace, params: Params, x: Array, key: Key | None
) -> tuple[Array, Residuals]:
    """Run the layer's training pass, with the key if it takes one."""
    if is_random(layer):
        if key is None:
            raise InputError(f"{describe(layer)} is random in training: pass key=")
        forward: Callable[..., tuple[Array, Residuals]] = layer.forward
        return forward(xp, params, x, key=key)
    return layer.forward(xp, params, x)


def infer(layer: Layer, xp: Namespace, params: Params, running: Tree, x: Array) -> Array:
    """Run the layer as it is used outside training."""
    own: Callable[..., Array] | None = getattr(layer, "infer", None)
    return own(xp, params, running, x) if own else layer.forward(xp, params, x)[0]


def describe(layer: Any) -> str:
    """Return the layer as a user would write it: ``Dense(128)``.

    >>> import chainrule as cr
    >>> describe(cr.Dense(128)), describe(cr.LeakyReLU(slope=0.2))
    ('Dense(128)', 'LeakyReLU(slope=0.2)')
    """
    fields: Mapping[str, Any] = getattr(layer, "__dataclass_fields__", {})
    if not fields or isinstance(getattr(layer, "layers", None), tuple):
        return repr(layer)
    parts: list[str] = []
    for number, (name, field) in enumerate(fields.items()):
        value = getattr(layer, name)
        if value != field.default:
            leading = number == len(parts) == 0 and name in ("units", "rate")
            parts.append(repr(value) if leading else f"{name}={value!r}")
    return f"{type(layer).__name__}({', '.join(parts)})"
