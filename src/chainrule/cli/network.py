"""The network, optimizer and loss that the settings of a run ask for."""

from typing import Any

from chainrule import layers
from chainrule.cli.options import ACTIVATIONS, layer_sizes
from chainrule.cli.settings import Settings
from chainrule.errors import InputError
from chainrule.layers.layer import Layer
from chainrule.optim import OPTIMIZERS, FullBatchOptimizer, Optimizer

ADAM_RATE = 2e-3
"""Adam's learning rate unless one is given: twice the paper's, for runs as short as these."""

LEAST_EPOCHS, LEAST_STEPS = 20, 500
"""How long a run is unless `epochs` is given: at least so many epochs, and updates."""


def hidden_layers(settings: Settings) -> list[Layer]:
    """Return the layers in front of the last one."""
    activation = getattr(layers, ACTIVATIONS[settings.activation])
    made: list[Any] = []
    for units in layer_sizes(settings.hidden):
        made.append(layers.Dense(units))
        if settings.batch_norm:
            made.append(layers.BatchNorm())
        made.append(activation())
        if settings.dropout:
            made.append(layers.Dropout(settings.dropout))
    return made


def optimizer(settings: Settings) -> Optimizer | FullBatchOptimizer:
    """Return the optimizer, with its own learning rate where none is given."""
    given: dict[str, Any] = {}
    if settings.lr is not None:
        given["lr"] = settings.lr
    elif settings.optimizer in ("adam", "adamw", "amsgrad"):
        given["lr"] = ADAM_RATE
    if settings.optimizer == "adamw" and settings.weight_decay is not None:
        given["weight_decay"] = settings.weight_decay
    made = OPTIMIZERS[settings.optimizer](**given)
    if hasattr(made, "iterate") and settings.clip_norm is not None:
        raise InputError(f"--clip-norm={settings.clip_norm:g}: {settings.optimizer} clips nothing")
    return made


def l2(settings: Settings) -> float:
    """Return the weight decay that is added to the gradients (AdamW has its own)."""
    return 0.0 if settings.optimizer == "adamw" else settings.weight_decay or 0.0


def default_epochs(rows: int, batch_size: int) -> int:
    """Return 20, or for few rows as many epochs as make 500 updates."""
    steps = -(-rows // batch_size)
    return max(LEAST_EPOCHS, -(-LEAST_STEPS // steps))
