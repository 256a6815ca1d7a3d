"""Errors and warnings as a user sees them: one line each, an exit code, a traceback on request."""

import io
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from chainrule.data.escaping import escape
from chainrule.errors import InputError, TrainingError

FAILED, MISTAKE, INTERRUPTED, OUTPUT_CLOSED = 1, 2, 130, 141
"""Exit codes; 130 and 141 are what a shell reports for SIGINT and SIGPIPE."""


def guarded(run: Callable[[], None], *, debug: bool) -> int:
    """Run, and return the exit code; errors that are not the program's own become one line.

    debug: write the traceback before that line.
    """
    out: Any = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            return _flushed(run)
    except BrokenPipeError:
        _output_lost()
        return OUTPUT_CLOSED
    except KeyboardInterrupt as error:
        say(str(error) or "interrupted")
        return INTERRUPTED
    except (click.ClickException, InputError, TrainingError, OSError, MemoryError) as error:
        if debug:
            import traceback

            with suppress(OSError):
                traceback.print_exception(error)
        say(f"error: {_text(error)}")
        return FAILED if isinstance(error, TrainingError | MemoryError) else MISTAKE


def say(text: str) -> None:
    """Write one line to standard error, after the program's name."""
    line = " ".join(part.strip() for part in text.splitlines())
    with suppress(OSError):
        click.echo(f"chainrule: {escape(line)}", err=True)


def _flushed(run: Callable[[], None]) -> int:
    """Run, then write out what is left, so that a closed output is noticed here."""
    code = 0
    try:
        run()
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    out: Any = sys.stdout
    if out is not None:
        out.flush()
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")


def _text(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        text = error.format_message().strip().rstrip(".")
        context = getattr(error, "ctx", None)
        return text if context is None else f"{text}; see {context.command_path} --help"
    if isinstance(error, MemoryError):
        return f"out of memory; {error}".rstrip("; ")
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        name = "standard output" if _output_lost() else error.filename
        return reason if name is None else f"{os.fsdecode(name)}: {reason}"
    return str(error)


def _output_lost() -> bool:
    """Tell whether standard output takes no more; then what is left goes nowhere.

    Otherwise the interpreter would fail on it once more at its exit.
    """
    out: Any = sys.stdout
    if out is None:
        return False
    try:
        out.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, out.fileno())
            os.close(nowhere)
        return True
    return False
