"""How chainrule's time and memory grow with width, depth, batch and rows."""

from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS
from bench.networks import PEERS, Network
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import Spread, by_place, exponent, of
from bench.table import missing_lines, number, origin, ranged, table

MODES = ("chainrule", "chainrule eager")
EXPECTED = {"width": 2, "depth": 1, "batch": 1, "rows": 1}
WHAT = {
    "width": "w inputs, two hidden layers of w, 10 outputs, batch 128: µs a step",
    "depth": "128 inputs, d hidden layers of 128, 10 outputs, batch 128: µs a step",
    "batch": "256 inputs, two hidden layers of 256, 10 outputs, batch b: µs a step",
    "rows": "64 inputs, one hidden layer of 64, 10 outputs, batch 128, n rows: µs an epoch",
}
MEMORY = "wide"


STEPS = 32
"""Updates an epoch, but for the sweep of rows."""


def _width(w: int) -> Network:
    return Network(f"width {w}", (w, w, w, 10), 128, 128 * STEPS)


def _depth(d: int) -> Network:
    return Network(f"depth {d}", (128,) * (d + 1) + (10,), 128, 128 * STEPS)


def _batch(b: int) -> Network:
    return Network(f"batch {b}", (256, 256, 256, 10), b, b * STEPS)


def _rows(n: int) -> Network:
    return Network(f"rows {n}", (64, 64, 10), 128, n)


SWEEPS = {
    "width": (_width, (64, 128, 256, 512, 1024, 2048)),
    "depth": (_depth, (1, 2, 4, 8, 16, 32)),
    "batch": (_batch, (8, 32, 128, 512, 2048, 8192)),
    "rows": (_rows, (1024, 4096, 16384, 65536, 262144, 1048576)),
}
"""The network for each size, and the sizes."""

QUICK = {"width": (128, 256), "depth": (2, 4), "batch": (64, 128), "rows": (4096, 16384)}


def measure(settings: Settings) -> dict[str, Any]:
    """Measure each point, at least 0.3 s each, in 3 rounds; and the memory on `wide`."""
    sweeps, modes = settings.chosen((*SWEEPS, MEMORY), MODES[:1] if settings.quick else MODES)
    jobs, networks = [], []
    for sweep in sweeps:
        for network in _networks(sweep, settings.quick):
            networks.append(network)
            for mode in modes:
                size = network.name.rpartition(" ")[2]
                place = (sweep, size, mode)
                seconds = 0.05 if settings.quick else 0.3
                jobs.append(Job(place, CONTENDERS[mode], network, seconds, imports_apart=True))
    samples, missing = in_turn("scaling", jobs, settings.rounds(3))
    return result("scaling", settings, samples, missing, networks)


def _networks(sweep: str, quick: bool) -> list[Network]:
    if sweep == MEMORY:
        found = [network for network in PEERS if network.name == MEMORY]
        return [] if quick else found
    make, sizes = SWEEPS[sweep]
    return [make(size) for size in (QUICK[sweep] if quick else sizes)]


