"""The JSON of a suite."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.networks import Network
from bench.settings import Settings
from bench.summary import Samples


def result(
    suite: str,
    settings: Settings,
    samples: Samples,
    missing: dict[str, str],
    networks: Iterable[Network] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return what a suite found: its networks, every sample, and who is missing."""
    described = {
        network.name: json.loads(network.to_json())
        | {
            "parameters": network.parameters,
            "activations": network.activations,
            "bytes_needed": network.bytes_needed,
        }
        for network in networks
    }
    return (
        {"suite": settings.named(suite)}
        | {"quick": settings.quick, "device": settings.device}
        | more
        | {"networks": described, "missing": missing, "samples": samples}
    )


class DifferentError(Exception):
    """Two results that cannot be one."""


def require_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `DifferentError` unless both are of one machine, one device, the same versions."""
    for what in ("quick", "versions", "gpu"):
        if before.get(what) != now.get(what):
            raise DifferentError(f"--add: {what} differs from the results that are there")
    if before["machine"]["cpu"] != now["machine"]["cpu"]:
        raise DifferentError("--add: the results that are there are another machine's")


def joined(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return `found` with the rounds of an earlier result of the same suite before its own.

    So a long suite can be measured in parts. Raises `DifferentError` if a network has changed.
    """
    networks = before["networks"] | found["networks"]
    if networks != found["networks"] | before["networks"]:
        raise DifferentError("--add: a network has changed since the results that are there")
    rounds = 1 + max((sample["repetition"] for sample in before["samples"]), default=-1)
    later = [s | {"repetition": s["repetition"] + rounds} for s in found["samples"]]
    samples = before["samples"] + later
    there = {", ".join(sample["place"]) for sample in samples}
    missing = before["missing"] | found["missing"]
    return found | {
        "networks": networks,
        "missing": {name: why for name, why in missing.items() if name not in there},
        "samples": samples,
    }


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write a result to `folder`/SUITE.json, one sample a line; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['suite']}.json"
    head = json.dumps({k: v for k, v in found.items() if k != "samples"}, indent=2)
    lines = ",\n".join(f"    {json.dumps(sample)}" for sample in found["samples"])
    path.write_text(f'{head[:-2]},\n  "samples": [\n{lines}\n  ]\n}}\n')
    return path


def read(folder: Path, suite: str) -> dict[str, Any] | None:
    """Return a suite's result; None if it has not been measured."""
    path = folder / f"{suite}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    return found if found.get("suite") == suite else None
