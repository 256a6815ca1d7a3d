"""PyTorch: its fused Adam alone."""

from math import nan

import numpy as np
import torch

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.chainrule_adam import LEAVES
from bench.rivals.on_torch import wait


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cpu") -> Training:
    """Return so many updates of as many parameters as the network has; the loss is nan."""
    shape = (network.parameters // LEAVES,)
    params = [torch.nn.Parameter(torch.ones(shape, device=device)) for _ in range(LEAVES)]
    for param in params:
        param.grad = torch.full(shape, 0.01, device=device)
    optimizer = torch.optim.Adam(params, lr=1e-3, fused=True, capturable=device == "cuda")

    def run(epochs: int) -> float:
        for _ in range(epochs * network.steps):
            optimizer.step()
        wait(device)
        return nan

    return Training(run, torch.get_num_threads())
