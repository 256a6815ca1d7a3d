"""``chainrule predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainrule.cli.options import (
    backend_option,
    debug_option,
    delimiter_option,
    dtype_option,
    no_header_option,
    unseen_option,
)

if TYPE_CHECKING:
    from chainrule.data.schema import Schema
    from chainrule.train.trainer import Trainer


@click.command("predict")
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="DATASET|FILE")
@click.option(
    "-o", "--out", metavar="FILE", help="The CSV file to write; standard output if not given or -."
)
@no_header_option
@delimiter_option
@unseen_option
@backend_option("numpy")
@dtype_option(None)
@debug_option
def command(
    run: str,
    source: str,
    out: str | None,
    no_header: bool,
    delimiter: str | None,
    unseen: str,
    backend: str,
    dtype: str | None,
) -> None:
    """Write a CSV line for each row of a file: the prediction and each class's probability.

    The file is as it is, unscaled; its columns are found by name, in any order. Numbers come in the
    target's units. Where the run was trained with --missing drop, a row with a missing cell gets an
    empty line of cells.
    """
    import numpy as np

    from chainrule.cli.faults import say
    from chainrule.cli.run_folder import load_trainer
    from chainrule.cli.source import features, open_source
    from chainrule.data.table import Table

    trainer, schema = load_trainer(run, backend, dtype)
    data = open_source(source, delimiter=delimiter, no_header=no_header)
    rows = np.arange(len(data))
    if isinstance(data, Table) and schema.missing == "drop":
        rows = schema.complete_rows(data, target=False)
        if len(rows) < len(data):
            say(f"warning: {len(data) - len(rows)} rows with a missing cell have no prediction")
    x = features(data, schema, rows, unseen=unseen)
    head = ["prediction", *(f"probability_{name}" for name in schema.class_names or ())]
    lines = [[""] * len(head)] * len(data)
    if len(rows):
        for row, line in zip(rows.tolist(), _lines(trainer, schema, x), strict=True):
            lines[row] = line
    content = _csv([head, *lines], escaped=out is None or out == "-")
    if out is None or out == "-":
        click.echo(content, nl=False)
        return
    _write(Path(out), Path(source), content)
    say(f"{len(data)} rows written to {out}")


def _write(target: Path, source: Path, content: str) -> None:
    """Write the predictions; refuse to overwrite the file they were made from."""
    from chainrule.errors import InputError
    from chainrule.train.files import write_bytes

    target = target.resolve()
    if target.is_dir():
        raise InputError(f"-o {target}: is a folder; expected the name of a file")
    if not target.parent.is_dir():
        raise InputError(f"-o {target}: there is no folder {target.parent}; make it first")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"-o {target}: is the file the rows come from; choose another name")
    if target.exists() and not target.is_file():
        target.write_text(content)
    else:
        write_bytes(target, content.encode())


def _lines(trainer: "Trainer", schema: "Schema", x: Any) -> list[list[str]]:
    """Return a line of cells for each row of `x`."""
    if schema.class_names is None:
        values: Any = schema.decode_target(trainer.predict(x).reshape(-1))
        return [[repr(float(value))] for value in values]
    probabilities = trainer.predict_proba(x)
    labels = schema.decode_target(probabilities.argmax(axis=1))
    return [
        [str(label), *(f"{p:.6g}" for p in row)]
        for label, row in zip(labels, probabilities.tolist(), strict=True)
    ]


def _csv(lines: list[list[str]], *, escaped: bool) -> str:
    """Return lines of cells as CSV; `escaped` makes terminal escapes harmless."""
    import csv
    import io

    from chainrule.data.escaping import escape

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([escape(cell) for cell in line] if escaped else line for line in lines)
    return text.getvalue()
