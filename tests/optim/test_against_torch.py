"""A thousand steps of each optimizer against PyTorch's, each side on its own trajectory.

The rates are small enough that the problems do not amplify rounding: with larger ones PyTorch
itself, started one unit in the last place away, ends elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from chainrule import optim, tree

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


CASES = {
    "sgd": (optim.sgd(0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": (
        optim.sgd(0.02, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
    ),
    "nesterov": (
        optim.sgd(0.02, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    ),
    "adagrad": (optim.adagrad(0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
    "adagrad, from 0.1": (
        optim.adagrad(0.1, initial=0.1),
        lambda p: torch.optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
    ),
    "adadelta": (optim.adadelta(0.1), lambda p: torch.optim.Adadelta(p, lr=0.1)),
    "adadelta, rho": (
        optim.adadelta(0.05, rho=0.8, eps=1e-4),
        lambda p: torch.optim.Adadelta(p, lr=0.05, rho=0.8, eps=1e-4),
    ),
    "rmsprop": (optim.rmsprop(1e-4), lambda p: torch.optim.RMSprop(p, lr=1e-4)),
    "rmsprop, momentum": (
        optim.rmsprop(5e-5, rho=0.95, eps=1e-3, momentum=0.5),
        lambda p: torch.optim.RMSprop(p, lr=5e-5, alpha=0.95, eps=1e-3, momentum=0.5),
    ),
    "rmsprop, centered": (
        optim.rmsprop(1e-4, eps=1e-3, centered=True),
        lambda p: torch.optim.RMSprop(p, lr=1e-4, eps=1e-3, centered=True),
    ),
    "rmsprop, all": (
        optim.rmsprop(2e-5, eps=1e-3, momentum=0.9, centered=True),
        lambda p: torch.optim.RMSprop(p, lr=2e-5, eps=1e-3, momentum=0.9, centered=True),
    ),
    "adam": (optim.adam(), lambda p: torch.optim.Adam(p)),
    "adam, settings": (
        optim.adam(2e-4, b1=0.5, b2=0.9, eps=1e-3),
        lambda p: torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.9), eps=1e-3),
    ),
    "adam, b1=0": (
        optim.adam(1e-4, b1=0),
        lambda p: torch.optim.Adam(p, lr=1e-4, betas=(0.0, 0.999)),
    ),
    "amsgrad": (optim.amsgrad(1e-3), lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True)),
    "adamw": (optim.adamw(1e-3), lambda p: torch.optim.AdamW(p, lr=1e-3)),
    "adamw, decay": (
        optim.adamw(1e-3, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.3),
    ),
    "adamax": (optim.adamax(), lambda p: torch.optim.Adamax(p)),
    "nadam": (optim.nadam(5e-4), lambda p: torch.optim.NAdam(p, lr=5e-4)),
    "nadam, decay": (
        optim.nadam(3e-4, b1=0.8, momentum_decay=0.1),
        lambda p: torch.optim.NAdam(p, lr=3e-4, betas=(0.8, 0.999), momentum_decay=0.1),
    ),
}


def torch_run(make: Any, problem: Any, steps: int) -> dict[str, np.ndarray]:
    flat = {
        path: torch.tensor(leaf, requires_grad=True)
        for path, leaf in tree.flatten(problem.params).items()
    }
    optimizer = make(list(flat.values()))
    paths = iter(flat)
    named = tree.map(lambda leaf: next(paths), problem.params)
    for _ in range(steps):
        now = tree.map(lambda path: flat[path].detach().numpy(), named)
        grads = tree.flatten(problem.evaluate(now)[1])
        for path, param in flat.items():
            param.grad = torch.tensor(grads[path])
        optimizer.step()
    return {path: param.detach().numpy() for path, param in flat.items()}


def largest(flat: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(leaf).max()) for leaf in flat.values())


@pytest.mark.parametrize("case", CASES)
def test_a_thousand_steps_end_where_torch_ends(case, problem, minimise):
    optimizer, make = CASES[case]
    expected = torch_run(make, problem, 1000)
    actual = tree.flatten(minimise(optimizer, problem, 1000))
    error = largest({path: actual[path] - expected[path] for path in expected})
    assert error <= 1e-10 * largest(expected)
    start = tree.flatten(problem.params)
    assert largest({path: actual[path] - start[path] for path in start}) > 0.01


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS if name != "lbfgs"])
def test_every_optimizer_lowers_the_loss_with_its_default_settings(name, network, minimise):
    before = network.evaluate(network.params)[0]
    after = network.evaluate(minimise(optim.OPTIMIZERS[name](), network, 500))[0]
    assert after < 0.9 * before
