"""Whole cold processes: `chainrule train digits` against scikit-learn and PyTorch scripts of the
same work.

    python bench/process.py [--runs 5] [--epochs 20] [--output bench/results/process.json]

The commands run in turn, A B C A B C …, after one round that is not counted. For each: wall-clock
seconds and peak memory as the operating system reports them, and the ratio to each rival, pair by
pair. A rival that is not installed is reported as missing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RIVALS = {
    "scikit-learn": ("scikit-learn", HERE / "rivals" / "sklearn_digits.py"),
    "PyTorch": ("torch", HERE / "rivals" / "torch_digits.py"),
}


def measured(command: list[str], folder: str) -> tuple[float, float, str]:
    """Run a command; return its wall-clock seconds, peak memory in MiB, and what it printed."""
    output = Path(folder, "output")
    with output.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return seconds, usage.ru_maxrss / 1024, output.read_text().strip()


def installed(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()

    ours = [sys.executable, "-m", "chainrule", "train", "digits", "--backend", "numpy"]
    ours += ["--hidden", "128", "--batch-size", "32", "--epochs", str(given.epochs), "--json"]
    commands = {"chainrule": ours}
    missing = [name for name, (package, _) in RIVALS.items() if installed(package) is None]
    for name, (_, script) in RIVALS.items():
        if name not in missing:
            commands[name] = [sys.executable, str(script.resolve()), str(given.epochs)]

    samples: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for run in range(given.runs + 1):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds, memory, _ = measured(command, folder)
            if run:
                samples[name].append({"seconds": seconds, "mebibytes": memory})

    result = {
        "what": "whole cold processes, digits 64-128-10, batch 32",
        "epochs": given.epochs,
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "versions": {package: installed(package) for package in ("numpy", "scikit-learn", "torch")},
        "missing": missing,
        "samples": samples,
    }
    print(f"{'':14}{'seconds (median, range)':>28}{'peak MiB':>10}{'ours / theirs':>26}")
    for name, runs in samples.items():
        times = [run["seconds"] for run in runs]
        ours = samples["chainrule"]
        pairs = [o["seconds"] / r["seconds"] for o, r in zip(ours, runs, strict=True)]
        spread = f"{median(times):.3f} ({min(times):.3f}-{max(times):.3f})"
        ratio = f"{median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})"
        print(f"{name:14}{spread:>28}{max(r['mebibytes'] for r in runs):>10.0f}{ratio:>26}")
    for name in missing:
        print(f"{name:14} not installed")
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
