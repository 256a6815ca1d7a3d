"""The same training by chainrule on every backend that can run here, as batch and width grow.

On CUDA: NumPy against CuPy as the width grows, so that the crossing point shows.
"""

import sys
from pathlib import Path
from typing import Any

from bench.contenders import Contender, ours
from bench.networks import Network
from bench.processes import Job, in_turn, outcome
from bench.result import result
from bench.settings import Settings
from bench.summary import Samples, Spread, by_place, crossings, of, spread
from bench.table import missing_lines, number, origin, ranged, table

BATCHES = (8, 32, 128, 512, 2048)
WIDTHS = (32, 128, 512, 2048)
CROSSING = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
STEPS = 64
"""Updates an epoch."""
SWEEPS = ("batch", "width")
OURS = "numpy compiled"


def measure(settings: Settings) -> dict[str, Any]:
    """Measure each backend at each point of both sweeps, at least 0.5 s each, in 3 rounds."""
    quick = settings.quick
    if settings.cuda:
        contenders, unusable = _crossing(), {}
        batches, widths = (), (64, 128) if quick else CROSSING
    else:
        contenders, unusable = _contenders()
        batches, widths = ((32, 256), ()) if quick else (BATCHES, WIDTHS)
    sweeps, names = settings.chosen(SWEEPS, contenders)
    networks = {
        "batch": [_network(batch, 256, quick) for batch in batches],
        "width": [_network(128, width, quick) for width in widths],
    }
    seconds = 0.1 if quick else 0.5
    warm_up = 0.3 if settings.cuda and not quick else 0.0
    jobs = [
        Job((sweep, network.name, name), contenders[name], network, seconds, warm_up=warm_up)
        for sweep in sweeps
        for network in networks[sweep]
        for name in names
    ]
    samples, missing = in_turn("backends", jobs, settings.rounds(3))
    used = {network.name: network for sweep in sweeps for network in networks[sweep]}
    return result("backends", settings, samples, missing | unusable, used.values())


def _network(batch: int, width: int, quick: bool) -> Network:
    name = f"batch {batch}, width {width}"
    steps = 8 if quick or width > max(WIDTHS) else STEPS
    return Network(name, (256, width, width, 10), batch, steps * batch)


def _crossing(library: str = "cupy") -> dict[str, Contender]:
    """Return NumPy and CuPy, compiled and eager."""
    return {
        f"{name} {mode}": ours("", backend=name, compile=mode == "compiled")
        for name in ("numpy", library)
        for mode in ("compiled", "eager")
    }


def _contenders() -> tuple[dict[str, Contender], dict[str, str]]:
    """Return a contender for each device, and the reason for each backend that has none."""
    usable: dict[str, Contender] = {}
    unusable: dict[str, str] = {}
    found = outcome([sys.executable, "-m", "bench.devices"])
    if isinstance(found, str):
        return usable, {"the other backends": found}
    for name, status in found.items():
        if not status["devices"]:
            unusable[name] = status["reason"]
        if name == "numpy":
            usable[OURS] = ours("", backend="numpy", compile=True)
            usable["numpy eager"] = ours("", backend="numpy", compile=False)
        else:
            kinds = dict.fromkeys(device.partition(":")[0] for device in status["devices"])
            for kind in kinds if name != "strict" else ("cpu",):
                title = name if kind == "cpu" else f"{name} {kind}"
                usable[title] = ours("", backend=f"{name}:{kind}")
    return usable, unusable


def tables(found: dict[str, Any]) -> str:
    """Return the time of a step, the samples a second and the memory, and where curves cross."""
    parts = [
        origin(found),
        "256 inputs, two hidden layers, 10 outputs. Peak memory is the host's.\n",
    ]
    places = by_place(found["samples"])
    for sweep in dict.fromkeys(place[0] for place in places):
        parts.append(f"**As the {sweep} grows**\n")
        own = {place[1:]: samples for place, samples in places.items() if place[0] == sweep}
        names = list(dict.fromkeys(name for _, name in own))
        steps, rates, memory = [], [], []
        for point in dict.fromkeys(point for point, _ in own):
            at = [own.get((point, name), []) for name in names]
            batch = found["networks"][point]["batch"]
            steps.append((point, *(ranged(_rate(samples, 1)) for samples in at)))
            rates.append((point, *(number(_rate(samples, batch).median) for samples in at)))
            memory.append((point, *(number(of(s, "peak_bytes").high / 2**20) for s in at)))
        parts.append(table(("steps/s", *names), steps))
        parts.append(table(("samples/s", *names), rates))
        parts.append(table(("peak MiB", *names), memory))
        parts += _crossing_lines(sweep, _curves(found, sweep))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def _rate(samples: Samples, batch: int) -> Spread:
    """Return steps a second times `batch`."""
    return spread(batch * 1e6 / sample["microseconds"] for sample in samples)


def _curves(found: dict[str, Any], sweep: str) -> dict[str, dict[float, Spread]]:
    """Return microseconds a step for each backend, by batch or by width."""
    curves: dict[str, dict[float, Spread]] = {}
    for (kind, point, name), samples in by_place(found["samples"]).items():
        if kind == sweep:
            network = found["networks"][point]
            x = network["batch"] if sweep == "batch" else network["sizes"][1]
            curves.setdefault(name, {})[x] = of(samples, "microseconds")
    return curves


def _crossing_lines(sweep: str, curves: dict[str, dict[float, Spread]]) -> list[str]:
    """Return in words where `numpy compiled` stops being the faster or the slower one."""
    lines = []
    for name, points in curves.items():
        xs = sorted(set(points) & set(curves.get(OURS, {})))
        if name == OURS or len(xs) < 2:
            continue
        own, theirs = ([curve[x].median for x in xs] for curve in (curves[OURS], points))
        changes = crossings(xs, own, theirs)
        always = "faster" if own[0] <= theirs[0] else "slower"
        if not changes:
            lines.append(f"- {OURS} is {always} than {name} throughout.\n")
        else:
            lines.append(
                f"- {OURS} is {always} than {name} at {sweep} {xs[0]:g}; the order changes between "
                f"{' and between '.join(changes)}.\n"
            )
    return ["".join(lines)] if lines else []


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw a panel of curves for each sweep."""
    from bench.picture import Curves, curves

    titles = {"batch": "width 256", "width": "batch 128"}
    panels = []
    for sweep in SWEEPS:
        own = _curves(found, sweep)
        if own:
            panels.append(Curves(titles[sweep], sweep, "microseconds a step", own))
    if not panels:
        return []
    name = "bench-crossing.png" if found.get("device") == "cuda" else "bench-backends-sweep.png"
    curves(panels, folder / name)
    return [name]
