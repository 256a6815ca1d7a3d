"""``chainrule gradcheck``."""

from typing import Any

import click

from chainrule.cli.faults import FAILED
from chainrule.cli.options import debug_option, seed_option

ROWS = 8


@click.command("gradcheck")
@click.argument("run", metavar="[RUN]", required=False)
@seed_option
@debug_option
@click.pass_context
def command(context: click.Context, run: str | None, seed: int) -> None:
    """Check gradients in float64 against central differences.

    Those of a run's network or, without RUN, of every layer and loss. Exits with 1 if one is
    wrong.
    """
    from chainrule.gradcheck import check_all

    reports = check_all(seed) if run is None else [(run, _check_run(run, seed))]
    for name, report in reports:
        if run is None:
            click.echo(f"{'passed' if report.passed else 'FAILED'}  {name}")
        if run is not None or not report.passed:
            click.echo(str(report))
    failed = sum(not report.passed for _, report in reports)
    if run is None:
        click.echo(f"{len(reports) - failed} of {len(reports)} passed")
    if failed:
        context.exit(FAILED)


def _check_run(run: str, seed: int) -> Any:
    """Check a run's network on random rows, with random targets of its loss's kind."""
    from chainrule.cli.run_folder import read_model
    from chainrule.gradcheck import check_gradients
    from chainrule.gradcheck.catalogue import draw_targets
    from chainrule.ops.random import Rng

    about = read_model(run)
    rng = Rng(seed, "gradcheck")
    net, loss, in_shape = about["model"], about["loss"], about["in_shape"]
    _, out_shape = net.init(rng.at("init"), in_shape)
    x = rng.at("x").normal((ROWS, *in_shape))
    y = draw_targets(loss, out_shape, ROWS, rng.at("y"))
    return check_gradients(net, loss, x=x, y=y, seed=seed)
