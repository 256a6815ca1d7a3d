"""PyTorch with torch.compile(mode="reduce-overhead"), and the fused, capturable Adam.

Gather, network and loss are one compiled module, so forward and backward pass are a CUDA graph
each. The data are its buffers, which a graph reads where they lie instead of copying them in. Adam
is one fused kernel beside them: torch.compile does not trace into fused optimizers.
"""

import numpy as np
import torch
from torch import nn

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.on_torch import parts, wait


class Loss(nn.Module):
    """The mean loss of the rows it is called with."""

    inputs: torch.Tensor
    labels: torch.Tensor

    def __init__(self, net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("inputs", inputs)
        self.register_buffer("labels", labels)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(self.inputs[rows]), self.labels[rows])


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cuda") -> Training:
    """Return the training of a compiled module; the tail batch is compiled by itself."""
    net, inputs, labels, optimizer = parts(network, X, y, device)
    loss_of = torch.compile(Loss(net, inputs, labels), mode="reduce-overhead", dynamic=False)

    def run(epochs: int) -> float:
        total = torch.zeros((), device=device)
        for _ in range(epochs):
            total = torch.zeros((), device=device)
            for rows in torch.randperm(len(inputs), device=device).split(network.batch):
                torch.compiler.cudagraph_mark_step_begin()
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(rows)
                loss.backward()
                optimizer.step()
                total += loss.detach()
        wait(device)
        return float(total) / network.steps

    return Training(run, torch.get_num_threads())
