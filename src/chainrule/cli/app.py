"""The ``chainrule`` command: finds a command by name, imports it, and reports errors."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from chainrule import __version__
from chainrule.cli.faults import guarded
from chainrule.cli.options import debug_option
from chainrule.errors import nearest

COMMANDS = {
    "train": "Train a network on a file or a built-in data set.",
    "evaluate": "Score a run on a file it has not seen.",
    "predict": "Write a run's predictions for the rows of a file.",
    "inspect": "Show the layers, shapes and parameters of a run.",
    "plot": "Draw a run's loss and accuracy.",
    "gradcheck": "Check gradients against numerical differentiation.",
    "certify": "Prove that one run is the same on several backends.",
    "backends": "Say which array libraries can run here.",
}


class App(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"chainrule.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with; an unknown one gets the nearest name."""
        if args and args[0] not in COMMANDS:
            ctx.fail(
                f"no command {args[0]!r}{nearest(args[0], COMMANDS)}; "
                f"expected one of {', '.join(COMMANDS)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command that `args` (by default the process's own) name, and exit."""
        given = list(sys.argv[1:] if args is None else args)

        def run() -> None:
            with self.make_context("chainrule", list(given)) as context:
                self.invoke(context)

        sys.exit(guarded(run, debug="--debug" in given))


@click.group(
    cls=App,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="chainrule", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def app(context: click.Context) -> None:
    """Train neural networks on the array library you already have."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
