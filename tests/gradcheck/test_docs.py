"""The Python in docs/custom_layer.md and CONTRIBUTING.md runs, from top to bottom."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import chainrule as cr

ROOT = Path(__file__).resolve().parents[2]


def blocks(path: str) -> list[str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def module(monkeypatch, name: str) -> dict[str, Any]:
    """Return the namespace of a new module; dataclasses look theirs up by name."""
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    return vars(made)


def run(path: str, number: int, code: str, namespace: dict[str, Any]) -> None:
    exec(compile(code, f"{path}, block {number}", "exec"), namespace)


def test_custom_layer(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = module(monkeypatch, "custom_layer_page")
    for number, code in enumerate(blocks("docs/custom_layer.md")):
        run("docs/custom_layer.md", number, code, namespace)
    own_tests = [name for name in namespace if name.startswith("test_")]
    assert own_tests == ["test_prelu", "test_squared_relu"]
    for name in own_tests:
        namespace[name]()
    printed = capsys.readouterr().out
    assert "1 SquaredReLU()" in printed
    assert "passed: largest relative error" in printed


def test_a_pair_takes_about_fifteen_lines():
    for code in blocks("docs/custom_layer.md"):
        if "class SquaredReLU" in code or "class PReLU" in code:
            body = code[code.index("@dataclass") :]
            assert len([line for line in body.splitlines() if line.strip()]) <= 15


def test_contributing_and_the_page_show_the_same_prelu(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pair, layer, proof = blocks("CONTRIBUTING.md")
    run("CONTRIBUTING.md", 0, pair, module(monkeypatch, "chainrule.ops.activations.prelu"))
    namespace = module(monkeypatch, "chainrule.layers.prelu")
    run("CONTRIBUTING.md", 1, layer, namespace)
    run("CONTRIBUTING.md", 2, proof, namespace)
    assert "PReLU" in str(namespace["report"])

    page = module(monkeypatch, "custom_layer_page")
    for number, code in enumerate(blocks("docs/custom_layer.md")[:4]):
        run("docs/custom_layer.md", number, code, page)
    x = np.random.default_rng(0).normal(size=(6, 5))
    outputs = []
    for cls in (namespace["PReLU"], page["PReLU"]):
        layer = cls()
        params, out_shape = layer.init(None, (5,))
        y, residuals = layer.forward(np, params, x)
        grads, dx = layer.backward(np, residuals, y)
        outputs.append((y, grads["slope"], dx))
        assert out_shape == (5,)
    for ours, theirs in zip(*outputs, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert isinstance(cr.Sequential(page["PReLU"]()), cr.Sequential)
