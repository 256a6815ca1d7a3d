"""Training with the data streamed from the host against the same with the data on the device."""

from pathlib import Path
from typing import Any

from bench.contenders import Contender, ours
from bench.networks import FLOAT, Network
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import by_place, of, paired
from bench.table import missing_lines, number, origin, ranged, table

RESIDENT, STREAMED = "resident", "streamed"
NETWORKS = (
    Network("mnist", (784, 256, 128, 10), 128, 60000),
    Network("wide", (1024, 2048, 2048, 10), 512, 131072),
    Network("wider", (1024, 8192, 8192, 10), 512, 32768),
)
QUICK = (Network("small", (64, 128, 10), 32, 3200),)


def contenders(library: str) -> dict[str, Contender]:
    """Return both ways on that array library."""
    return {
        RESIDENT: ours("", backend=library, compile=True, stream=False),
        STREAMED: ours("", backend=library, compile=True, stream=True),
    }


def measure(settings: Settings) -> dict[str, Any]:
    """Measure both ways on each network, at least 1 s each, in 3 rounds."""
    known = contenders("cupy" if settings.cuda else "numpy")
    offered = {network.name: network for network in (QUICK if settings.quick else NETWORKS)}
    names, ways = settings.chosen(offered, known)
    networks = [offered[name] for name in names]
    seconds = 0.1 if settings.quick else 1.0
    warm_up = 0.5 * seconds if settings.cuda else 0.0
    jobs = [
        Job((network.name, way), known[way], network, seconds, warm_up=warm_up)
        for network in networks
        for way in ways
    ]
    samples, missing = in_turn("streaming", jobs, settings.rounds(3))
    return result("streaming", settings, samples, missing, networks)


def tables(found: dict[str, Any]) -> str:
    """Return samples a second both ways, and what the copies must carry to keep up."""
    places = by_place(found["samples"])
    rows = []
    for name, network in found["networks"].items():
        resident, streamed = (places.get((name, way), []) for way in (RESIDENT, STREAMED))
        rates = [
            number(network["batch"] * 1e6 / of(samples, "microseconds").median) if samples else "-"
            for samples in (resident, streamed)
        ]
        needed = "-"
        if resident:
            carried = FLOAT * network["sizes"][0] * network["batch"]
            needed = number(carried / of(resident, "microseconds").median / 1e3)
        sizes = "-".join(map(str, network["sizes"]))
        title = f"{name}: {sizes}, batch {network['batch']}"
        rows.append((title, *rates, ranged(paired(resident, streamed, "microseconds")), needed))
    header = (
        "", "resident, samples/s", "streamed, samples/s", "streamed / resident", "GB/s to keep up",
    )  # fmt: skip
    parts = [origin(found), table(header, rows), missing_lines(found["missing"])]
    return "\n".join(part for part in parts if part)


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw nothing: a table says it."""
    return []
