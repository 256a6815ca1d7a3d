"""``chainrule certify``."""

import click

from chainrule.cli.faults import FAILED
from chainrule.cli.options import debug_option, deterministic_option, json_option, seed_option
from chainrule.cli.output import write_json


@click.command("certify")
@click.argument("dataset", metavar="DATASET")
@click.option(
    "--backends",
    default="numpy,torch,jax,strict",
    show_default=True,
    help="Separated by commas, a device after a colon if wanted.",
)
@click.option("--steps", type=int, default=100, show_default=True, help="Updates to compare.")
@deterministic_option
@seed_option
@json_option
@debug_option
@click.pass_context
def command(
    context: click.Context,
    dataset: str,
    backends: str,
    steps: int,
    deterministic: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Train the same network on several backends and prove how far the runs drift apart.

    DATASET is digits, iris, breast_cancer, wine, diabetes, xor or linear. Each backend runs in
    float64 and float32 and is compared with NumPy in float64. Exits with 1 if a run drifts further
    than rounding explains, or with --deterministic, which runs each twice, if the two differ at
    all.
    """
    from chainrule.certify import certify

    names = [name.strip() for name in backends.split(",") if name.strip()]
    certificate = certify(dataset, names, seed=seed, steps=steps, deterministic=deterministic)
    if as_json:
        write_json(certificate.to_json())
    else:
        click.echo(str(certificate))
    if not certificate.passed:
        context.exit(FAILED)
