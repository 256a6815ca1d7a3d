"""PyTorch, eager: the fused Adam, gradients set to None, rows gathered from one tensor."""

import numpy as np
import torch
from torch import nn

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.on_torch import parts, wait


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cpu") -> Training:
    """Return the training of an `nn.Sequential`, its data resident on the device."""
    net, inputs, labels, optimizer = parts(network, X, y, device)
    loss_of = nn.CrossEntropyLoss()

    def run(epochs: int) -> float:
        total = torch.zeros((), device=device)
        for _ in range(epochs):
            total = torch.zeros((), device=device)
            for rows in torch.randperm(len(inputs), device=device).split(network.batch):
                loss = loss_of(net(inputs[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach()
        wait(device)
        return float(total) / network.steps

    return Training(run, torch.get_num_threads())
