"""`python -m bench SUITE`, from the root of the repository."""

import os
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from bench import gpu, report
from bench.machine import THREADS, about
from bench.processes import ROOT
from bench.result import DifferentError, joined, read, require_same, write
from bench.settings import Settings, UnknownNameError

SUITES = {
    "cpu": ("peers", "process", "backends", "scaling", "ops"),
    "cuda": ("peers", "optimizer", "backends", "streaming"),
}
"""What `all` measures; those of CUDA can be tried on the CPU by name."""
NAMES = tuple(dict.fromkeys(name for names in SUITES.values() for name in names))


class NoDeviceError(click.ClickException):
    """There is nothing here that the suite could measure: one line, exit code 2."""

    exit_code = 2


@click.command()
@click.argument("suite", type=click.Choice((*NAMES, "report", "all")))
@click.option("--device", type=click.Choice(tuple(SUITES)), default="cpu", show_default=True)
@click.option("--quick", is_flag=True, help="The smallest run, with one thread each.")
@click.option("--repetitions", type=click.IntRange(1), metavar="N", help="Rounds; 3 to 7.")
@click.option("--only", metavar="NAME,...", help="Only these contenders, networks or cases.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write; bench/results and docs, or with --quick or --only a temporary folder.",
)
@click.option("--add", is_flag=True, help="Add to the results of this machine that are there.")
def main(
    suite: str,
    device: str,
    quick: bool,
    repetitions: int | None,
    only: str | None,
    output: Path | None,
    add: bool,
) -> None:
    """Measure and write JSON, tables and pictures; `report` needs only the JSON.

    \b
    peers     training epochs against other libraries
    process   whole cold processes against other libraries
    backends  the same training on every backend
    scaling   how time and memory grow
    ops       generated loops against eager ones
    optimizer Adam alone against the speed of a copy
    streaming data streamed from the host against resident data
    report    docs/performance.md from the JSON files
    all       everything; with --device cuda peers, optimizer, backends, streaming
    """
    if find_spec("chainrule") is None:
        raise click.ClickException("chainrule is not installed: python -m pip install -e .")
    names = tuple(name.strip() for name in only.split(",")) if only else ()
    if names and suite in ("all", "report"):
        raise click.UsageError(f"--only needs one suite to measure, not {suite!r}")
    if quick:
        for limit in THREADS:
            os.environ.setdefault(limit, "1")
    if device == "cuda" and suite not in (*SUITES[device], "all", "report"):
        raise click.UsageError(f"{suite!r} measures nothing on CUDA: {', '.join(SUITES[device])}")
    settings = Settings(quick, repetitions, names, device)
    where: dict[str, Any] = {}
    if settings.cuda and suite != "report":
        try:
            where = {"gpu": gpu.about()}
        except gpu.NoCudaError as error:
            raise NoDeviceError(str(error)) from None
    if output is None and suite != "report" and (quick or names) and not add:
        output = Path(tempfile.mkdtemp(prefix="bench-"))
    results = output or ROOT / "bench" / "results"
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--output {results}: {error.strerror}") from None
    page = (output or ROOT / "docs") / "performance.md"
    pictures = (output or ROOT / "docs") / "img"
    for name in SUITES[device] if suite == "all" else () if suite == "report" else (suite,):
        _measure(name, settings, where, results, pictures, add)
    if suite in ("all", "report"):
        report.write(results, page, pictures)
        click.echo(f"wrote {page}")


def _measure(
    name: str,
    settings: Settings,
    where: dict[str, Any],
    results: Path,
    pictures: Path,
    add: bool,
) -> None:
    """Measure a suite; write its JSON, print its tables, draw its pictures."""
    module = import_module(f"bench.suites.{name}")
    before = read(results, settings.named(name)) if add else None
    where = about() | where
    try:
        if before is not None:
            require_same(before, where | {"quick": settings.quick})
        found = where | module.measure(settings)
        if before is not None:
            found = joined(before, found)
    except (UnknownNameError, DifferentError) as error:
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
