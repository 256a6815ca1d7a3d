"""The matrix products of a step and nothing else, `torch.mm(..., out=)` through cuBLAS: a floor.

The products of a batch are captured as one CUDA graph, so that they pay for one launch a step.
"""

from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np
import torch

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.gemms import products
from bench.rivals.on_torch import PRECISIONS, captured, wait


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cuda") -> Training:
    """Return the products of as many steps; nothing is learnt, so the loss is nan."""
    torch.set_float32_matmul_precision(PRECISIONS[network.precision])
    full, tail = products(network, lambda array: torch.from_numpy(array).to(device))

    def graph(batch: list[Any]) -> Callable[[], object]:
        return captured(lambda: [torch.mm(a, b, out=out) for a, b, out in batch], device)

    steps = [graph(full)] * (network.rows // network.batch)
    if tail:
        steps.append(graph(tail))

    def run(epochs: int) -> float:
        for _ in range(epochs):
            for step in steps:
                step()
        wait(device)
        return nan

    return Training(run)
