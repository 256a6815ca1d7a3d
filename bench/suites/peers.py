"""Training epochs of four networks, shuffle and gather included, against other libraries."""

from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS, CONTENDERS_ON_CUDA, FLOOR, OURS, Contender
from bench.networks import PEERS, PEERS_ON_CUDA
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import Samples, by_place, of, paired
from bench.table import missing_lines, number, origin, ranged, table

SECONDS = {"wide": 2.5}
HEADER = ("", "µs a step", "chainrule / it", "it / GEMMs", "ready after s")
HOST = ("peak MiB", "OS threads")
"""What only tells something where the processor computes."""


def measure(settings: Settings) -> dict[str, Any]:
    """Measure every contender on every network, at least 0.5 s, in 5 rounds; 1 s, 3 on CUDA."""
    known = _contenders(settings.device)
    peers = PEERS_ON_CUDA if settings.cuda else PEERS
    offered = {network.name: network for network in (peers[:1] if settings.quick else peers)}
    names, contenders = settings.chosen(offered, known)
    networks = [offered[name] for name in names]
    warm_up = 0.3 if settings.cuda and not settings.quick else 0.0
    jobs = [
        Job(
            (network.name, name),
            known[name],
            network,
            _seconds(network.name, settings),
            warm_up=warm_up,
        )
        for network in networks
        for name in contenders
    ]
    samples, missing = in_turn("peers", jobs, settings.rounds(3 if settings.cuda else 5))
    return result("peers", settings, samples, missing, networks)


def _seconds(network: str, settings: Settings) -> float:
    if settings.quick:
        return 0.1
    return 1.0 if settings.cuda else SECONDS.get(network, 0.5)


def _contenders(device: str) -> dict[str, Contender]:
    return CONTENDERS_ON_CUDA if device == "cuda" else CONTENDERS


def tables(found: dict[str, Any]) -> str:
    """Return a table for each network."""
    places, device = by_place(found["samples"]), found.get("device", "cpu")
    parts = [origin(found)]
    for name, network in found["networks"].items():
        sizes = "-".join(map(str, network["sizes"]))
        parts.append(
            f"**{name}**: {_short(sizes)}, batch {network['batch']}, {network['rows']:,} rows, "
            f"{network['parameters']:,} parameters{_precision(network)}\n"
        )
        own = {place[1]: samples for place, samples in places.items() if place[0] == name}
        known = _contenders(device)
        rows = [_row(contender, own, known[contender].title) for contender in own]
        if device == "cuda":
            parts.append(table(HEADER, rows))
        else:
            rows = [[*row, *_host(own[name])] for row, name in zip(rows, own, strict=True)]
            parts.append(table(HEADER + HOST, rows))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def _short(sizes: str) -> str:
    """Return the sizes, ten equal ones in a row as "10 × 256"."""
    parts = sizes.split("-")
    if len(parts) < 6:
        return sizes
    return f"{parts[0]}-({len(parts) - 2} × {parts[1]})-{parts[-1]}"


def _precision(network: dict[str, Any]) -> str:
    precision = network.get("precision", "float32")
    return "" if precision == "float32" else f", products in {precision.upper()}"


def _row(name: str, own: dict[str, Samples], title: str) -> list[str]:
    samples = own[name]
    ratio = paired(own[OURS], samples, "microseconds") if OURS in own and name != OURS else None
    floor = paired(samples, own[FLOOR], "microseconds") if FLOOR in own and name != FLOOR else None
    return [
        f"{name} ({title})",
        ranged(of(samples, "microseconds")),
        ranged(ratio),
        ranged(floor),
        number(of(samples, "start_seconds").median),
    ]


def _host(samples: Samples) -> list[str]:
    peak = number(of(samples, "peak_bytes").high / 2**20)
    return [peak, str(samples[0]["process_threads"] or "?")]


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
    picture = "bench-peers-cuda.png" if found.get("device") == "cuda" else "bench-peers-steps.png"
    bars(panels, "microseconds a step (dotted: the products alone)", folder / picture)
    return [picture]
