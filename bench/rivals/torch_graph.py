"""PyTorch, a whole step captured by hand as one CUDA graph, as its notes on CUDA graphs show.

Gather, passes, the fused capturable Adam and the sum of the losses are inside; outside only the
rows are copied to where the graph reads them. The tail batch has a graph of its own.
"""

import numpy as np
import torch
from torch import nn

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.on_torch import captured, parts, wait


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cuda") -> Training:
    """Return the training by replaying the graph of a step."""
    net, inputs, labels, optimizer = parts(network, X, y, device)
    loss_of = nn.CrossEntropyLoss()
    total = torch.zeros((), device=device)
    graphs = {}
    for size in {min(network.batch, network.rows), network.rows % network.batch} - {0}:
        rows = torch.arange(size, device=device)

        def step(rows: torch.Tensor = rows) -> None:
            optimizer.zero_grad(set_to_none=True)
            x, t = inputs.index_select(0, rows), labels.index_select(0, rows)
            loss = loss_of(net(x), t)
            loss.backward()
            optimizer.step()
            total.add_(loss.detach())

        graphs[size] = rows, captured(step, device)

    def run(epochs: int) -> float:
        for _ in range(epochs):
            total.zero_()
            for chosen in torch.randperm(len(inputs), device=device).split(network.batch):
                rows, replay = graphs[len(chosen)]
                rows.copy_(chosen)
                replay()
        wait(device)
        return float(total) / network.steps

    return Training(run, torch.get_num_threads())
