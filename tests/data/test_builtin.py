"""Built-in data sets: shapes, scales, provenance, and the bytes of the digits."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import builtin
from chainrule.data.builtin import LINEAR_BIAS, LINEAR_WEIGHTS, NAMES, load
from chainrule.errors import InputError

ASSETS = Path(builtin.__file__).parent / "assets"
DIGITS = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def digest(x, y):
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


def test_digits():
    digits = load("digits")
    assert digits.X.shape == (1797, 64)
    assert digits.X.dtype == np.float64
    assert (digits.X.min(), digits.X.max()) == (0.0, 1.0)
    assert digits.y.dtype == np.int64
    assert digits.y[:10].tolist() == list(range(10))
    assert digits.class_names == tuple("0123456789")
    assert digest((digits.X * 16).astype(np.uint8), digits.y.astype(np.uint8)) == DIGITS


def test_digits_are_those_of_scikit_learn():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    assert digest(source.data.astype(np.uint8), source.target.astype(np.uint8)) == DIGITS
    digits = load("digits")
    np.testing.assert_array_equal(digits.X * 16, source.data)
    np.testing.assert_array_equal(digits.y, source.target)
    assert list(digits.feature_names) == list(source.feature_names)


def test_assets_are_small_and_explained():
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 100_000
    for text in ((ASSETS / "README.md").read_text(encoding="utf-8"), load("digits").description):
        for words in ("Alpaydin", "Kaynak", "UCI", "1998", "CC BY 4.0", "scikit-learn"):
            assert words in text


def test_every_load_is_a_fresh_copy():
    load("digits").X[:] = 5
    assert load("digits").X.max() == 1.0


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "wine", "diabetes"])
def test_sets_of_scikit_learn(name):
    source = getattr(pytest.importorskip("sklearn.datasets"), f"load_{name}")()
    dataset = load(name)
    np.testing.assert_array_equal(dataset.X, source.data)
    np.testing.assert_array_equal(dataset.y, source.target)
    assert dataset.name == name
    assert dataset.description
    assert len(dataset.feature_names) == dataset.X.shape[1]
    if name == "diabetes":
        assert dataset.task == "regression"
        assert dataset.class_names is None
        assert dataset.y.dtype == np.float64
    else:
        assert dataset.task == "classification"
        assert dataset.class_names == tuple(source.target_names)
        assert dataset.y.dtype == np.int64


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r'^dataset \'iris\' .*pip install "chainrule\[sklearn\]"'):
        load("iris")
    assert len(load("digits").X) == 1797


def test_xor():
    dataset = load("xor", copies=3)
    assert dataset.X.shape == (12, 2)
    assert dataset.y.tolist() == [int(a) ^ int(b) for a, b in dataset.X]
    assert load("xor").X.shape == (4, 2)


def test_linear_is_what_it_says():
    dataset = load("linear", n=50, noise=0.0, seed=3)
    np.testing.assert_allclose(
        dataset.y, dataset.X @ np.array(LINEAR_WEIGHTS) + LINEAR_BIAS, rtol=0, atol=1e-14
    )
    assert np.linalg.matrix_rank(dataset.X) == 3
    noisy = load("linear", n=5000, noise=0.5)
    residuals = noisy.y - noisy.X @ np.array(LINEAR_WEIGHTS) - LINEAR_BIAS
    assert abs(residuals.std() - 0.5) < 0.02
    np.testing.assert_array_equal(load("linear", seed=1).y, load("linear", seed=1).y)
    assert not np.array_equal(load("linear", seed=1).y, load("linear", seed=2).y)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, r"dataset='digit' is unknown \(did you mean 'digits'\?\)"),
        ("mnist", {}, r"dataset='mnist' is unknown.*; expected one of digits, iris"),
        ("digits", {"seed": 1}, r"dataset 'digits': got seed; it takes no options"),
        ("linear", {"rows": 1}, r"dataset 'linear': .*rows"),
        ("linear", {"n": 0}, r"n=0, noise=0.1: expected n of 1 or more"),
        ("linear", {"noise": float("nan")}, r"expected .* finite noise"),
        ("xor", {"copies": 0}, r"copies=0: expected 1 or more"),
    ],
)
def test_faults(name, options, message):
    with pytest.raises(InputError, match=f"^{message}" if name != "linear" else message):
        load(name, **options)


def test_names():
    assert set(NAMES) == {"digits", "iris", "breast_cancer", "wine", "diabetes", "xor", "linear"}
