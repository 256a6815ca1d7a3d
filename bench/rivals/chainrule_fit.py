"""chainrule: one `Trainer.fit` over all the epochs, history kept, on any backend."""

from inspect import signature
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
    backend: str = "numpy",
    compile: bool | None = None,
) -> Training:
    """Return the training with a `Trainer` on `backend`; `compile` None leaves its default."""
    layers: list[Any] = []
    for width in network.sizes[1:-1]:
        layers += [cr.Dense(width), getattr(cr, network.activation)()]
    layers.append(cr.Dense(network.sizes[-1]))
    settings: dict[str, Any] = {}
    if compile is not None and "compile" in signature(cr.Trainer.__init__).parameters:
        settings["compile"] = compile
    trainer = cr.Trainer(
        cr.Sequential(*layers), network.loss, network.optimizer, backend=backend, **settings
    )

    def run(epochs: int) -> float:
        history = trainer.fit(X, y, epochs=epochs, batch_size=network.batch, progress="off")
        return history["loss"][-1]

    return Training(run)
