"""chainrule: one `Trainer.fit` over all the epochs, history kept, on any backend."""

from typing import Any, Literal

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
    compile: Literal["auto"] | bool = "auto",
) -> Training:
    """Return the training with a `Trainer` on `backend`."""
    layers: list[Any] = []
    for width in network.sizes[1:-1]:
        layers += [cr.Dense(width), getattr(cr, network.activation)()]
    layers.append(cr.Dense(network.sizes[-1]))
    trainer = cr.Trainer(
        cr.Sequential(*layers),
        network.loss,
        network.optimizer,
        backend=backend,
        compile=compile,
    )

    def run(epochs: int) -> float:
        history = trainer.fit(X, y, epochs=epochs, batch_size=network.batch, progress="off")
        return history["loss"][-1]

    return Training(run)
