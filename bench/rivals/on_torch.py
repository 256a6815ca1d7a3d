"""What every PyTorch contender starts from: the network, its data, its optimizer on a device."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from bench.networks import Network

PRECISIONS = {"float32": "highest", "tf32": "high"}


class Parts(NamedTuple):
    """An `nn.Sequential`, the data resident beside it, and the fused Adam."""

    net: nn.Sequential
    inputs: torch.Tensor
    labels: torch.Tensor
    optimizer: torch.optim.Optimizer


def parts(network: Network, X: np.ndarray, y: np.ndarray, device: str) -> Parts:
    """Return the parts on `device`; Adam is capturable where there are CUDA graphs."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision(PRECISIONS[network.precision])
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(network.sizes, network.sizes[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).to(device)
    inputs, labels = (torch.from_numpy(array).to(device) for array in (X, y))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True, capturable=device == "cuda")
    return Parts(net, inputs, labels, optimizer)


def captured(run: Callable[[], object], device: str) -> Callable[[], object]:
    """Return what replays `run` as one CUDA graph; `run` itself on the CPU, which has none.

    As PyTorch's notes on whole-network capture: warm up on a side stream, then capture.
    """
    if device != "cuda":
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def wait(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
