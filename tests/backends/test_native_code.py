"""What LLVM makes of the loops that matter: packed instructions, no calls to a C library."""

import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import optim
from chainrule.typing import Namespace

pytest.importorskip("llvmlite")

import llvmlite.binding as llvm

from chainrule.backends.native import emit, machine
from chainrule.backends.planning import plan
from chainrule.trace.loops import Nest


def has_avx() -> bool:
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return bool(llvm.get_host_cpu_features().get("avx"))


pytestmark = pytest.mark.skipif(not has_avx(), reason="reads the assembly of x86-64 with AVX")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


def assembly(rule: Any, state: Any, dtype: str) -> dict[str, str]:
    """Return the assembly of each nest of ``rule(xp, state, rate) -> state``."""

    def step(xp: Namespace, state: Any, batch: Any) -> Any:
        return rule(xp, state, batch["learning_rate"]), {"loss": xp.sum(batch["x"])}

    controls = {
        "indices": np.zeros((1, 64), np.int64),
        "learning_rate": np.zeros(1, dtype),
    }
    program = plan(step, state, {"x": np.zeros((64, 100), dtype)}, controls)
    text = machine.assembly(emit.emitted(program, {}, "i64"))
    found: dict[str, str] = {}
    for number, one in enumerate(n for n in program.steps if isinstance(n, Nest)):
        label = re.search(rf"^\W*{one.name}:$(.*?)^\W*\.?Lfunc_end{number}:", text, re.M | re.S)
        if label:
            found[one.name] = label.group(1)
    assert found, "no nest was left as a function of its own"
    return found


def packed(text: str, operation: str, dtype: str) -> int:
    """Count packed instructions of 256 or 512 bits."""
    letter = {"float32": "s", "float64": "d"}[dtype]
    return len(re.findall(rf"^\s+v{operation}p{letter}\s.*%[yz]mm", text, re.M))


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


def test_adam_is_packed(dtype: str) -> None:
    rule = optim.adam(0.01)
    params = {"weight": np.ones((128, 10), dtype)}
    state = {"params": params, "grads": params, "optimizer": rule.init(np, params)}

    def update(xp: Namespace, state: Any, rate: Any) -> Any:
        params, memory = rule.update(xp, state["grads"], state["optimizer"], state["params"], rate)
        return {"params": params, "grads": state["grads"], "optimizer": memory}

    nests = assembly(update, state, dtype)
    best = max(nests.values(), key=lambda text: packed(text, "sqrt", dtype))
    assert packed(best, "sqrt", dtype) > 0
    assert packed(best, "div", dtype) > 0
    assert not calls(best)


def test_relu_and_bias_are_packed(dtype: str) -> None:
    state = {"z": np.ones((64, 100), dtype), "bias": np.ones(100, dtype)}

    def rule(xp: Namespace, state: Any, rate: Any) -> Any:
        return {**state, "z": xp.maximum(state["z"] + state["bias"], 0.0)}

    nests = assembly(rule, state, dtype)
    assert any(packed(text, "add", dtype) for text in nests.values())
    assert any(packed(text, "(max|blendv|and|andn|cmp\\w*)", dtype) for text in nests.values())
    assert not any(map(calls, nests.values()))


@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "log", "log1p"])
def test_elementary_functions_are_packed(name: str, dtype: str) -> None:
    state = {"z": np.ones((64, 100), dtype)}

    def rule(xp: Namespace, state: Any, rate: Any) -> Any:
        return {"z": getattr(xp, name)(state["z"])}

    nests = assembly(rule, state, dtype)
    assert any(packed(text, "(mul|f\\w*)", dtype) > 4 for text in nests.values())
    assert not any(map(calls, nests.values()))


def test_row_sums_are_packed(dtype: str) -> None:
    state = {"z": np.ones((64, 100), dtype), "total": np.ones(64, dtype)}

    def rule(xp: Namespace, state: Any, rate: Any) -> Any:
        return {**state, "total": xp.sum(state["z"], axis=1)}

    nests = assembly(rule, state, dtype)
    assert any(packed(text, "add", dtype) > 1 for text in nests.values())


def calls(text: str) -> list[str]:
    return re.findall(r"^\s+callq?\s+(?!memset|memcpy|memmove)(\S+)", text, re.M)
