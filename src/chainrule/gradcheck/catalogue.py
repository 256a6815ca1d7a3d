"""The check of everything: each layer in a small network, with each loss."""

from typing import Any

from numpy.typing import NDArray

from chainrule.gradcheck.check import check_gradients
from chainrule.gradcheck.report import GradientReport
from chainrule.layers import LAYERS, Dense, Dropout, Flatten, LayerNorm, Sequential, Tanh
from chainrule.losses import LOSSES, Loss
from chainrule.ops.random import Rng, check_seed
from chainrule.typing import Shape

ROWS, OUTPUTS = 6, 3

_SETTINGS: dict[str, Any] = {
    "Dense": Dense(4),
    "Dropout": Dropout(0.4),
    "Sequential": Sequential(Dense(4), Sequential(Tanh(), LayerNorm())),
}


def check_all(seed: int = 0) -> list[tuple[str, GradientReport]]:
    """Check every layer of `LAYERS` with every loss of `LOSSES`; return ``(name, report)`` pairs.

    The layer stands between two Dense layers (Flatten in front of one); x, y and the parameters are
    drawn from `seed`.
    """
    rng = Rng(check_seed(seed), "check_all")
    reports: list[tuple[str, GradientReport]] = []
    for name, made in LAYERS.items():
        layer: Any = _SETTINGS[name] if name in _SETTINGS else made()
        net = Sequential(Dense(4), layer, Dense(OUTPUTS))
        in_shape: Shape = (3,)
        if isinstance(layer, Flatten):
            net, in_shape = Sequential(layer, Dense(OUTPUTS)), (2, 2)
        for loss_name, loss in LOSSES.items():
            own = rng.at(f"{name}.{loss_name}")
            x = own.at("x").normal((ROWS, *in_shape))
            y = draw_targets(loss(), (OUTPUTS,), ROWS, own.at("y"))
            report = check_gradients(net, loss(), x=x, y=y, seed=seed)
            reports.append((f"{name}, {loss_name}", report))
    return reports


def draw_targets(loss: Loss, out_shape: Shape, rows: int, rng: Rng) -> NDArray[Any]:
    """Return random targets that `loss` takes: labels (rows,), or numbers (rows, *out_shape)."""
    if loss.task == "classification":
        return (rng.uniform((rows,)) * out_shape[0]).astype("int64")
    if loss.task == "binary":
        return rng.uniform((rows, *out_shape))
    return rng.normal((rows, *out_shape))