def _points(found: dict[str, Any], sweep: str, mode: str) -> dict[float, Spread]:
    """Return microseconds a step, or for `rows` an epoch, by size."""
    points: dict[float, Spread] = {}
    for (kind, size, by), samples in by_place(found["samples"]).items():
        if (kind, by) == (sweep, mode):
            network = found["networks"][f"{sweep} {size}"]
            steps = -(-network["rows"] // network["batch"]) if sweep == "rows" else 1
            points[float(size)] = of(samples, "microseconds").times(steps)
    return points


def _memory(found: dict[str, Any], sweep: str, mode: str) -> dict[float, Spread]:
    """Return bytes beyond the imports, by size."""
    return {
        float(size): _beyond_imports(samples)
        for (kind, size, by), samples in by_place(found["samples"]).items()
        if (kind, by) == (sweep, mode)
    }


def _beyond_imports(samples: list[dict[str, Any]]) -> Spread:
    return of(
        [{"bytes": s["peak_bytes"] - s["before_bytes"]} for s in samples],
        "bytes",
    )


def tables(found: dict[str, Any]) -> str:
    """Return the exponents, the time at each point, and the memory against what it needs."""
    parts = [origin(found), _exponents(found)]
    for sweep in SWEEPS:
        curves = {mode: _points(found, sweep, mode) for mode in MODES}
        curves = {mode: points for mode, points in curves.items() if points}
        if not curves:
            continue
        sizes = sorted({size for points in curves.values() for size in points})
        rows = [
            (f"{size:,.0f}", *(ranged(points.get(size)) for points in curves.values()))
            for size in sizes
        ]
        parts += [f"**{sweep}**: {WHAT[sweep]}\n", table((sweep, *curves), rows)]
    parts += [_memory_table(found), missing_lines(found["missing"])]
    return "\n".join(part for part in parts if part)


def _exponents(found: dict[str, Any]) -> str:
    rows = []
    for sweep, expected in EXPECTED.items():
        slopes = []
        for mode in MODES:
            points = {x: y.median for x, y in _points(found, sweep, mode).items()}
            slope = exponent(points)
            slopes.append("-" if slope is None else f"{slope:.2f}")
        rows.append((sweep, f"{expected}", *slopes))
    return (
        "Exponents of the time, fitted to the upper half of each sweep; the arithmetic alone would "
        "give the number in the first column.\n\n" + table(("", "arithmetic", *MODES), rows)
    )


def _memory_table(found: dict[str, Any]) -> str:
    rows = []
    for (sweep, size, mode), samples in by_place(found["samples"]).items():
        largest = sweep in SWEEPS and float(size) == max(_memory(found, sweep, mode))
        if not largest and sweep != MEMORY:
            continue
        name = MEMORY if sweep == MEMORY else f"{sweep} {size}"
        needed, used = found["networks"][name]["bytes_needed"], _beyond_imports(samples)
        ratio = used.times(1 / needed)
        row = (f"{name}: {mode}", number(needed / 2**20), ranged(used.times(2**-20)), ranged(ratio))
        rows.append(row)
    if not rows:
        return ""
    return (
        "**Memory**: peak of a fit beyond the imports, against what must be there: the data, the "
        "parameters four times (themselves, gradients, two moments of Adam), and one batch's rows "
        "and layer outputs.\n\n" + table(("", "needed MiB", "peak MiB", "peak / needed"), rows)
    )


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw time and memory, a panel a sweep."""
    from bench.picture import Curves, curves

    times, memories = [], []
    for sweep in SWEEPS:
        points = {mode: _points(found, sweep, mode) for mode in MODES}
        points = {mode: own for mode, own in points.items() if own}
        if not points:
            continue
        labelled, line = {}, {}
        for mode, own in points.items():
            slope = exponent({x: y.median for x, y in own.items()})
            labelled[mode if slope is None else f"{mode}: exponent {slope:.2f}"] = own
        first = next(iter(points.values()))
        last = max(first)
        for x in sorted(first)[-max(2, -(-len(first) // 2)) :]:
            line[x] = first[last].median * (x / last) ** EXPECTED[sweep]
        unit = "microseconds an epoch" if sweep == "rows" else "microseconds a step"
        plain = {f"arithmetic: exponent {EXPECTED[sweep]}": line}
        times.append(Curves(sweep, sweep, unit, labelled, plain))
        used = {mode: _memory(found, sweep, mode) for mode in points}
        needed = {
            x: found["networks"][f"{sweep} {x:.0f}"]["bytes_needed"] / 2**20 for x in sorted(first)
        }
        used = {m: {x: y.times(2**-20) for x, y in own.items()} for m, own in used.items()}
        memories.append(Curves(sweep, sweep, "MiB beyond the imports", used, {"needed": needed}))
    if not times:
        return []
    curves(times, folder / "bench-scaling-time.png")
    curves(memories, folder / "bench-scaling-memory.png")
    return ["bench-scaling-time.png", "bench-scaling-memory.png"]
