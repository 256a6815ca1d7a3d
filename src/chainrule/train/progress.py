"""The progress of a fit, on standard error: a bar on a terminal, plain lines, or nothing."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TextIO, TypeAlias

from chainrule.errors import InputError, choice

Mode: TypeAlias = Literal["auto", "bar", "lines", "off"]

LINES = 50
"""About as many lines as mode "lines" prints, however many epochs there are."""

SECONDS_BETWEEN_UPDATES = 0.1


class Progress:
    """Show how far a fit is; a context manager.

    mode "bar" draws a bar; "lines" prints a line for the first and the last epoch and for every
    ceil(epochs / 50)-th between them; "auto" is "bar" on a terminal and otherwise "off". `epochs`
    and `steps_per_epoch` are those of the whole run, `done_steps` what it had done before a resume.
    A stream that can no longer be written to ends the display, never the fit. `clock` (seconds)
    decides only when to redraw. The stream is standard error unless given.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        epochs: int = 1,
        steps_per_epoch: int = 1,
        stream: TextIO | None = None,
        *,
        done_steps: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        choice("progress", mode, ("auto", "bar", "lines", "off"))
        if epochs < 1 or steps_per_epoch < 1:
            raise InputError(
                f"epochs={epochs}, steps_per_epoch={steps_per_epoch}; expected both >= 1"
            )
        out: TextIO | None = sys.stderr if stream is None else stream
        if out is None or out.closed:
            mode = "off"
        elif mode == "auto":
            mode = "bar" if _is_terminal(out) else "off"
        self._out: Any = None if out is None else _Quiet(out)
        self.mode: Mode = mode
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self._clock = clock
        self._due = 0.0
        self._done = done_steps
        self._text = ""
        self._bar: Any = None
        self._unprinted: Mapping[str, Any] | None = None

    def __enter__(self) -> Self:
        if self.mode == "bar":
            self._open_bar()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.stop()
            self._bar = None
        if self._unprinted is not None:
            self._print(self._unprinted)

    def step(self, done_steps: int) -> None:
        """Show that `done_steps` steps are done, counted from the run's first epoch."""
        if self._bar is None:
            return
        self._done = done_steps
        if self._clock() >= self._due:
            self._draw()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Show the record of an epoch that has ended; ``record["epoch"]`` counts from 1."""
        if self._bar is not None:
            self._text = "  ".join(_measures(record))
            self.step(int(record["epoch"]) * self.steps_per_epoch)
        elif self.mode == "lines":
            number = int(record["epoch"])
            every = -(-self.epochs // LINES)
            if number == 1 or number % every == 0 or number >= self.epochs:
                self._print(record)
            else:
                self._unprinted = record

    def _print(self, record: Mapping[str, Any]) -> None:
        parts = [f"epoch {record['epoch']}/{self.epochs}", *_measures(record)]
        if "seconds" in record:
            parts.append(f"{record['seconds']:.3g} s")
        self._unprinted = None
        self._out.write("  ".join(parts) + "\n")
        self._out.flush()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=Console(file=self._out),
            auto_refresh=False,
            get_time=self._clock,
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        total = self.epochs * self.steps_per_epoch
        self._bar.add_task("", total=total, completed=self._done, epoch=self._count(), text="")
        self._bar.start()

    def _draw(self) -> None:
        self._due = self._clock() + SECONDS_BETWEEN_UPDATES
        task = self._bar.task_ids[0]
        self._bar.update(task, completed=self._done, epoch=self._count(), text=self._text)
        self._bar.refresh()

    def _count(self) -> str:
        return f"{min(self._done // self.steps_per_epoch + 1, self.epochs)}/{self.epochs}"


class _Quiet:
    """A stream to which writing never fails; what a closed or broken one is given is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            if not self._stream.closed:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            if not self._stream.closed:
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _measures(record: Mapping[str, Any]) -> list[str]:
    """Return the loss, the validation loss, the first other validation metric and the speed."""
    metrics = (name for name in record if name.startswith("val_") and name != "val_loss")
    names = ["loss", "val_loss", next(metrics, "")]
    shown = [
        f"{name} {record[name]:.4g}" for name in names if isinstance(record.get(name), int | float)
    ]
    speed = record.get("samples_per_second")
    return shown if speed is None else [*shown, f"{speed:,.0f} samples/s"]
