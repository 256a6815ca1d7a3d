"""What goes to standard output: one JSON object, or text for a reader."""

import math
from collections.abc import Mapping
from typing import Any

import click


def write_json(result: Mapping[str, Any]) -> None:
    """Write one JSON object on one line; NaN and infinities become null."""
    import json

    click.echo(json.dumps(finite(result), allow_nan=False, ensure_ascii=False))


def finite(value: Any) -> Any:
    """Return JSON content with None for numbers that strict JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]  # pyright: ignore
    return value


def numerics(result: Mapping[str, Any]) -> str:
    """Return what a run is computed in, for a reader: ``float32, tf32 products``."""
    parts = [result["dtype"]]
    if result["matmul_precision"] != "float32":
        parts.append(f"{result['matmul_precision']} products")
    if result["deterministic"]:
        parts.append("deterministic")
    return ", ".join(parts)


def columns(rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Return rows as a table, the first its head; the columns numbered in `right` stand right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
