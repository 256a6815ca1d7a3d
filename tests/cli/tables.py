"""Tables to train on, and the command line as a process of its own."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import chainrule

NAMES = ["age", "hours", "colour", "bought"]


def people_rows(count: int = 60) -> list[list[str]]:
    """Return rows of `NAMES`: bought is yes where age is above 40 or the colour is red."""
    random = np.random.default_rng(5)
    rows: list[list[str]] = []
    for _ in range(count):
        age, colour = int(random.integers(18, 70)), str(random.choice(["red", "green", "blue"]))
        bought = "yes" if age > 40 or colour == "red" else "no"
        rows.append([str(age), f"{random.uniform(0, 60):.1f}", colour, bought])
    return rows


def write_table(
    path: Path, rows: list[list[str]], names: list[str] | None = None, **options: Any
) -> Path:
    """Write rows as CSV, after the column names unless there are none."""
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        csv.writer(file, **options).writerows([names] * (names is not None) + rows)
    return path


def process(folder: Path, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start the command line as a process of its own in a folder."""
    source = str(Path(chainrule.__file__).parents[1])
    known = os.environ | {"PYTHONPATH": source, "OPENBLAS_NUM_THREADS": "1"}
    known.pop("PYTHONUNBUFFERED", None)  # unbuffered text loses what a closed pipe did not take
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", "chainrule", *map(str, arguments)],
        cwd=folder,
        env=known,
        text=True,
        **(settings | options),
    )
