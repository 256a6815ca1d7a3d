"""Adam alone on many parameters, in GB/s, against the speed at which the memory copies."""

from pathlib import Path
from typing import Any

from bench.contenders import Contender
from bench.networks import FLOAT, Network
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import Samples, Spread, by_place, of, paired, spread
from bench.table import missing_lines, origin, ranged, table

PARAMETERS = {"cpu": 4_000_000, "cuda": 100_000_000}
STEPS = 16
"""Updates an epoch."""
OURS, COPY = "chainrule", "copy"
ADAM_BYTES, COPY_BYTES = 7 * FLOAT, 2 * FLOAT
"""What is moved for a parameter: Adam reads four numbers and writes three."""


def contenders(library: str, device: str) -> dict[str, Contender]:
    """Return who is measured with that array library of ours and PyTorch's `device`."""
    needed = ("chainrule", library)
    return {
        OURS: Contender("chainrule_adam", needed, {"backend": library}, "compiled"),
        "chainrule eager": Contender(
            "chainrule_adam", needed, {"backend": library, "compile": False}, "eager"
        ),
        "PyTorch": Contender("torch_adam", ("torch",), {"device": device}, "fused Adam"),
        COPY: Contender("copy", (library,), {"library": library}, "half read, half written"),
    }


def offered(device: str) -> dict[str, Contender]:
    """Return the contenders on a device."""
    return contenders("cupy" if device == "cuda" else "numpy", device)


def measure(settings: Settings) -> dict[str, Any]:
    """Measure each contender, at least 0.5 s each, in 3 rounds."""
    known = offered(settings.device)
    (names,) = settings.chosen(known)
    size = PARAMETERS["cpu"] // 10 if settings.quick else PARAMETERS[settings.device]
    network = Network(f"{size:,} parameters", (1, size // 2), 1, STEPS)
    seconds = 0.05 if settings.quick else 0.5
    warm_up = seconds if settings.cuda else 0.0
    jobs = [Job((name,), known[name], network, seconds, warm_up=warm_up) for name in names]
    samples, missing = in_turn("optimizer", jobs, settings.rounds(3))
    return result("optimizer", settings, samples, missing, [network])


def tables(found: dict[str, Any]) -> str:
    """Return the time of an update, GB/s, and the share of the copy's."""
    parts = [origin(found)]
    known = offered(found["device"])
    own = {place[0]: samples for place, samples in by_place(found["samples"]).items()}
    for name, network in found["networks"].items():
        rows = []
        for contender, samples in own.items():
            rate = _rate(contender, samples, network["parameters"])
            share = _share(contender, own)
            rows.append(
                (
                    f"{contender} ({known[contender].title})",
                    ranged(of(samples, "microseconds")),
                    ranged(rate),
                    ranged(share),
                )
            )
        parts.append(f"**{name}**, float32: Adam moves {ADAM_BYTES} bytes for each of them\n")
        parts.append(table(("", "µs an update", "GB/s", "of the copy's"), rows))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def _bytes(name: str) -> int:
    return COPY_BYTES if name == COPY else ADAM_BYTES


def _rate(name: str, samples: Samples, parameters: int) -> Spread:
    """Return GB/s."""
    return spread(_bytes(name) * parameters / sample["microseconds"] / 1e3 for sample in samples)


def _share(name: str, own: dict[str, Samples]) -> Spread | None:
    """Return the speed as a share of the copy's in the same round."""
    times = paired(own.get(COPY, []), own[name], "microseconds")
    return times.times(ADAM_BYTES / COPY_BYTES) if times and name != COPY else None


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw nothing: a table says it."""
    return []
