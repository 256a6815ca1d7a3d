"""The matrix products of a step and nothing else, through `matmul(..., out=)`: a floor.

For L layers there are L products forward, L for the weights' gradients and L - 1 for the layers'.
"""

import os
from collections.abc import Callable
from importlib import import_module
from math import nan
from typing import Any

import numpy as np

from bench.contenders import Training
from bench.networks import Network


def build(network: Network, X: np.ndarray, y: np.ndarray, *, library: str = "numpy") -> Training:
    """Return the products of as many steps; nothing is learnt, so the loss is nan."""
    if network.precision == "tf32":
        os.environ["CUPY_TF32"] = "1"  # read when CuPy is imported
    xp: Any = import_module(library)
    full, tail = products(network, xp.asarray)

    def run(epochs: int) -> float:
        for _ in range(epochs):
            for _ in range(network.rows // network.batch):
                for a, b, out in full:
                    xp.matmul(a, b, out=out)
            for a, b, out in tail:
                xp.matmul(a, b, out=out)
        if library == "cupy":
            xp.cuda.Device().synchronize()
        return nan

    return Training(run)


def products(
    network: Network, own: Callable[[np.ndarray], Any]
) -> tuple[list[tuple[Any, Any, Any]], list[tuple[Any, Any, Any]]]:
    """Return ``(a, b, out)`` for each product of a whole batch, and of the tail batch.

    own: makes an array of the library that multiplies from one of NumPy's.
    """
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return own(rng.standard_normal(shape, dtype=np.float32))

    weights = [array(i, o) for i, o in zip(network.sizes, network.sizes[1:], strict=False)]

    def of_batch(rows: int) -> list[tuple[Any, Any, Any]]:
        found = []
        for layer, weight in enumerate(weights if rows else ()):
            x, dy = array(rows, weight.shape[0]), array(rows, weight.shape[1])
            found += [(x, weight, array(*dy.shape)), (x.T, dy, array(*weight.shape))]
            if layer:
                found.append((dy, weight.T, array(*x.shape)))
        return found

    return of_batch(network.batch), of_batch(network.rows % network.batch)
