"""chainrule: its Adam alone, through the seam that every training step goes through."""

from math import nan
from typing import Any

import numpy as np

import chainrule as cr
from bench.contenders import Training
from bench.networks import Network

LEAVES = 8
"""Parameter arrays."""


def build(
    network: Network,
    X: np.ndarray,
    y: np.ndarray,
    *,
    backend: str = "numpy",
    compile: bool = True,
) -> Training:
    """Return so many updates of as many parameters as the network has; the loss is nan."""
    own = cr.backends.get(backend)
    optimizer = cr.adam(1e-3)

    def arrays(value: float) -> dict[str, Any]:
        host = np.full(network.parameters // LEAVES, value, dtype=np.float32)
        return {str(leaf): {"weight": own.asarray(host.copy())} for leaf in range(LEAVES)}

    def update(xp: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        params, memory = optimizer.update(
            xp, state["grads"], state["optimizer"], state["params"], batch["learning_rate"]
        )
        moved = {"params": params, "optimizer": memory, "grads": state["grads"]}
        return moved, {"loss": batch["learning_rate"] * memory["step"]}

    scan = own.scan(update, compiled=compile)
    with own.scope():
        params = arrays(1.0)
        state: Any = {
            "params": params,
            "optimizer": optimizer.init(own.xp, params),
            "grads": arrays(0.01),
        }
        data = {"x": own.asarray(X, "float")}
        indices = np.zeros((network.steps, network.batch), dtype=np.int64)
        controls = {
            "indices": own.stage(indices, "index"),
            "learning_rate": own.stage(np.full(network.steps, 1e-3), "float"),
        }

    def run(epochs: int) -> float:
        nonlocal state
        with own.scope():
            for _ in range(epochs):
                for moved, _, _ in scan(state, data, controls):
                    state = moved
            own.synchronize()
        return nan

    return Training(run)
