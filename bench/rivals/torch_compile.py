"""PyTorch with torch.compile: network and loss are one compiled function, Adam the fused kernel.

`dynamic=False` compiles the tail batch by itself instead of one slower program for both sizes.
"""

import numpy as np
import torch
from torch import nn

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.on_torch import parts


def build(network: Network, X: np.ndarray, y: np.ndarray) -> Training:
    """Return the training of a compiled `nn.Sequential` on the CPU."""
    net, inputs, labels, optimizer = parts(network, X, y, "cpu")

    @torch.compile(dynamic=False)
    def loss_of(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(net(x), t)

    def run(epochs: int) -> float:
        total = torch.zeros(())
        for _ in range(epochs):
            total = torch.zeros(())
            for rows in torch.randperm(len(inputs)).split(network.batch):
                loss = loss_of(inputs[rows], labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach()
        return float(total) / network.steps

    return Training(run, torch.get_num_threads())
