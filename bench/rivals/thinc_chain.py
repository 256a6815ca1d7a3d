"""Thinc: a `chain` of its layers, its minibatches, its Adam without clipping and averages.

`use_blis=False` multiplies with NumPy's BLAS; the default, BLIS, has one thread only. Its loop
needs no loss, so only the very last batch's is computed.
"""

import numpy as np
from thinc.api import Adam, Relu, Softmax, chain, set_current_ops, to_categorical
from thinc.backends import NumpyOps

from bench.contenders import Training
from bench.networks import Network


def build(network: Network, X: np.ndarray, y: np.ndarray) -> Training:
    """Return the training of a chain that ends in a softmax."""
    ops = NumpyOps(use_blis=False)
    set_current_ops(ops)
    targets = to_categorical(y.astype("i"), n_classes=network.sizes[-1])
    net = chain(*(Relu(width) for width in network.sizes[1:-1]), Softmax())
    net.initialize(X[:2], targets[:2])
    optimizer = Adam(1e-3, grad_clip=0.0, use_averages=False)

    def run(epochs: int) -> float:
        for _ in range(epochs):
            for x, t in ops.multibatch(network.batch, X, targets, shuffle=True):
                probs, backprop = net.begin_update(x)
                backprop((probs - t) / len(x))
                net.finish_update(optimizer)
        return -float(np.log(np.sum(probs * t, axis=1)).mean())

    return Training(run)
