"""What a gradient check found."""

from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from chainrule.typing import Shape

HEADINGS = (
    "layer",
    "array",
    "shape",
    "checked",
    "worst at",
    "backprop",
    "differences",
    "rel. error",
    "kinks",
    "",
)


@dataclass(frozen=True)
class GradientEntry:
    """The derivatives with respect to one array: a parameter, or a layer's input ``x``.

    index, analytic, numerical and relative_error are those of the worst element. kinks counts the
    elements whose differences first straddled a kink; checked the elements that were measured.
    """

    layer: str
    parameter: str
    shape: Shape
    index: tuple[int, ...]
    analytic: float
    numerical: float
    relative_error: float
    kinks: int
    checked: int
    passed: bool


@dataclass(frozen=True, repr=False)
class GradientReport:
    """The outcome of `check_gradients`; printed, it is a table.

    entries: in the order of the forward pass, the last for the network's output. resolution: the
    relative error below which rounding of the loss hides everything. seconds: of the gradients of
    one training step, and of all the differences.
    """

    entries: tuple[GradientEntry, ...]
    tolerance: float
    resolution: float
    seconds_backprop: float
    seconds_numerical: float

    @property
    def passed(self) -> bool:
        """Whether every relative error is within the tolerance."""
        return all(entry.passed for entry in self.entries)

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of all."""
        return max((entry.relative_error for entry in self.entries), default=0.0)

    @property
    def times_slower(self) -> float:
        """How many times slower the differences were than backpropagation."""
        return self.seconds_numerical / self.seconds_backprop if self.seconds_backprop > 0 else inf

    @property
    def culprits(self) -> tuple[GradientEntry, ...]:
        """The wrong entries of the layer nearest the loss, where the fault is made."""
        wrong = [entry for entry in self.entries if not entry.passed]
        return tuple(entry for entry in wrong if entry.layer == wrong[-1].layer)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON; numbers that are not finite become null."""
        return {
            "passed": self.passed,
            "max_relative_error": _finite(self.max_relative_error),
            "tolerance": self.tolerance,
            "resolution": _finite(self.resolution),
            "seconds_backprop": self.seconds_backprop,
            "seconds_numerical": self.seconds_numerical,
            "times_slower": _finite(self.times_slower),
            "culprits": [f"{entry.layer}: {entry.parameter}" for entry in self.culprits],
            "entries": [_entry_json(entry) for entry in self.entries],
        }

    def __str__(self) -> str:
        rows = [HEADINGS, *(_row(entry) for entry in self.entries)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join([*lines, "", self._verdict()])

    __repr__ = __str__

    def _verdict(self) -> str:
        checked = sum(entry.checked for entry in self.entries)
        kinks = sum(entry.kinks for entry in self.entries)
        sampled = any(entry.checked < _size(entry.shape) for entry in self.entries)
        text = (
            f"passed: largest relative error {self.max_relative_error:.1e}, tolerance "
            f"{self.tolerance:.0e}; "
        )
        if not self.passed:
            names = ", ".join(entry.parameter for entry in self.culprits)
            text = (
                f"FAILED in {self.culprits[0].layer}: derivative of {names}; layers in front of it "
                f"may be wrong because of it (tolerance {self.tolerance:.0e}); "
            )
        text += f"{checked:,} elements{' drawn at random' if sampled else ''}, "
        text += f"{kinks:,} near or on a kink\n"
        if self.resolution > self.tolerance:
            what = (
                "all" if self.resolution >= 1.0 else f"relative errors below {self.resolution:.0e}"
            )
            text += (
                f"note: the gradients are so small beside the loss that rounding hides {what}; "
                "try other x, y or parameters\n"
            )
        return text + (
            f"differences {self.seconds_numerical:.2f} s, {self.times_slower:,.0f} times slower "
            f"than backpropagation ({1e3 * self.seconds_backprop:.3f} ms)"
        )


def _row(entry: GradientEntry) -> tuple[str, ...]:
    size = _size(entry.shape)
    return (
        entry.layer,
        entry.parameter,
        str(entry.shape),
        f"{entry.checked}" if entry.checked == size else f"{entry.checked} of {size}",
        str(list(entry.index)),
        f"{entry.analytic:.6e}",
        f"{entry.numerical:.6e}",
        f"{entry.relative_error:.1e}",
        str(entry.kinks or ""),
        "" if entry.passed else "WRONG",
    )


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in (0, 1, 2, 4, 9) else cell.rjust(width)


def _entry_json(entry: GradientEntry) -> dict[str, Any]:
    numbers = ("analytic", "numerical", "relative_error")
    return {k: _finite(v) if k in numbers else v for k, v in asdict(entry).items()} | {
        "shape": list(entry.shape),
        "index": list(entry.index),
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _size(shape: Shape) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
