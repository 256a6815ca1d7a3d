"""``chainrule train``."""

from typing import Any

import click
from click.core import ParameterSource

from chainrule.cli.options import (
    ACTIVATIONS,
    COMPILE,
    MATMUL_PRECISIONS,
    MISSING,
    OPTIMIZERS,
    STREAM,
    TASKS,
    backend_option,
    check_sizes,
    debug_option,
    delimiter_option,
    deterministic_option,
    dtype_option,
    json_option,
    name_of,
    no_header_option,
    seed_option,
)
from chainrule.cli.output import numerics, write_json
from chainrule.cli.run_folder import last_run, new_run
from chainrule.cli.settings import Settings


@click.command("train", short_help="Train a network.")
@click.argument("source", metavar="DATASET|FILE")
@click.option(
    "--target",
    metavar="NAME",
    help="The column to predict; the last one if not given. For arrays the file of y.",
)
@click.option(
    "--task",
    callback=name_of(TASKS),
    metavar="NAME",
    default="auto",
    show_default=True,
    help=f"{', '.join(TASKS)}.",
)
@click.option(
    "--hidden",
    callback=check_sizes,
    metavar="SIZES",
    default="128",
    show_default=True,
    help="Sizes of the hidden layers: 128,64; none for a linear model.",
)
@click.option(
    "--activation",
    callback=name_of(ACTIVATIONS),
    metavar="NAME",
    default="relu",
    show_default=True,
    help=f"{', '.join(ACTIVATIONS)}.",
)
@click.option(
    "--dropout",
    type=float,
    default=0.0,
    metavar="RATE",
    help="Drop this share of each hidden layer's outputs in training.",
)
@click.option("--batch-norm", is_flag=True, help="Normalise each hidden layer over the batch.")
@click.option(
    "--optimizer",
    callback=name_of(OPTIMIZERS),
    metavar="NAME",
    default="adam",
    show_default=True,
    help=f"{', '.join(OPTIMIZERS)}.",
)
@click.option("--lr", type=float, help="Learning rate; 2e-3 for Adam, else the optimizer's own.")
@click.option(
    "--weight-decay",
    type=float,
    metavar="L2",
    help="Add L2/2 times the squared weights to the loss (AdamW: decoupled).",
)
@click.option("--clip-norm", type=float, metavar="NORM", help="Cut gradients to this 2-norm.")
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes over the rows; 20, or as many as make 500 updates.",
)
@click.option("--batch-size", type=int, metavar="B", help="Rows an update; 32.")
@click.option(
    "--validation",
    type=float,
    default=0.2,
    show_default=True,
    metavar="FRACTION",
    help="Share of the rows held out and reported; 0 for none.",
)
@click.option(
    "--missing",
    callback=name_of(MISSING),
    metavar="NAME",
    default="error",
    show_default=True,
    help=f"What to do with missing cells: {', '.join(MISSING)}.",
)
@no_header_option
@delimiter_option
@backend_option("auto")
@dtype_option("float32")
@click.option(
    "--matmul-precision",
    callback=name_of(MATMUL_PRECISIONS),
    metavar="NAME",
    default="float32",
    show_default=True,
    help="What float32 products are computed in: float32, or tf32 (for CUDA).",
)
@deterministic_option
@click.option(
    "--compile",
    callback=name_of(COMPILE),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Compile the steps: auto (where it pays), on or off.",
)
@click.option(
    "--stream",
    callback=name_of(STREAM),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Leave the data on the host: auto (where the device is too small), on or off.",
)
@seed_option
@click.option("--out", metavar="DIR", help="The run's folder; runs/NAME if not given.")
@click.option(
    "--checkpoint-every",
    type=int,
    metavar="STEPS",
    help="Write a checkpoint every so many updates.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, bit for bit.")
@click.option(
    "--patience",
    type=int,
    metavar="N",
    help="Stop after N epochs without a lower held-out loss; keep the best.",
)
@click.option(
    "--time-budget",
    type=float,
    metavar="SECONDS",
    help="Stop after the epoch in which this time is over.",
)
@json_option
@click.option("--quiet", is_flag=True, help="No progress and no messages but warnings and errors.")
@debug_option
@click.pass_context
def command(
    context: click.Context,
    source: str,
    out: str | None,
    resume: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a network on a built-in data set or a file, and report it on rows it has not seen.

    DATASET is digits, iris, breast_cancer, wine, diabetes, xor or linear; FILE a CSV, TSV, Parquet,
    NPY, NPZ or IDX file.

    \b
    chainrule train digits
    chainrule train people.csv --target income --hidden 64,32 --out runs/income
    """
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    settings = Settings(**options)

    from chainrule.cli.training import prepare, resumed, train

    if resume:
        folder = last_run(out, source)
        result = train(resumed(source, folder, settings, given, quiet), folder, resume=True)
    else:
        run = prepare(source, settings, quiet)
        with new_run(out, source) as folder:
            result = train(run, folder)
    if as_json:
        write_json(result)
    else:
        click.echo(_summary(result))


def _summary(result: dict[str, Any]) -> str:
    """Return the outcome for a reader."""
    where = "held-out" if result["held_out_rows"] else "training"
    rows = result["held_out_rows"] or result["rows"]
    if result["task"] == "classification":
        score = f"{where} accuracy {result['accuracy']:.4f}, loss {result['loss']:.4f}"
    else:
        score = (
            f"{where} R² {result['r2']:.4f}, mean absolute error {result['mae']:.4g}, "
            f"loss {result['loss']:.4f} of the standardised target"
        )
    lines = [
        f"{score} on {rows} rows",
        f"{result['epochs']} epochs, {result['steps']} steps in {result['seconds']:.2f} s on "
        f"{result['backend']} ({result['device']}{', compiled' * result['compiled']}"
        f"{', streamed' * result['streamed']}), "
        f"{numerics(result)}, seed {result['seed']}",
    ]
    if result["stopped"]:
        lines.append(f"stopped early: {result['stopped']}")
    run = result["run"]
    if result["dtype"] == "bfloat16" or result["matmul_precision"] != "float32":
        how = " --dtype float32"  # on NumPy, which has neither
    else:
        how = ""
    lines += [
        f"run folder: {run}",
        f"next: chainrule predict {run} FILE{how}, chainrule plot {run}, chainrule inspect {run}",
    ]
    return "\n".join(lines)
