"""``import chainrule`` is light, and everything it promises is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

HEAVY = (
    "array_api_compat", "array_api_strict", "click", "cupy", "jax", "numba", "pandas", "pyarrow",
    "rich", "safetensors", "scipy", "sklearn", "torch",
)  # fmt: skip


def imported(statement: str) -> set[str]:
    """Return the top-level modules that a fresh process has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(chainrule.__file__).parents[1])},
    )
    return set(found.stdout.split())


def test_importing_it_imports_no_library():
    assert not imported("import chainrule") & {*HEAVY, "numpy"}


def test_training_on_numpy_imports_no_other_library():
    script = """
import chainrule as cr
trainer = cr.Trainer(cr.Sequential(cr.Dense(2)), "softmax_cross_entropy")
trainer.fit([[0.0], [1.0]], [0, 1], epochs=1, batch_size=2)
"""
    assert not imported(script) & set(HEAVY)


def test_every_public_name_resolves():
    for name in chainrule.__all__:
        assert getattr(chainrule, name) is getattr(chainrule, name)
        assert name in dir(chainrule)
    assert set(chainrule.__all__) == {*chainrule._HOME, *chainrule._MODULES}
    assert chainrule.__version__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'chainrule' has no attribute 'Conv'$"):
        chainrule.Conv  # noqa: B018
