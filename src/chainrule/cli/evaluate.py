"""``chainrule evaluate``."""

from typing import Any

import click

from chainrule.cli.options import (
    backend_option,
    debug_option,
    delimiter_option,
    dtype_option,
    json_option,
    no_header_option,
    unseen_option,
)
from chainrule.cli.output import write_json


@click.command("evaluate")
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="DATASET|FILE")
@click.option("--target", metavar="FILE", help="For arrays: the file of y.")
@no_header_option
@delimiter_option
@unseen_option
@backend_option("numpy")
@dtype_option(None)
@json_option
@debug_option
def command(
    run: str,
    source: str,
    target: str | None,
    no_header: bool,
    delimiter: str | None,
    unseen: str,
    backend: str,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Score a run on all rows of a file with the columns it was trained on, target included."""
    from chainrule.cli.run_folder import load_trainer
    from chainrule.cli.source import features, open_source
    from chainrule.data.table import Table
    from chainrule.data.target import NumberTarget
    from chainrule.errors import InputError

    trainer, schema = load_trainer(run, backend, dtype)
    data = open_source(source, delimiter=delimiter, no_header=no_header, target=target)
    if isinstance(data, Table):
        if target is not None:
            raise InputError(f"--target {target!r}: the run knows its target; leave the option out")
        rows = schema.complete_rows(data) if schema.missing == "drop" else None
        y = schema.target(data, rows)
    else:
        rows, y = None, schema.goal.read(data.targets())
    x = features(data, schema, rows, unseen=unseen)
    scores = trainer.evaluate(x, schema.encode_target(y))
    goal = schema.goal
    if isinstance(goal, NumberTarget) and "mae" in scores:
        scores["mae"] *= goal.scale
    nan = float("nan")
    names = ("r2", "mae") if isinstance(goal, NumberTarget) else ("accuracy",)
    result: dict[str, Any] = {
        **{name: scores.get(name, nan) for name in (*names, "loss")},
        "rows": len(y),
        "run": run,
        "data": source,
        "backend": trainer.backend.name,
        "device": trainer.backend.device,
        **trainer.numerics,
    }
    if as_json:
        write_json(result)
        return
    labels = {"r2": "R²", "mae": "mean absolute error"}
    parts = [f"{labels.get(name, name)} {result[name]:.4f}" for name in (*names, "loss")]
    click.echo(f"{', '.join(parts)} on {len(y)} rows")
