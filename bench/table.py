"""Tables in Markdown that can be read as they are."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from textwrap import fill
from typing import Any

from bench.gpu import named
from bench.summary import Spread

BUSY = 0.5
"""Cores at work for others, from which on a measurement is disturbed."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns: the first to the left, the others right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join(
        "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)
    )
    return "\n".join([row(lines[0]), rule + "|", *map(row, lines[1:])]) + "\n"


def number(value: float) -> str:
    """Return three significant digits, thousands separated.

    >>> number(0.01234), number(12.34), number(1234.5), number(123456.0)
    ('0.0123', '12.3', '1,230', '123,000')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:#.3g}"


def ranged(found: Spread | None) -> str:
    """Return "median (low-high)"; a single value stands alone, none is a dash."""
    if found is None:
        return "-"
    if found.low == found.high:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)}–{number(found.high)})"


def missing_lines(missing: Mapping[str, str]) -> str:
    """Return a line for each reason why something could not be measured, and what it was."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing.items():
        by_reason.setdefault(reason, []).append(name)
    return "".join(f"Not measured ({r}): {'; '.join(names)}.\n" for r, names in by_reason.items())


def origin(result: Mapping[str, Any]) -> str:
    """Return when and where a result was measured, and with what, in a few lines."""
    machine, here = result["machine"], result.get("gpu")
    limits = ", ".join(f"{name}={value}" for name, value in machine["limits"].items())
    places = [
        f"{machine['cores']} cores of {machine['cpu']}, {machine['architecture']}",
        f"{machine['memory_gib']} GiB",
        machine["os"],
        machine["python"],
        f"load {machine['load']} at the start",
    ]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    blas = sorted({pool for sample in result["samples"] for pool in sample.get("blas", ())})
    text = f"Measured {result['measured']} on {f'{named(here)}; ' if here else ''}"
    text += f"{', '.join(places)}; "
    text += f"thread limits: {limits or 'none, every library at its default'}. {versions}."
    if blas:
        text += f" Linear algebra: {', '.join(blas)}."
    shares = [s["disturbance"] for s in result["samples"] if s.get("disturbance") is not None]
    if shares:
        high = sum(share > BUSY for share in shares)
        text += (
            f" Other work on the machine: {median(shares):.2f} cores (median), more than {BUSY} in "
            f"{high} of {len(shares)} measurements."
        )
    if result["quick"]:
        text += " **A quick run: too short to be quoted.**"
    return fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"
