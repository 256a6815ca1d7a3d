"""The tests' own rule: a library that is required may not be skipped."""

import sys

import pytest

from libraries import NAMES, make_backend, required


def test_required_libraries_are_here():
    for name in required():
        assert make_backend(name).name == name.partition("-")[0]


def test_a_missing_library_is_skipped_unless_required(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("CHAINRULE_REQUIRE", "numpy, jax")
    with pytest.raises(pytest.skip.Exception, match="PyTorch is not installed"):
        make_backend("torch")
    monkeypatch.setenv("CHAINRULE_REQUIRE", "numpy,torch")
    with pytest.raises(pytest.fail.Exception, match=r"asks for torch.*PyTorch is not installed"):
        make_backend("torch")


def test_a_misspelt_requirement_is_refused(monkeypatch):
    monkeypatch.setenv("CHAINRULE_REQUIRE", "numpy,pytorch")
    with pytest.raises(pytest.UsageError, match="pytorch"):
        required()
    monkeypatch.setenv("CHAINRULE_REQUIRE", ",".join(NAMES))
    assert required() == set(NAMES)
