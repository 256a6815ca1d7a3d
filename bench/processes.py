"""Processes in turn: A B C A B C …, so that a busy minute of the machine hits all alike."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.contenders import Contender
from bench.networks import Network

ROOT = Path(__file__).resolve().parent.parent
ERROR = re.compile(r"[\w.]+(Error|Exception|Failed): ")
LIMIT = 600
"""Seconds after which a measurement is given up."""


@dataclass(frozen=True)
class Job:
    """A contender, a network, and the seconds to measure for.

    place: where its samples belong, such as (network, contender). warm_up: seconds of training,
    after the first epoch, that are not counted.
    """

    place: tuple[str, ...]
    contender: Contender
    network: Network
    seconds: float
    imports_apart: bool = False
    warm_up: float = 0.0

    def command(self) -> list[str]:
        """Return the command of its worker."""
        job = {
            "module": self.contender.module,
            "options": dict(self.contender.options),
            "network": asdict(self.network),
            "seconds": self.seconds,
            "imports_apart": self.imports_apart,
            "warm_up": self.warm_up,
        }
        return [sys.executable, "-m", "bench.worker", json.dumps(job)]


def in_turn(
    suite: str, jobs: Iterable[Job], repetitions: int
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run every job `repetitions` times, round by round; return samples and who is missing.

    A sample is what `bench.worker` prints, with its ``place`` and ``repetition``. A job that cannot
    run is left out of the following rounds and named in the second result with the reason.
    """
    jobs, samples = list(jobs), []
    missing = {}
    for job in jobs:
        if absent := job.contender.missing():
            missing[name_of(job)] = f"not installed: {', '.join(absent)}"
    for repetition in range(repetitions):
        for number, job in enumerate(jobs, start=1):
            if name_of(job) in missing:
                continue
            turn = f"round {repetition + 1} of {repetitions}, {number} of {len(jobs)}"
            show(f"{suite}: {turn}: {name_of(job)}")
            found = outcome(job.command())
            if isinstance(found, str):
                missing[name_of(job)] = found
                samples = [s for s in samples if tuple(s["place"]) != job.place]
            else:
                samples.append({"place": list(job.place), "repetition": repetition, **found})
    show("")
    return samples, missing


def name_of(job: Job) -> str:
    """Return the job's place in words."""
    return ", ".join(job.place)


def outcome(command: list[str], variables: Mapping[str, str] = {}) -> dict[str, Any] | str:
    """Run a command that prints one line of JSON; return that object, or why there is none."""
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    absolute = os.pathsep.join(str(Path(path).resolve()) for path in paths)
    environment = os.environ | ({"PYTHONPATH": absolute} if absolute else {}) | dict(variables)
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {LIMIT} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.match(line)]  # advice may follow the error
    return f"failed: {(errors or lines or [f'exit code {done.returncode}'])[-1]}"


def show(line: str) -> None:
    """Show a line of progress on a terminal, over the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
