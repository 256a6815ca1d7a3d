"""scikit-learn: `MLPClassifier`'s own loop, with nothing that could end it before `max_iter`."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.contenders import Training
from bench.networks import Network


def build(network: Network, X: np.ndarray, y: np.ndarray) -> Training:
    """Return the training; each run is one `fit` from the start, which costs it next to nothing."""
    warnings.simplefilter("ignore", ConvergenceWarning)

    def run(epochs: int) -> float:
        net = MLPClassifier(
            network.sizes[1:-1],
            batch_size=network.batch,
            learning_rate_init=1e-3,
            alpha=0.0,
            max_iter=epochs,
            n_iter_no_change=epochs,
            tol=0.0,
            random_state=0,
        )
        net.fit(X, y)
        return float(net.loss_)

    return Training(run)
