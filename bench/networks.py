"""The networks that are trained, and their data."""

import json
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron and the size of its training.

    sizes: (input, hidden ..., output). batch: rows an update; the tail of an epoch is trained on
    too. rows: rows an epoch. precision: of the products, ``float32`` or ``tf32`` (on CUDA).
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    rows: int
    activation: str = "ReLU"
    loss: str = "softmax_cross_entropy"
    optimizer: str = "adam"
    precision: str = "float32"

    @property
    def steps(self) -> int:
        """Updates an epoch."""
        return -(-self.rows // self.batch)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def activations(self) -> int:
        """Numbers that one batch leaves behind: its gathered rows and each layer's output."""
        return self.batch * sum(self.sizes)

    @property
    def bytes_needed(self) -> int:
        """Bytes of the data, the activations of a batch, and parameters, gradients and moments."""
        return self.data_bytes + FLOAT * (4 * self.parameters + self.activations)

    @property
    def data_bytes(self) -> int:
        """Bytes of the training data: float32 rows and their int64 labels or float32 targets."""
        targets = 8 if self.loss == "softmax_cross_entropy" else FLOAT * self.sizes[-1]
        return self.rows * (FLOAT * self.sizes[0] + targets)

    def tiny(self) -> Self:
        """Return the same kind of network, as small as can be."""
        return replace(self, name="tiny", sizes=(4,) * len(self.sizes), batch=4, rows=8)

    def to_json(self) -> str:
        """Return what `from_json` turns back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"sizes": tuple(fields["sizes"])})


PEERS = (
    Network("digits", (64, 128, 10), 32, 1437),
    Network("mnist", (784, 256, 128, 10), 128, 12800),
    Network("wide", (1024, 2048, 2048, 10), 512, 5120),
    Network("deep", (256,) * 11 + (10,), 128, 12800),
)

PEERS_ON_CUDA = (
    Network("digits", (64, 128, 10), 32, 1437),
    Network("mnist", (784, 256, 128, 10), 128, 60000),
    Network("wide", (1024, 2048, 2048, 10), 512, 51200),
    Network("wide 8192 tf32", (1024, 2048, 2048, 10), 8192, 131072, precision="tf32"),
)


def data(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return X (rows, input) float32 and y: int64 labels, float32 zeros and ones, or float32."""
    if network.name == "digits":
        return _digits(network.rows)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.rows, network.sizes[0]), dtype=np.float32)
    outputs = network.sizes[-1]
    if network.loss == "softmax_cross_entropy":
        return x, rng.integers(0, outputs, network.rows)
    if network.loss == "sigmoid_cross_entropy":
        return x, rng.integers(0, 2, (network.rows, outputs)).astype(np.float32)
    return x, rng.standard_normal((network.rows, outputs), dtype=np.float32)


def _digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the copy in the package as a plain file, so that no rival has to import chainrule."""
    package = Path(str(find_spec("chainrule").origin)).parent
    with np.load(package / "data" / "assets" / "digits.npz") as file:
        arrays: dict[str, Any] = dict(file)
    order = np.random.default_rng(0).permutation(len(arrays["y"]))[:rows]
    return (arrays["X"][order] / 16).astype(np.float32), arrays["y"][order].astype(np.int64)
