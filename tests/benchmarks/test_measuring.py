"""How a contender is measured, and what is said of one that cannot be."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from types import ModuleType
from typing import Any

import pytest
from bench import worker
from bench.contenders import Training
from bench.networks import Network
from bench.processes import outcome

NETWORK = Network("small", (4, 8, 2), 4, 10)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs of each run of a contender that does nothing."""
    found: list[int] = []

    def build(network: Network, X: Any, y: Any) -> Training:
        def run(epochs: int) -> float:
            found.append(epochs)
            return 0.5

        return Training(run)

    rival = ModuleType("bench.rivals.nothing")
    rival.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench.rivals.nothing", rival)
    return found


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The worker's `measure`, with a clock that goes on by a second whenever it is read."""
    clock = count()
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(next(clock)))

    def measure(**more: Any) -> dict[str, Any]:
        job = {"module": "nothing", "options": {}, "network": asdict(NETWORK), "seconds": 0.001}
        return worker.measure(job | more)

    return measure


def test_the_first_epoch_is_not_counted(
    runs: list[int], measured: Callable[..., dict[str, Any]]
) -> None:
    found = measured()
    assert runs == [1, 1]
    assert (found["epochs"], found["loss"], found["start_seconds"]) == (1, 0.5, 1.0)
    assert found["microseconds"] == found["seconds"] / NETWORK.steps * 1e6


def test_a_warm_up_is_not_counted_either(
    runs: list[int], measured: Callable[..., dict[str, Any]]
) -> None:
    found = measured(warm_up=5.0)
    assert runs == [1] * 6
    assert (found["epochs"], found["start_seconds"]) == (1, 1.0)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no device')", "failed: ValueError: no device"),
        ("import sys; sys.exit(3)", "failed: exit code 3"),
        ("import sys; sys.exit('not here')", "failed: not here"),
        (
            "import sys; sys.exit('a.b.InductorError: it broke\\n\\nSet X=1 for more')",
            "failed: a.b.InductorError: it broke",
        ),
    ],
)
def test_why_there_is_no_measurement(code: str, reason: str) -> None:
    assert outcome([sys.executable, "-c", code]) == reason
