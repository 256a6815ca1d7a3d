"""Training epochs of four networks, shuffle and gather included, against other libraries."""

from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS, FLOOR, OURS
from bench.networks import PEERS
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import Samples, by_place, of, paired
from bench.table import missing_lines, number, origin, ranged, table

SECONDS = {"wide": 2.5}
HEADER = (
    "", "µs a step", "chainrule / it", "it / GEMMs", "ready after s", "peak MiB", "OS threads",
)  # fmt: skip


def measure(settings: Settings) -> dict[str, Any]:
    """Measure every contender on every network, at least 0.5 s each, in 5 rounds."""
    offered = {network.name: network for network in (PEERS[:1] if settings.quick else PEERS)}
    names, contenders = settings.chosen(offered, CONTENDERS)
    networks = [offered[name] for name in names]
    jobs = [
        Job(
            (network.name, name),
            CONTENDERS[name],
            network,
            0.1 if settings.quick else SECONDS.get(network.name, 0.5),
        )
        for network in networks
        for name in contenders
    ]
    samples, missing = in_turn("peers", jobs, settings.rounds(5))
    return result("peers", settings, samples, missing, networks)


def tables(found: dict[str, Any]) -> str:
    """Return a table for each network."""
    places = by_place(found["samples"])
    parts = [origin(found)]
    for name, network in found["networks"].items():
        sizes = "-".join(map(str, network["sizes"]))
        parts.append(
            f"**{name}**: {_short(sizes)}, batch {network['batch']}, {network['rows']:,} rows, "
            f"{network['parameters']:,} parameters\n"
        )
        own = {place[1]: samples for place, samples in places.items() if place[0] == name}
        parts.append(table(HEADER, [_row(contender, own) for contender in own]))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def _short(sizes: str) -> str:
    """Return the sizes, ten equal ones in a row as "10 × 256"."""
    parts = sizes.split("-")
    if len(parts) < 6:
        return sizes
    return f"{parts[0]}-({len(parts) - 2} × {parts[1]})-{parts[-1]}"


def _row(name: str, own: dict[str, Samples]) -> list[str]:
    samples = own[name]
    ratio = paired(own[OURS], samples, "microseconds") if OURS in own and name != OURS else None
    floor = paired(samples, own[FLOOR], "microseconds") if FLOOR in own and name != FLOOR else None
    threads = samples[0]["process_threads"] or "?"
    title = CONTENDERS[name].title
    return [
        f"{name} ({title})",
        ranged(of(samples, "microseconds")),
        ranged(ratio),
        ranged(floor),
        number(of(samples, "start_seconds").median),
        number(of(samples, "peak_bytes").high / 2**20),
        str(threads),
    ]


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw a panel of bars for each network."""
    from bench.picture import Bars, bars

    places = by_place(found["samples"])
    panels = []
    for name in found["networks"]:
        own = {p[1]: of(s, "microseconds") for p, s in places.items() if p[0] == name}
        if own:
            floor = own[FLOOR].median if FLOOR in own else None
            panels.append(Bars(name, own, (OURS, "chainrule eager"), floor))
    if not panels:
        return []
    bars(
        panels, "microseconds a step (dotted: the products alone)", folder / "bench-peers-steps.png"
    )
    return ["bench-peers-steps.png"]
