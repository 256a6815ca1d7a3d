"""The JSON of a suite."""

import json
from collections.abc import Iterable
from dataclasses import asdict
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
        network.name: asdict(network)
        | {
            "parameters": network.parameters,
            "activations": network.activations,
            "bytes_needed": network.bytes_needed,
        }
        for network in networks
    }
    return (
        {"suite": suite, "quick": settings.quick}
        | more
        | {"networks": described, "missing": missing, "samples": samples}
    )


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
