"""``chainrule plot``."""

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chainrule.cli.options import debug_option
from chainrule.errors import InputError

if TYPE_CHECKING:
    from chainrule.train.history import History

BLUE, ORANGE, GREY = "#3b6fb6", "#d9822b", "#5f6b7a"


@click.command("plot")
@click.argument("run", metavar="RUN")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    help="PNG, SVG or PDF by its ending; RUN/history.png if not given.",
)
@debug_option
def command(run: str, out: str | None) -> None:
    """Draw the loss of each epoch, in training and held out, and the held-out accuracy or R²."""
    from chainrule.cli.run_folder import existing_run
    from chainrule.train.history import History

    folder = existing_run(run)
    source = folder / "history.jsonl"
    if not source.exists():
        raise InputError(f"{run}: holds no history.jsonl; expected the folder of a finished run")
    history = History.from_jsonl(source)
    if not len(history):
        raise InputError(f"{source}: holds no epochs; there is nothing to draw")
    target = folder / "history.png" if out is None else Path(out)
    _save(_figure(history, run), target)
    click.echo(str(target))


def _figure(history: "History", run: str) -> Any:
    """Return the figure: loss above, the score below if there is one."""
    try:
        figures: Any = import_module("matplotlib.figure")
    except ImportError:
        raise InputError(
            'plot needs matplotlib, which is not installed: pip install "chainrule[plot]"'
        ) from None
    epochs = history["epoch"]
    score = next((name for name in ("val_accuracy", "val_r2") if name in history), None)
    held = history["val_loss"] if "val_loss" in history else []  # noqa: SIM401
    figure = figures.Figure(figsize=(7, 6 if score else 4), layout="constrained")
    panels = figure.subplots(2 if score else 1, sharex=True, squeeze=False)[:, 0]
    loss = panels[0]
    _draw(loss, epochs, history["loss"], "training", BLUE)
    if held:
        _draw(loss, epochs, held, "held out", ORANGE)
        loss.legend(frameon=False)
    if spans_decades([*history["loss"], *held]):
        loss.set_yscale("log")
    loss.set_ylabel("loss")
    loss.set_title(run, loc="left", color=GREY)
    if score:
        _draw(panels[1], epochs, history[score], "held out", ORANGE)
        panels[1].set_ylabel("held-out accuracy" if score == "val_accuracy" else "held-out R²")
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    for panel in panels:
        panel.grid(color=GREY, alpha=0.2, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _draw(panel: Any, epochs: list[float], values: list[float], label: str, color: str) -> None:
    marker = "o" if len(epochs) <= 30 else None
    panel.plot(epochs, values, label=label, color=color, linewidth=1.6, marker=marker, markersize=3)


def spans_decades(values: list[float]) -> bool:
    """Tell whether all values are positive and differ by a factor of ten or more."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= 10


def _save(figure: Any, target: Path) -> None:
    if target.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"-o {target}: unknown ending; expected .png, .svg or .pdf")
    figure.savefig(target, dpi=150)
