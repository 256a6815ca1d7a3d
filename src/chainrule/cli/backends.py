"""``chainrule backends``."""

import click

from chainrule.cli.options import debug_option, json_option
from chainrule.cli.output import write_json


@click.command("backends")
@json_option
@debug_option
def command(as_json: bool) -> None:
    """Say which array libraries can run here and, for the rest, why not and what to install."""
    from dataclasses import asdict

    from chainrule.backends import available

    found = available()
    if as_json:
        write_json({"backends": [asdict(status) for status in found]})
    else:
        click.echo(str(found))
