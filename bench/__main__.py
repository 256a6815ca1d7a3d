"""`python -m bench SUITE`, from the root of the repository."""

import os
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from bench import report
from bench.machine import THREADS, about
from bench.processes import ROOT
from bench.result import write
from bench.settings import Settings, UnknownNameError

SUITES = ("peers", "process", "backends", "scaling", "ops")


@click.command()
@click.argument("suite", type=click.Choice((*SUITES, "report", "all")))
@click.option("--quick", is_flag=True, help="The smallest run, with one thread each.")
@click.option("--repetitions", type=click.IntRange(1), metavar="N", help="Rounds; 3 to 7.")
@click.option("--only", metavar="NAME,...", help="Only these contenders, networks or cases.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write; bench/results and docs, or with --quick or --only a temporary folder.",
)
def main(
    suite: str, quick: bool, repetitions: int | None, only: str | None, output: Path | None
) -> None:
    """Measure and write JSON, tables and pictures; `report` needs only the JSON.

    \b
    peers     training epochs against other libraries
    process   whole cold processes against other libraries
    backends  the same training on every backend
    scaling   how time and memory grow
    ops       generated loops against eager ones
    report    docs/performance.md from the JSON files
    all       everything
    """
    if find_spec("chainrule") is None:
        raise click.ClickException("chainrule is not installed: python -m pip install -e .")
    names = tuple(name.strip() for name in only.split(",")) if only else ()
    if names and suite in ("all", "report"):
        raise click.UsageError(f"--only needs one suite to measure, not {suite!r}")
    if quick:
        for limit in THREADS:
            os.environ.setdefault(limit, "1")
    settings = Settings(quick, repetitions, names)
    if output is None and suite != "report" and (quick or names):
        output = Path(tempfile.mkdtemp(prefix="bench-"))
    results = output or ROOT / "bench" / "results"
    page = (output or ROOT / "docs") / "performance.md"
    pictures = (output or ROOT / "docs") / "img"
    for name in SUITES if suite == "all" else () if suite == "report" else (suite,):
        _measure(name, settings, results, pictures)
    if suite in ("all", "report"):
        report.write(results, page, pictures)
        click.echo(f"wrote {page}")


def _measure(name: str, settings: Settings, results: Path, pictures: Path) -> None:
    """Measure a suite; write its JSON, print its tables, draw its pictures."""
    module = import_module(f"bench.suites.{name}")
    where = about()
    try:
        found = where | module.measure(settings)
    except UnknownNameError as error:
        raise click.UsageError(str(error)) from None
    path = write(found, results)
    click.echo(f"# {name}\n\n{module.tables(found)}")
    click.echo(f"wrote {path}")
    for picture in _drawn(module, found, pictures):
        click.echo(f"wrote {pictures / picture}")


def _drawn(module: Any, found: dict[str, Any], pictures: Path) -> list[str]:
    """Return the pictures that were drawn; none, with a word, where matplotlib is missing."""
    try:
        return module.draw(found, pictures)
    except ImportError as error:
        click.echo(f"no pictures: {error}", err=True)
        return []


if __name__ == "__main__":
    main(prog_name="python -m bench")
