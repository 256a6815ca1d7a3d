"""Fixtures: a command line run in an empty folder, and small tables to train on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from chainrule.cli.app import app
from cli.tables import NAMES, people_rows, write_table

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def good(run: Run) -> Callable[..., dict[str, Any]]:
    """Call a command with --json that must succeed; return its one JSON object."""

    def call(*arguments: object) -> dict[str, Any]:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        assert result.stdout.endswith("}\n")
        return json.loads(result.stdout)

    return call


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Return a CSV file of numbers, categories and a class to predict."""
    return write_table(tmp_path / "people.csv", people_rows(), NAMES)


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Return a CSV file with a linear target in large units."""
    random = np.random.default_rng(6)
    size, rooms = random.uniform(20, 200, 80), random.integers(1, 6, 80)
    price = 3000 * size + 10_000 * rooms + 50_000
    rows = [[f"{s:.2f}", str(r), f"{p:.2f}"] for s, r, p in zip(size, rooms, price, strict=True)]
    return write_table(tmp_path / "prices.csv", rows, ["size", "rooms", "price"])
