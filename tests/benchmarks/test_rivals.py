"""The contenders of CUDA, tried on the CPU: they train, and the same thing."""

import sys
from collections.abc import Iterator
from importlib import import_module
from math import isnan
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench.contenders import CONTENDERS, on_cuda
from bench.networks import PEERS_ON_CUDA, Network, data
from bench.processes import Job
from bench.rivals.gemms import products

NETWORK = Network("small", (6, 16, 12, 3), 8, 44)
ON_CPU = on_cuda("numpy", "cpu")
TRAINING = ("chainrule", "chainrule eager", "PyTorch", "JAX step", "JAX scan")


def built(name: str, network: Network = NETWORK) -> Any:
    contender = ON_CPU[name]
    for package in contender.packages:
        pytest.importorskip(package)
    module = import_module(f"bench.rivals.{contender.module}")
    return module.build(network, *data(network), **contender.options)


@pytest.mark.parametrize("name", TRAINING)
def test_each_learns(name: str) -> None:
    training = built(name)
    first = training.run(1)
    assert training.run(40) < 0.9 * first


def test_pytorch_makes_the_same_steps_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    names = ("PyTorch", "PyTorch graph", "torch.compile")
    losses = [[built(name).run(epochs) for epochs in (1, 3)] for name in names]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("name", ["GEMMs", "CuPy GEMMs"])
def test_floors_learn_nothing(name: str) -> None:
    assert isnan(built(name).run(2))


def test_the_products_are_those_of_a_step() -> None:
    full, tail = products(NETWORK, np.array)
    assert [a.shape + b.shape for a, b, _ in full] == [
        (8, 6, 6, 16), (6, 8, 8, 16),
        (8, 16, 16, 12), (16, 8, 8, 12), (8, 12, 12, 16),
        (8, 12, 12, 3), (12, 8, 8, 3), (8, 3, 3, 12),
    ]  # fmt: skip
    assert [len(a) for a, _, _ in tail] == [4, 6, 4, 16, 4, 4, 12, 4]
    for a, b, out in full + tail:
        assert (a @ b).shape == out.shape


def test_the_networks_are_trained_in_one_precision_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    asked: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    import_module("bench.rivals.torch_gemms").build(NETWORK, *data(NETWORK), device="cpu")
    tf32 = Network("tf32", (4, 4, 2), 4, 8, precision="tf32")
    built("PyTorch graph", tf32)
    assert asked == ["highest", "high"]
    assert [n.name for n in PEERS_ON_CUDA if n.precision == "tf32"] == ["wide 8192 tf32"]


def test_our_trainer_is_told_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("bench.rivals.chainrule_fit")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(module.cr, "Trainer", lambda *_, **settings: asked.update(settings))
    tf32 = Network("tf32", (4, 4, 2), 4, 8, precision="tf32")
    module.build(tf32, *data(tf32), backend="cupy", compile=True)
    assert asked == {"backend": "cupy", "compile": True, "matmul_precision": "tf32"}


@pytest.mark.parametrize("name", ["JAX step", "JAX scan"])
def test_jax_without_a_device_says_so(name: str) -> None:
    jax = pytest.importorskip("jax")
    pytest.importorskip("optax")
    if jax.default_backend() == "gpu":
        pytest.skip("a device is here")
    module = import_module(f"bench.rivals.{CONTENDERS[name].module}")
    with pytest.raises(RuntimeError, match="JAX has no CUDA device here"):
        module.build(NETWORK, *data(NETWORK), device="cuda")


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A stand-in for CuPy that notes what is done."""
    done: list[str] = []

    class Stream:
        def __init__(self, *, non_blocking: bool) -> None:
            assert non_blocking

        def __enter__(self) -> None:
            done.append("enter")

        def __exit__(self, *_: object) -> None:
            done.append("leave")

        def begin_capture(self) -> None:
            done.append("begin")

        def end_capture(self) -> Any:
            done.append("end")
            return SimpleNamespace(launch=lambda stream: done.append("launch"))

        def synchronize(self) -> None:
            done.append("wait")

    cupy = ModuleType("cupy")
    cupy.RawKernel = lambda source, name: lambda *_: done.append(name)  # type: ignore[attr-defined]
    cupy.cuda = SimpleNamespace(Stream=Stream)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.delitem(sys.modules, "bench.rivals.empty_graph", raising=False)
    yield done
    sys.modules.pop("bench.rivals.empty_graph", None)


def test_the_empty_graph_is_launched_once_a_step(launches: list[str]) -> None:
    module = import_module("bench.rivals.empty_graph")
    training = module.build(NETWORK, *data(NETWORK))
    assert launches == ["enter", "nothing", "wait", "begin", "nothing", "end", "leave"]
    launches.clear()
    training.run(2)
    assert launches == ["launch"] * (2 * NETWORK.steps) + ["wait"]


def test_every_contender_of_cuda_has_a_module() -> None:
    for name, contender in on_cuda().items():
        path = f"bench/rivals/{contender.module}.py"
        assert contender.title, name
        assert Job((name,), contender, NETWORK, 1.0).command()[1:3] == ["-m", "bench.worker"]
        from bench.processes import ROOT

        assert (ROOT / path).exists(), path
