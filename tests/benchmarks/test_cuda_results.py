"""What the benchmarks make of a CUDA device, with fabricated measurements: files, tables, page."""

import json
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import bench.__main__ as command
import pytest
from bench import gpu, report
from bench.machine import about
from bench.processes import Job
from bench.result import DifferentError, joined, read, require_same, write
from bench.settings import Settings
from bench.suites import optimizer
from click.testing import CliRunner

SUITES = ("peers", "optimizer", "backends", "streaming")
GPU = {
    "driver": {"name": "Test GPU", "driver_version": "580.1", "memory.total": "81920"},
    "libraries": {
        "cupy": {"device": "Test GPU", "cuda": "13.0", "memory_mib": "81920"},
        "torch": {"device": "Test GPU", "cuda": "12.8"},
    },
    "reasons": {"jax": "JAX finds no CUDA device"},
}


def fabricated(suite: str, jobs: Iterable[Job], rounds: int) -> tuple[list[Any], dict[str, str]]:
    """Return samples as `bench.processes.in_turn` does; each contender is slower than the last."""
    samples = [
        {
            "place": list(job.place),
            "repetition": repetition,
            "microseconds": 50.0 + 10 * number + repetition,
            "start_seconds": 1.5,
            "peak_bytes": 2**28,
            "before_bytes": 2**27,
            "process_threads": 4,
            "threads": None,
            "blas": [],
            "disturbance": 0.0,
        }
        for repetition in range(rounds)
        for number, job in enumerate(jobs)
    ]
    return samples, {"digits, JAX step": "failed: RuntimeError: JAX has no CUDA device here"}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Return a function that gives a suite's result on a pretended device."""

    def measure(suite: str, **settings: Any) -> dict[str, Any]:
        module = import_module(f"bench.suites.{suite}")
        monkeypatch.setattr(module, "in_turn", fabricated)
        return about() | {"gpu": GPU} | module.measure(Settings(device="cuda", **settings))

    return measure


def section(page: Path) -> str:
    return page.read_text().partition("## On CUDA")[2].partition("\n## ")[0]


def test_the_page_says_what_is_not_measured(tmp_path: Path) -> None:
    report.write(tmp_path / "results", tmp_path / "performance.md", tmp_path / "img")
    text = section(tmp_path / "performance.md")
    for suite in SUITES:
        line = f"Not yet measured on CUDA; `python -m bench {suite} --device cuda` does it."
        assert text.count(line) == 1
    assert "|" not in text
    assert not (tmp_path / "img").exists()


def test_the_page_shows_what_is_measured(
    tmp_path: Path, measured: Callable[[str], dict[str, Any]]
) -> None:
    for suite in SUITES:
        path = write(measured(suite), tmp_path / "results")
        assert path.name == f"{suite}-cuda.json"
    report.write(tmp_path / "results", tmp_path / "performance.md", tmp_path / "img")
    text = section(tmp_path / "performance.md")
    assert "Not yet measured" not in text
    assert text.count("on Test GPU, 80 GiB, driver 580.1, CUDA 13.0 in cupy, CUDA 12.8 in") == 4
    assert "Not measured (failed: RuntimeError: JAX has no CUDA device here): digits," in text
    assert "| torch.compile (reduce-overhead, fused Adam) " in text
    assert "batch 8192, 131,072 rows, 6,316,042 parameters, products in TF32" in text
    for name in ("bench-peers-cuda.png", "bench-crossing.png"):
        assert (tmp_path / "img" / name).read_bytes()[:4] == b"\x89PNG"
        assert f"(img/{name})" in text
    assert "numpy compiled is faster than cupy compiled throughout" in text
    rest = (tmp_path / "performance.md").read_text().replace(text, "")
    assert "Test GPU" not in rest


def test_bandwidth_is_that_of_the_bytes_moved() -> None:
    def sample(name: str, microseconds: float) -> dict[str, Any]:
        return {"place": [name], "repetition": 0, "microseconds": microseconds, "blas": []}

    found = about() | {
        "suite": "optimizer-cuda",
        "device": "cuda",
        "quick": False,
        "networks": {"100,000,000 parameters": {"parameters": 100_000_000}},
        "missing": {},
        "samples": [sample("chainrule", 1000.0), sample("copy", 250.0)],
    }
    rows = [line.split("|") for line in optimizer.tables(found).splitlines() if "|" in line]
    cells = {row[1].split(" (")[0].strip(): [cell.strip() for cell in row[2:-1]] for row in rows}
    assert cells["chainrule"] == ["1,000", "2,800", "0.875"]
    assert cells["copy"] == ["250", "3,200", "-"]


def test_parts_are_added(measured: Callable[..., dict[str, Any]]) -> None:
    one = measured("peers", only=("digits",))
    other = measured("peers", only=("mnist", "PyTorch"))
    require_same(one, other)
    both = joined(one, other)
    assert list(both["networks"]) == ["digits", "mnist"]
    assert both["samples"][: len(one["samples"])] == one["samples"]
    assert {s["repetition"] for s in both["samples"]} == set(range(6))
    assert both["missing"] == {}
    with pytest.raises(DifferentError, match="a network has changed"):
        joined(one | {"networks": {"mnist": {}}}, other)
    for changed in ("versions", "gpu", "quick"):
        with pytest.raises(DifferentError, match=changed):
            require_same(one | {changed: "other"}, other)


def test_without_a_device_it_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"driver": {}, "libraries": {}, "reasons": {"cupy": "not here", "torch": "nor here"}}
    monkeypatch.setattr(gpu, "outcome", lambda command: nothing)
    for suite in ("peers", "all"):
        result = CliRunner().invoke(command.main, [suite, "--device", "cuda"])
        assert result.exit_code == 2
        assert result.stderr == ("Error: no CUDA device here: cupy: not here; torch: nor here\n")


def test_the_command_writes_and_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Callable[..., dict[str, Any]]
) -> None:
    measured("optimizer")
    monkeypatch.setattr(gpu, "outcome", lambda command: GPU)
    line = ["optimizer", "--device", "cuda", "--output", str(tmp_path), "--add"]
    for rounds in (3, 6):
        result = CliRunner().invoke(command.main, line, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found = read(tmp_path, "optimizer-cuda")
        assert found is not None
        assert found["gpu"] == GPU
        assert len(found["samples"]) == 4 * rounds
    assert json.loads((tmp_path / "optimizer-cuda.json").read_text())["device"] == "cuda"


def test_asking_for_devices_never_fails() -> None:
    found = gpu.found()
    assert {*found["libraries"], *found["reasons"]} == {"cupy", "torch", "jax"}
    assert all("\n" not in reason for reason in found["reasons"].values())
