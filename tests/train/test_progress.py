"""The progress display: what it prints, how seldom, and that it never ends a fit."""

import io
import os
import subprocess
import sys

import pytest

from chainrule.errors import InputError
from chainrule.train.progress import LINES, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0
        self.read = 0

    def __call__(self):
        self.read += 1
        return self.now


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def record(epoch, **more):
    return {"epoch": epoch, "step": 10 * epoch, "loss": 0.5 / epoch, **more}


def test_auto_is_silent_without_a_terminal():
    stream = io.StringIO()
    with Progress("auto", 2, 10, stream) as progress:
        progress.step(10)
        progress.epoch(record(1))
    assert progress.mode == "off"
    assert stream.getvalue() == ""


def test_auto_draws_a_bar_on_a_terminal(terminal):
    clock = Clock()
    with Progress("auto", 3, 10, terminal, clock=clock) as progress:
        assert progress.mode == "bar"
        clock.now = 1.0
        progress.step(5)
        clock.now = 2.0
        progress.epoch(record(1, val_accuracy=0.75, samples_per_second=12345.6))
        drawn = terminal.getvalue()
    assert "epoch 1/3" in drawn
    assert "epoch 2/3" in drawn
    assert "loss 0.5  val_accuracy 0.75  12,346 samples/s" in drawn
    assert "left" in drawn
    assert "0:00:0" in drawn
    assert "\x1b[?25h" in terminal.getvalue()[-40:]


def test_the_bar_is_drawn_at_most_ten_times_a_second(terminal):
    clock = Clock()
    with Progress("bar", 1000, 10, terminal, clock=clock) as progress:
        progress.step(1)
        before = len(terminal.getvalue())
        for done in range(2, 9000):
            progress.step(done)
            if done % 10 == 0:
                progress.epoch(record(done // 10))
        assert len(terminal.getvalue()) == before
        clock.now = 0.2
        progress.step(9001)
        assert "epoch 901/1000" in terminal.getvalue()[before:]


def test_the_last_state_is_drawn_whatever_the_clock(terminal):
    with Progress("bar", 2, 10, terminal, clock=Clock()) as progress:
        progress.step(1)
        progress.epoch(record(2))
    assert "epoch 2/2" in terminal.getvalue()
    assert "loss 0.25" in terminal.getvalue()


def test_a_resumed_run_starts_where_it_was(terminal):
    with Progress("bar", 4, 10, terminal, done_steps=20, clock=Clock()):
        assert "epoch 3/4" in terminal.getvalue()
        assert "epoch 1/4" not in terminal.getvalue()


def test_markup_in_a_name_is_only_text(terminal):
    with Progress("bar", 1, 1, terminal, clock=Clock()) as progress:
        progress.epoch(record(1, **{"val_[bold]x": 1.0}))
    assert "val_[bold]x 1" in terminal.getvalue()


def test_the_bar_leaves_the_terminal_in_order_after_an_error(terminal):
    streams = sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt), Progress("bar", 1, 1, terminal):
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == streams
    assert "\x1b[?25h" in terminal.getvalue()


def test_lines():
    stream = io.StringIO()
    with Progress("lines", 2, 10, stream) as progress:
        progress.step(10)
        progress.epoch(
            record(1, val_loss=0.6, val_accuracy=0.75, val_f1=0.5, samples_per_second=1e6)
        )
        progress.epoch(record(2, seconds=0.125, val_loss=None, note="x"))
    assert stream.getvalue() == (
        "epoch 1/2  loss 0.5  val_loss 0.6  val_accuracy 0.75  1,000,000 samples/s\n"
        "epoch 2/2  loss 0.25  0.125 s\n"
    )


@pytest.mark.parametrize("epochs", [1, 7, 50, 51, 999, 10_000])
def test_many_epochs_print_few_lines(epochs):
    stream = io.StringIO()
    with Progress("lines", epochs, 1, stream) as progress:
        for epoch in range(1, epochs + 1):
            progress.epoch(record(epoch))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(f"epoch 1/{epochs} ")
    assert lines[-1].startswith(f"epoch {epochs}/{epochs} ")
    assert min(epochs, LINES) // 2 < len(lines) <= min(epochs, LINES + 2)
    assert len(set(lines)) == len(lines)


def test_a_run_that_stops_early_prints_its_last_epoch():
    stream = io.StringIO()
    with Progress("lines", 10_000, 1, stream) as progress:
        for epoch in range(1, 8):
            progress.epoch(record(epoch))
    first, last = stream.getvalue().splitlines()
    assert first.startswith("epoch 1/10000 ")
    assert last.startswith("epoch 7/10000 ")


class Broken(Terminal):
    def __init__(self, error, after):
        super().__init__()
        self.error, self.left = error, after

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("mode", ["bar", "lines"])
@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space")])
def test_a_broken_stream_ends_the_display_and_not_the_fit(mode, after, error):
    streams = sys.stdout, sys.stderr
    stream = Broken(error, after)
    clock = Clock()
    with Progress(mode, 9, 1, stream, clock=clock) as progress:
        for epoch in range(1, 10):
            clock.now += 1
            progress.epoch(record(epoch))
    assert (sys.stdout, sys.stderr) == streams
    assert stream.left < 0


@pytest.mark.parametrize("mode", ["bar", "lines"])
def test_a_stream_closed_on_the_way_ends_the_display_and_not_the_fit(mode):
    stream = Terminal()
    clock = Clock()
    with Progress(mode, 9, 1, stream, clock=clock) as progress:
        stream.close()
        clock.now = 1.0
        progress.epoch(record(1))
    with Progress(mode, 9, 1, stream) as progress:
        progress.epoch(record(1))
    assert progress.mode == "off"


def test_no_standard_error_at_all(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", None)
    with Progress("lines", 1, 1) as progress:
        progress.epoch(record(1))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["off", "lines"])
def test_a_step_without_a_bar_does_not_even_look_at_the_clock(mode):
    clock, stream = Clock(), io.StringIO()
    with Progress(mode, 1, 100, stream, clock=clock) as progress:
        for done in range(100):
            progress.step(done)
    assert clock.read == 0
    assert stream.getvalue() == ""


def test_rich_is_imported_only_for_a_bar():
    program = (
        "import io, sys; from chainrule.train.progress import Progress\n"
        "with Progress('lines', 1, 1, io.StringIO()) as p: p.epoch({'epoch': 1, 'loss': 1.0})\n"
        "assert not [name for name in sys.modules if name.startswith('rich')]\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lines", 0, 1), "epochs=0, steps_per_epoch=1; expected both >= 1"),
        (("lines", 1, 0), "steps_per_epoch=0"),
        (("line", 1, 1), r"progress='line' is unknown \(did you mean 'lines'\?\)"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(InputError, match=message):
        Progress(*arguments)
