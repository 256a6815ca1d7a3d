"""The command line as a whole: help, errors, warnings, closed pipes, and what is imported."""

import json
import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import click
import pytest

import chainrule
from chainrule.cli import app as app_module
from chainrule.cli import faults
from chainrule.cli.app import COMMANDS, app
from chainrule.errors import InputError, TrainingError
from cli.tables import process


def test_help_lists_every_command_and_each_has_its_own(run):
    shown = run("--help")
    assert shown.exit_code == 0
    assert run().stdout == shown.stdout
    for name, text in COMMANDS.items():
        assert f"{name}  " in shown.stdout
        assert text in shown.stdout
        own = run(name, "--help")
        assert own.exit_code == 0
        assert own.stdout.startswith(f"Usage: chainrule {name} ")
        assert "--debug" in own.stdout


def test_version(run):
    assert run("--version").stdout == f"chainrule {chainrule.__version__}\n"


def test_an_unknown_command_gets_the_nearest(run):
    result = run("trian", "digits")
    assert result.exit_code == 2
    assert result.stderr == (
        "chainrule: error: no command 'trian' (did you mean 'train'?); expected one of train, "
        "evaluate, predict, inspect, plot, gradcheck, certify, backends; see chainrule --help\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "Missing argument 'DATASET|FILE'; see chainrule train --help"),
        (("train", "digits", "more"), "Got unexpected extra argument"),
        (("--nothing",), "No such option"),
        (("inspect",), "Missing argument 'RUN'; see chainrule inspect --help"),
    ],
)
def test_a_usage_error_is_one_line(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--debug", "train", "digits", "--lr", 0), ("train", "digits", "--lr", 0, "--debug")],
)
def test_debug_adds_the_traceback(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.splitlines()[-1].startswith("chainrule: error: lr=0.0: expected")
    assert "Traceback" not in run(*(a for a in arguments if a != "--debug")).stderr


@pytest.fixture
def raising(run, monkeypatch):
    """Replace the command `backends` by one that does what a function does."""

    def call(act):
        command = click.Command("backends", callback=act)
        monkeypatch.setattr(app_module.App, "get_command", lambda *_: command)
        return run("backends")

    return call


def raiser(error: BaseException):
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("units=0: expected 1 or more"), 2, "error: units=0: expected 1 or more"),
        (InputError("two\n  lines \x1b[2J"), 2, "error: two lines \\x1b[2J"),
        (TrainingError("the loss became nan"), 1, "error: the loss became nan"),
        (PermissionError(13, "Permission denied", "x/y"), 2, "error: x/y: Permission denied"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "error: out of memory; Unable to allocate"),
        (MemoryError(), 1, "error: out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_what_each_error_becomes(raising, error, code, message):
    result = raising(raiser(error))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == (1 if message else 0)
    assert message in result.stderr


def test_a_fault_of_the_program_itself_is_not_hidden(raising):
    with pytest.raises(ZeroDivisionError):
        raising(lambda: print(1 / 0))


def test_a_warning_is_one_line_without_its_source(raising):
    result = raising(lambda: warnings.warn("odd\ndata", UserWarning, stacklevel=1))
    assert result.exit_code == 0
    assert result.stderr == "chainrule: warning: odd data\n"


def test_an_interrupt_from_the_keyboard_while_parsing_is_one_line(run, monkeypatch):
    monkeypatch.setattr(faults, "_flushed", lambda _: raiser(KeyboardInterrupt())())
    result = run("backends")
    assert (result.exit_code, result.stderr) == (130, "chainrule: interrupted\n")


def test_the_module_and_the_script_are_the_same_program(tmp_path):
    began = process(tmp_path, "train", "digits", "--epochs", 1, "--json")
    output, messages = began.communicate(timeout=120)
    assert began.returncode == 0, messages
    assert json.loads(output)["run"] == "runs/digits"
    assert output.count("\n") == 1
    assert "epoch 1/1" in messages


def test_a_closed_pipe_is_no_fault(tmp_path):
    process(tmp_path, "train", "digits", "--epochs", 1).communicate(timeout=120)
    began = process(tmp_path, "predict", "runs/digits", "digits")
    assert began.stdout is not None
    assert began.stderr is not None
    assert began.stdout.readline().startswith("prediction,")
    began.stdout.close()
    assert began.wait(timeout=120) == faults.OUTPUT_CLOSED
    assert began.stderr.read() == ""
    began.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_a_bar_is_drawn_and_json_stays_alone(tmp_path):
    ours, theirs = os.openpty()
    began = process(tmp_path, "train", "digits", "--epochs", 2, "--json", stderr=theirs)
    os.close(theirs)
    drawn = b""
    with suppress(OSError):  # Linux reports the end of a terminal so
        while part := os.read(ours, 4096):
            drawn += part
    os.close(ours)
    output, _ = began.communicate(timeout=120)
    assert began.returncode == 0
    assert json.loads(output)["epochs"] == 2
    assert b"epoch 2/2" in drawn
    assert b"\x1b[" in drawn


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        began = process(tmp_path, "--version", stdout=full)
        _, messages = began.communicate(timeout=60)
    assert began.returncode == 2
    assert messages == "chainrule: error: standard output: No space left on device\n"


def test_no_standard_output_at_all_is_no_fault(tmp_path):
    source = str(Path(chainrule.__file__).parents[1])
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" -m chainrule --version >&-'],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": source},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


IMPORTED = """
import sys
from chainrule.cli.app import app
try:
    app.main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 0, stop.code
roots = {name.partition(".")[0] for name in sys.modules} | set(sys.modules)
print("imported:", *sorted(roots))
"""


def imported(folder: Path, *arguments: str) -> set[str]:
    source = str(Path(chainrule.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_a_run_imports_only_what_it_needs(tmp_path):
    names = imported(tmp_path, "train", "digits", "--epochs", "1")
    assert "numpy" in names
    heavy = {"array_api_strict", "cupy", "jax", "matplotlib", "numba", "pandas", "pyarrow"}
    assert names & (heavy | {"csv", "rich", "scipy", "sklearn", "torch"}) == set()
    assert "chainrule.cli.predict" not in names


def test_help_imports_no_numpy(tmp_path):
    assert "numpy" not in imported(tmp_path, "--help")
    assert "numpy" not in imported(tmp_path, "train", "--help")


def test_every_command_can_be_found():
    context = click.Context(app)
    assert app.list_commands(context) == list(COMMANDS)
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        assert command.name == name
    assert app.get_command(context, "nothing") is None
