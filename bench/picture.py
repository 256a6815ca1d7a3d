"""Plots: bars with their range, and curves on logarithmic axes; colours of Okabe & Ito (2008).

Every series also has its own marker and line style, so that no picture needs its colours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from bench.summary import Spread
from bench.table import number

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.", ":")


class Bars(NamedTuple):
    """A panel of horizontal bars, the first on top; ours are drawn in the first colour."""

    title: str
    values: Mapping[str, Spread]
    ours: Sequence[str] = ()
    line: float | None = None


class Curves(NamedTuple):
    """A panel of curves: each a mapping from x to the spread of y; lines: plain ones to compare."""

    title: str
    x: str
    y: str
    curves: Mapping[str, Mapping[float, Spread]]
    lines: Mapping[str, Mapping[float, float]] = {}


def bars(panels: Sequence[Bars], label: str, path: Path, columns: int = 2) -> None:
    """Draw panels of bars with medians, and whiskers from the smallest to the largest."""
    most = max(len(panel.values) for panel in panels)
    figure, axes = _panels(len(panels), columns, height=max(1.6, 0.9 + 0.3 * most))
    for axis, panel in zip(axes, panels, strict=False):
        names, found = list(panel.values), list(panel.values.values())
        medians = [value.median for value in found]
        reach = [[v.median - v.low for v in found], [v.high - v.median for v in found]]
        colours = [COLOURS[0] if name in panel.ours else "#BBBBBB" for name in names]
        axis.barh(
            range(len(names)), medians, color=colours, xerr=reach, height=0.7,
            error_kw={"elinewidth": 1.2, "capsize": 2.5, "ecolor": "black"},
        )  # fmt: skip
        for place, value in enumerate(found):
            axis.annotate(
                number(value.median), (value.high, place), (5, 0),
                textcoords="offset points", va="center", fontsize=8, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        if panel.line is not None:
            axis.axvline(panel.line, color="black", linestyle=":", linewidth=1)
        axis.set_yticks(range(len(names)), names, fontsize=9)
        axis.invert_yaxis()
        axis.set_xlim(0, 1.18 * max(value.high for value in found))
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_title(panel.title, fontsize=10, loc="left")
        axis.set_xlabel(label, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def curves(panels: Sequence[Curves], path: Path, columns: int = 2) -> None:
    """Draw panels of curves on logarithmic axes, the range as a band."""
    figure, axes = _panels(len(panels), columns, height=3.4)
    for axis, panel in zip(axes, panels, strict=False):
        for number_of, (name, points) in enumerate(panel.curves.items()):
            xs = sorted(points)
            colour = COLOURS[number_of % len(COLOURS)]
            axis.plot(
                xs, [points[x].median for x in xs], label=name, color=colour, markersize=5,
                marker=MARKERS[number_of % len(MARKERS)], linestyle=LINES[number_of % len(LINES)],
            )  # fmt: skip
            low, high = [points[x].low for x in xs], [points[x].high for x in xs]
            axis.fill_between(xs, low, high, color=colour, alpha=0.2, linewidth=0)
        for name, points in panel.lines.items():
            xs = sorted(points)
            axis.plot(xs, [points[x] for x in xs], label=name, color="black", linewidth=1, ls=":")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.yaxis.set_minor_locator(NullLocator())
        ticks = sorted({x for points in panel.curves.values() for x in points})
        axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], fontsize=8, rotation=30)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(panel.title, fontsize=10, loc="left")
        axis.set_xlabel(panel.x, fontsize=9)
        axis.set_ylabel(panel.y, fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    _save(figure, path)


def _panels(count: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    """Return a figure of `count` panels and their axes."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.2 * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
