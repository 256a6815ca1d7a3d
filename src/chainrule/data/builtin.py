"""Data sets at hand without a download: digits inside the package, two generated, the rest from
scikit-learn's own copies."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chainrule.data.table import HostArray
from chainrule.errors import InputError, choice
from chainrule.ops.random import Rng, check_seed

LINEAR_WEIGHTS = (2.0, -3.0, 0.5)
LINEAR_BIAS = 1.0
"""The coefficients behind the data set `linear`."""

_DIGITS = Path(__file__).parent / "assets" / "digits.npz"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Arrays with the names that go with them.

    X: (n, features) float64. y: (n,) int64 labels in [0, classes), or float64 targets.
    class_names: the name of each class, None for a regression.
    description: what it is, its units, where it comes from and under which licence.
    """

    name: str
    X: HostArray
    y: HostArray
    task: Literal["classification", "regression"]
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...]
    description: str


def load(name: str, **options: Any) -> Dataset:
    """Return the built-in data set `name`, one of `NAMES`.

    options: for "xor" `copies`, for "linear" `n`, `noise` and `seed`; the others take none.
    Raises `InputError` for an unknown name (the nearest is given) or option, and for
    scikit-learn's sets when it is not installed.
    """
    choice("dataset", name, NAMES)
    if name in _GENERATED:
        try:
            return _GENERATED[name](**options)
        except TypeError as error:
            raise InputError(f"dataset {name!r}: {error}") from None
    if options:
        raise InputError(f"dataset {name!r}: got {', '.join(options)}; it takes no options")
    return _digits() if name == "digits" else _from_sklearn(name)


def xor(copies: int = 1) -> Dataset:
    """Return the four points of exclusive or, `copies` times over: X (4 copies, 2), y 0 or 1."""
    if copies < 1:
        raise InputError(f"copies={copies}: expected 1 or more")
    points = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return Dataset(
        "xor",
        np.tile(points, (copies, 1)),
        np.tile(np.array([0, 1, 1, 0], dtype=np.int64), copies),
        "classification",
        ("0", "1"),
        ("a", "b"),
        "Exclusive or: y is 1 where just one of a and b is. No linear model fits it.",
    )


def linear(n: int = 200, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Return y = X w + b + noise: X (n, 3) standard normal, y (n,) float64.

    w = (2, -3, 0.5) and b = 1 (`LINEAR_WEIGHTS`, `LINEAR_BIAS`); the noise is normal with standard
    deviation `noise`. One seed, one data set.
    """
    if n < 1 or not 0 <= noise < np.inf:
        raise InputError(f"n={n}, noise={noise}: expected n of 1 or more and finite noise >= 0")
    rng = Rng(check_seed(seed), "linear")
    x = rng.at("x").normal((n, len(LINEAR_WEIGHTS)))
    y = x @ np.array(LINEAR_WEIGHTS) + LINEAR_BIAS + noise * rng.at("noise").normal((n,))
    return Dataset(
        "linear",
        x,
        y,
        "regression",
        None,
        ("x0", "x1", "x2"),
        f"Generated: y = 2 x0 - 3 x1 + 0.5 x2 + 1 + noise of standard deviation {noise}.",
    )


_GENERATED: dict[str, Callable[..., Dataset]] = {"xor": xor, "linear": linear}
_SKLEARN = ("iris", "breast_cancer", "wine", "diabetes")
NAMES = ("digits", *_SKLEARN, *_GENERATED)
"""The names `load` knows."""


def _digits() -> Dataset:
    with np.load(_DIGITS, allow_pickle=False) as file:
        x, y = file["X"] / 16.0, file["y"].astype(np.int64)
    return Dataset(
        "digits",
        x,
        y,
        "classification",
        tuple("0123456789"),
        tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        "1,797 handwritten digits, 8x8 pixels, row by row, 0 (paper) to 1 (ink) in steps of 1/16. "
        "Optical Recognition of Handwritten Digits, test set, E. Alpaydin and C. Kaynak, UCI "
        "Machine Learning Repository, 1998, doi:10.24432/C50P49, CC BY 4.0; the copy bundled "
        "with scikit-learn, order kept, counts 0 to 16 divided by 16.",
    )


def _from_sklearn(name: str) -> Dataset:
    try:
        source: Any = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise InputError(
            f"dataset {name!r} comes with scikit-learn, which is not installed: "
            'pip install "chainrule[sklearn]", or use digits, xor or linear'
        ) from None
    bunch: Any = getattr(source, f"load_{name}")()
    if name == "diabetes":
        task, class_names, dtype = "regression", None, np.float64
    else:
        task, dtype = "classification", np.int64
        class_names = tuple(str(label) for label in bunch.target_names)
    return Dataset(
        name,
        np.asarray(bunch.data, dtype=np.float64),
        np.asarray(bunch.target, dtype=dtype),
        task,
        class_names,
        tuple(str(feature) for feature in bunch.feature_names),
        str(bunch.DESCR),
    )
