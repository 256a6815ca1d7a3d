"""The matrix products of a step and nothing else, through `np.matmul(..., out=)`: a floor.

For L layers there are L products forward, L for the weights' gradients and L - 1 for the layers'.
"""

from math import nan

import numpy as np

from bench.contenders import Training
from bench.networks import Network


def build(network: Network, X: np.ndarray, y: np.ndarray) -> Training:
    """Return the products of as many steps; nothing is learnt, so the loss is nan."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    def products(rows: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        found = []
        for layer, (fan_in, fan_out) in enumerate(
            zip(network.sizes, network.sizes[1:], strict=False)
        ):
            x, weight, dy = array(rows, fan_in), weights[layer], array(rows, fan_out)
            found += [(x, weight, np.empty_like(dy)), (x.T, dy, np.empty_like(weight))]
            if layer:
                found.append((dy, weight.T, np.empty_like(x)))
        return found

    weights = [array(i, o) for i, o in zip(network.sizes, network.sizes[1:], strict=False)]
    batches = [products(network.batch)] * (network.rows // network.batch)
    if network.rows % network.batch:
        batches.append(products(network.rows % network.batch))

    def run(epochs: int) -> float:
        for _ in range(epochs):
            for batch in batches:
                for a, b, out in batch:
                    np.matmul(a, b, out=out)
        return nan

    return Training(run)
