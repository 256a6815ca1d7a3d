"""The generated loops against the same text run eagerly: one optimizer, activation or loss a case.

The products of these networks are small, so that the loops around them make the time.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS
from bench.networks import Network
from bench.processes import Job, in_turn
from bench.result import result
from bench.settings import Settings
from bench.summary import by_place, of, paired
from bench.table import missing_lines, origin, ranged, table

COMPILED, EAGER = "chainrule", "chainrule eager"
OPTIMIZERS = (
    "sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "adamax", "nadam", "amsgrad",
)  # fmt: skip
ACTIVATIONS = (
    "Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Softmax",
)  # fmt: skip
LOSSES = (
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "absolute_error", "huber",
)  # fmt: skip
QUICK = ("adam", "Tanh", "softmax_cross_entropy")
KINDS = {
    "optimizers": "128-512-10, batch 8: 71,178 parameters",
    "activations": "8-256-10, batch 256: 65,536 outputs of the activation",
    "losses": "8-256, batch 256: 65,536 outputs of the network",
}


def _cases() -> dict[str, tuple[str, Network]]:
    """Return the kind and the network of each case."""
    found = {}
    for name in OPTIMIZERS:
        network = Network(name, (128, 512, 10), 8, 8 * 64, optimizer=name)
        found[name] = ("optimizers", network)
    for name in ACTIVATIONS:
        network = Network(name, (8, 256, 10), 256, 256 * 64, activation=name, optimizer="sgd")
        found[name] = ("activations", network)
    for name in LOSSES:
        network = Network(name, (8, 256), 256, 256 * 64, loss=name, optimizer="sgd")
        found[name] = ("losses", network)
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Measure each case compiled and eagerly, at least 0.3 s each, in 3 rounds."""
    cases = _cases()
    names, modes = settings.chosen(QUICK if settings.quick else cases, (COMPILED, EAGER))
    jobs = [
        Job((cases[n][0], n, mode), CONTENDERS[mode], cases[n][1], 0.05 if settings.quick else 0.3)
        for n in names
        for mode in modes
    ]
    samples, missing = in_turn("ops", jobs, settings.rounds(3))
    return result("ops", settings, samples, missing, (cases[name][1] for name in names))


def tables(found: dict[str, Any]) -> str:
    """Return a table for each kind."""
    parts = [origin(found)]
    for kind, names in _kinds(found).items():
        own = {place[1:]: s for place, s in by_place(found["samples"]).items() if place[0] == kind}
        rows = []
        for name in names:
            compiled, eager = own.get((name, COMPILED), []), own.get((name, EAGER), [])
            times = [ranged(of(s, "microseconds")) if s else "-" for s in (compiled, eager)]
            gain = paired(eager, compiled, "microseconds")
            rows.append((name, *times, ranged(gain)))
        parts.append(f"**{kind}**: {KINDS[kind]}\n")
        parts.append(table(("", "compiled, µs a step", "eager, µs a step", "gain"), rows))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def _kinds(found: dict[str, Any]) -> dict[str, Iterable[str]]:
    """Return the names of the cases of each kind."""
    kinds: dict[str, dict[str, None]] = {}
    for kind, name, _ in by_place(found["samples"]):
        kinds.setdefault(kind, {})[name] = None
    return dict(kinds)


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw how many times faster the compiled step is, a panel a kind."""
    from bench.picture import Bars, bars

    places = by_place(found["samples"])
    panels = []
    for kind, names in _kinds(found).items():
        gains = {}
        for name in names:
            both = [places.get((kind, name, mode), []) for mode in (EAGER, COMPILED)]
            gain = paired(*both, "microseconds")
            if gain is not None:
                gains[name] = gain
        if gains:
            panels.append(Bars(kind, gains, tuple(gains), line=1.0))
    if not panels:
        return []
    label = "eager time / compiled time (dotted: no gain)"
    bars(panels, label, folder / "bench-ops-gain.png", columns=3)
    return ["bench-ops-gain.png"]
