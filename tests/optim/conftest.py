"""Problems worth minimising, with gradients by hand."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def network() -> SimpleNamespace:
    """A tanh network on badly scaled inputs: `.params`, and `.evaluate(params)` by hand in NumPy.

    The tree holds an empty node, as a network with a layer without parameters does.
    """
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((40, 5)) * np.logspace(0, -2, 5)
    targets = np.sin(3 * inputs[:, :1]) + 20 * inputs[:, 3:4] + 0.1 * rng.standard_normal((40, 1))
    params = {
        "0": {"weight": rng.standard_normal((5, 6)), "bias": np.zeros(6)},
        "1": {},
        "2": {"weight": rng.standard_normal((6, 1)), "bias": np.zeros(1)},
    }

    def evaluate(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        first, last = params["0"], params["2"]
        hidden = np.tanh(inputs @ first["weight"] + first["bias"])
        error = hidden @ last["weight"] + last["bias"] - targets
        doutput = error / len(inputs)
        dhidden = (doutput @ last["weight"].T) * (1 - hidden * hidden)
        grads = {
            "0": {"weight": inputs.T @ dhidden, "bias": dhidden.sum(axis=0)},
            "1": {},
            "2": {"weight": hidden.T @ doutput, "bias": doutput.sum(axis=0)},
        }
        return 0.5 * np.mean(error * error), grads

    return SimpleNamespace(params=params, evaluate=evaluate)


@pytest.fixture
def regression() -> SimpleNamespace:
    """Least squares of condition number 1e6: `.params`, `.evaluate(params)`, `.solution`."""
    rng = np.random.default_rng(11)
    left, _ = np.linalg.qr(rng.standard_normal((30, 6)))
    right, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    matrix = left * np.logspace(0, -3, 6) @ right
    solution = rng.standard_normal(6)
    targets = matrix @ solution

    def evaluate(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        error = matrix @ params["weight"] - targets
        return 0.5 * error @ error, {"weight": matrix.T @ error}

    return SimpleNamespace(params={"weight": np.zeros(6)}, evaluate=evaluate, solution=solution)


@pytest.fixture(params=["network", "regression"])
def problem(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Each of the problems in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def minimise() -> Callable[..., dict[str, Any]]:
    """Return `minimise(optimizer, problem, steps)` -> the params after so many updates on NumPy."""

    def run(optimizer: Any, problem: SimpleNamespace, steps: int) -> dict[str, Any]:
        params, state = problem.params, optimizer.init(np, problem.params)
        for step in range(steps):
            rate = optimizer.lr(step) if callable(optimizer.lr) else optimizer.lr
            grads = problem.evaluate(params)[1]
            params, state = optimizer.update(np, grads, state, params, np.asarray(rate))
        return params

    return run
