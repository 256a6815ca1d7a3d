"""chainrule: one `Trainer.fit` over all the epochs, history kept, on any backend."""

from typing import Any

import numpy as np

import chainrule as cr
from bench.contenders import Training
from bench.networks import Network


def build(
    network: Network,
    X: np.ndarray,
    y: np.ndarray,
    *,
    stream: bool | None = None,
    **settings: Any,
) -> Training:
    """Return the training with a `Trainer` of these settings; stream: None for its default."""
    layers: list[Any] = []
    for width in network.sizes[1:-1]:
        layers += [cr.Dense(width), getattr(cr, network.activation)()]
    layers.append(cr.Dense(network.sizes[-1]))
    if network.precision != "float32":
        settings["matmul_precision"] = network.precision
    trainer = cr.Trainer(cr.Sequential(*layers), network.loss, network.optimizer, **settings)
    fit: dict[str, Any] = {"batch_size": network.batch, "progress": "off"}
    if stream is not None:
        fit["stream"] = stream

    def run(epochs: int) -> float:
        history = trainer.fit(X, y, epochs=epochs, **fit)
        trainer.backend.synchronize()
        return history["loss"][-1]

    return Training(run)
