"""Whole cold processes: `chainrule train digits` against scripts that do the same work."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.processes import ROOT, outcome, show
from bench.result import result
from bench.settings import Settings
from bench.summary import by_place, of, paired
from bench.table import missing_lines, number, origin, ranged, table

ROUNDS = {20: 7, 200: 5, 2000: 3}
"""Epochs, and how often they are run."""

SCRIPTS = ROOT / "bench" / "scripts"
FIRST, SECOND, EAGER = "chainrule, first run", "chainrule, second run", "chainrule, compile off"


@dataclass(frozen=True)
class Command:
    """A command line, less the number of epochs at its end.

    own_cache: it finds the programs that the commands before it in the same round have compiled,
    and no others.
    """

    line: tuple[str, ...]
    package: str = "chainrule"
    own_cache: bool = False


def _commands() -> dict[str, Command]:
    train = (sys.executable, "-m", "chainrule", "train", "digits", "--backend", "numpy", "--json")
    train += ("--hidden", "128", "--batch-size", "32", "--lr", "0.001")
    sklearn = (sys.executable, str(SCRIPTS / "sklearn_digits.py"))
    torch = (sys.executable, str(SCRIPTS / "torch_digits.py"))
    return {
        FIRST: Command((*train, "--epochs"), own_cache=True),
        SECOND: Command((*train, "--epochs"), own_cache=True),
        EAGER: Command((*train, "--compile", "off", "--epochs")),
        "scikit-learn": Command(sklearn, "sklearn"),
        "PyTorch": Command(torch, "torch"),
    }


def measure(settings: Settings) -> dict[str, Any]:
    """Run every command in turn, with 20, 200 and 2,000 epochs, after a round not counted."""
    commands = _commands()
    names, chosen = settings.chosen(commands, [str(epochs) for epochs in ROUNDS])
    missing = {
        name: f"not installed: {commands[name].package}"
        for name in names
        if find_spec(commands[name].package) is None
    }
    if EAGER in names and not _has_compile():
        missing[EAGER] = "`chainrule train` has no --compile"
    samples: list[dict[str, Any]] = []
    first = True
    for epochs in [20] if settings.quick else map(int, chosen):
        rounds = settings.rounds(ROUNDS[epochs])
        for repetition in range(-1 if first and not settings.quick else 0, rounds):
            with tempfile.TemporaryDirectory() as cache:
                for name in names:
                    if name in missing:
                        continue
                    show(f"process: {epochs} epochs, round {repetition + 1} of {rounds}: {name}")
                    found = _run(commands[name], epochs, cache)
                    if isinstance(found, str):
                        missing[name] = found
                    elif repetition >= 0:
                        place = [str(epochs), name]
                        samples.append({"place": place, "repetition": repetition, **found})
        first = False
    show("")
    return result("process", settings, samples, missing)


def _has_compile() -> bool:
    command = [sys.executable, "-m", "chainrule", "train", "--help"]
    return "--compile" in subprocess.run(command, capture_output=True, text=True).stdout


def _run(command: Command, epochs: int, cache: str) -> dict[str, Any] | str:
    """Run a command; if it has a cache of its own, that is the folder `cache`."""
    with tempfile.TemporaryDirectory() as folder:
        launch = [sys.executable, "-m", "bench.cold", folder, *command.line, str(epochs)]
        found = outcome(launch, {"XDG_CACHE_HOME": cache} if command.own_cache else {})
    if isinstance(found, str):
        return found
    printed = found.pop("printed")
    try:
        accuracy = json.loads(printed)["accuracy"]
    except ValueError:
        accuracy = float(printed.split()[-1])
    return found | {"accuracy": accuracy}


def tables(found: dict[str, Any]) -> str:
    """Return a table for each number of epochs."""
    places = by_place(found["samples"])
    parts = [origin(found)]
    for epochs in dict.fromkeys(place[0] for place in places):
        own = {place[1]: samples for place, samples in places.items() if place[0] == epochs}
        rows = []
        for name, samples in own.items():
            row = [name, ranged(of(samples, "seconds"))]
            for ours in (FIRST, SECOND):
                compared = ours in own and name not in (FIRST, SECOND)
                row.append(ranged(paired(own[ours], samples, "seconds") if compared else None))
            row.append(number(of(samples, "peak_bytes").high / 2**20))
            row.append(f"{of(samples, 'accuracy').median:.3f}")
            rows.append(row)
        header = (
            f"{int(epochs):,} epochs", "seconds", "first run / it", "second run / it", "peak MiB",
            "accuracy",
        )  # fmt: skip
        parts.append(table(header, rows))
    parts.append(missing_lines(found["missing"]))
    return "\n".join(part for part in parts if part)


def draw(found: dict[str, Any], folder: Path) -> list[str]:
    """Draw a panel of bars for each number of epochs."""
    from bench.picture import Bars, bars

    panels: dict[str, dict[str, Any]] = {}
    for (epochs, name), samples in by_place(found["samples"]).items():
        panels.setdefault(epochs, {})[name] = of(samples, "seconds")
    if not panels:
        return []
    bars(
        [
            Bars(f"{int(epochs):,} epochs", values, (FIRST, SECOND, EAGER))
            for epochs, values in panels.items()
        ],
        "seconds from start to end",
        folder / "bench-process-seconds.png",
        columns=3,
    )
    return ["bench-process-seconds.png"]
