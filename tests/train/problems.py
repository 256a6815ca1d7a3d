"""Small data, networks and trainers for the tests of training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule as cr
from chainrule import tree
from chainrule.backends import Backend

Floats = NDArray[np.float64]


def blobs(rows: int = 60, classes: int = 3, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Return points (rows, 4) around a centre a class, and their labels (rows,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    labels[:classes] = np.arange(classes)
    centres = np.random.default_rng(99).normal(size=(classes, 4)) * 3.0
    return centres[labels] + rng.normal(size=(rows, 4)), labels


def plane(rows: int = 50, outputs: int = 2, seed: int = 0) -> tuple[Floats, Floats]:
    """Return points (rows, 3) and targets (rows, outputs), linear in them with a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    return x, x @ np.random.default_rng(98).normal(size=(3, outputs)) + 0.01 * rng.normal(
        size=(rows, outputs)
    )


def classifier(classes: int = 3, *middle: Any) -> cr.Sequential:
    """Return a network of one hidden layer."""
    return cr.Sequential(cr.Dense(8), *(middle or (cr.Tanh(),)), cr.Dense(classes))


def make_trainer(net: Any = None, loss: Any = "softmax_cross_entropy", **settings: Any) -> Any:
    """Return a trainer, in float64 on NumPy unless told otherwise."""
    named = isinstance(settings.get("backend", "numpy"), str)
    chosen = {"dtype": "float64"} if named else {}
    chosen |= {"optimizer": cr.adam(0.02), "seed": 7} | settings
    return cr.Trainer(classifier() if net is None else net, loss, **chosen)


def on_host(backend: Backend, arrays: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of a tree by dotted names, as NumPy arrays."""
    return {name: backend.to_numpy(leaf) for name, leaf in tree.flatten(arrays).items()}


def host_params(trainer: Any) -> dict[str, NDArray[Any]]:
    """Return a trainer's parameters and running state as NumPy arrays."""
    return on_host(trainer.backend, trainer.snapshot())


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that two dicts of arrays are equal bit for bit."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], strict=True, err_msg=name)


def assert_close(one: dict[str, Any], other: dict[str, Any], tolerance: float) -> None:
    """Assert that two dicts of arrays agree within `tolerance`, relative and absolute."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name
        )
