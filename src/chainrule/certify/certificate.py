"""The certificate: a row for each backend and dtype, as a table and as JSON."""

import platform
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from chainrule.certify.tolerances import TOLERANCES

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """One backend and dtype against the reference. Distances are relative; steps count from 1.

    gradients: the first step's, by parameter. losses: of each step. states: by step looked at, then
    by array. loss_step, state_step: the first steps out of tolerance, None if there are none.
    faults: what is out of tolerance, in words. seconds: the training. repeats: whether a second run
    had the same bits, None if there was none.
    """

    backend: str
    device: str
    version: str
    dtype: str
    weights_agree: bool
    batches_agree: bool
    masks_agree: bool
    gradients: dict[str, float]
    losses: list[float]
    states: dict[int, dict[str, float]]
    loss_step: int | None
    state_step: int | None
    faults: tuple[str, ...]
    seconds: float
    matmul_precision: str = "float32"
    deterministic: bool = False
    repeats: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is out of tolerance."""
        return not self.faults

    @property
    def gradient(self) -> float:
        """The largest distance of any parameter's first gradient."""
        return max(self.gradients.values(), default=0.0)

    def loss_at(self, step: int) -> float | None:
        """Return the distance of the loss of a step, None if the run did not get there."""
        return self.losses[step - 1] if step <= len(self.losses) else None

    def state_at(self, step: int) -> float | None:
        """Return the largest distance of any array after a step, None if it was not looked at."""
        return max(self.states[step].values(), default=0.0) if step in self.states else None


@dataclass(frozen=True)
class Reference:
    """The float64 NumPy run: its version, losses, and what stands for its batches and masks."""

    version: str
    losses: list[float]
    batches: str
    masks: str
    seconds: float


@dataclass(frozen=True)
class Certificate:
    """What `certify` found; printed, it is a table with a verdict in its last line.

    marks: the steps whose distances are shown. undetermined: parameters that are not compared; if
    there are any, neither is running state. See `chainrule.certify.distances.UNDETERMINED`.
    """

    dataset: str
    shape: tuple[int, ...]
    network: str
    loss: str
    optimizer: str
    seed: int
    steps: int
    batch_size: int
    marks: tuple[int, ...]
    reference: Reference
    undetermined: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as strict JSON: no NaN, no infinity (null stands for both)."""
        from chainrule import __version__

        return {
            "format": FORMAT,
            "passed": self.passed,
            "dataset": self.dataset,
            "shape": list(self.shape),
            "network": self.network,
            "loss": self.loss,
            "optimizer": self.optimizer,
            "seed": self.seed,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "versions": {"chainrule": __version__, "python": platform.python_version()},
            "platform": platform.platform(),
            "tolerances": {dtype: asdict(tolerance) for dtype, tolerance in TOLERANCES.items()},
            "reference": {
                "backend": "numpy",
                "device": "cpu",
                "dtype": "float64",
                "version": self.reference.version,
                "losses": {str(step): self.reference.losses[step - 1] for step in self.marks},
                "batches": self.reference.batches,
                "masks": self.reference.masks,
                "seconds": self.reference.seconds,
            },
            "undetermined": list(self.undetermined),
            "rows": [self._row_json(row) for row in self.rows],
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        return {
            "backend": row.backend,
            "device": row.device,
            "version": row.version,
            "dtype": row.dtype,
            "matmul_precision": row.matmul_precision,
            "deterministic": row.deterministic,
            "passed": row.passed,
            "weights_agree": row.weights_agree,
            "batches_agree": row.batches_agree,
            "masks_agree": row.masks_agree,
            "repeats": row.repeats,
            "gradient": _number(row.gradient),
            "gradients": {name: _number(d) for name, d in row.gradients.items()},
            "loss": {str(step): _number(row.loss_at(step)) for step in self.marks},
            "parameter": {str(step): _number(row.state_at(step)) for step in self.marks},
            "parameters": {
                str(step): {name: _number(d) for name, d in row.states.get(step, {}).items()}
                for step in self.marks
            },
            "first_loss_step": row.loss_step,
            "first_parameter_step": row.state_step,
            "first_parameter": _worst(row.states[row.state_step]) if row.state_step else None,
            "faults": list(row.faults),
            "seconds": row.seconds,
        }

    def __str__(self) -> str:
        title = (
            f"certify {self.dataset}: {self.steps} steps of {self.batch_size} rows, seed "
            f"{self.seed}, against float64 NumPy {self.reference.version}"
        )
        if any(row.deterministic for row in self.rows):
            title += "; deterministic, each run made twice"
        faults = [
            f"{row.backend} {row.dtype}: {fault}" for row in self.rows for fault in row.faults
        ]
        count = len(self.rows)
        failed = sum(not row.passed for row in self.rows)
        word, number = ("FAILED", failed) if failed else ("PASSED", count)
        verdict = f"{word}: {number} of {count} runs"
        model = f"{self.network}, {self.loss}, {self.optimizer}"
        notes = [
            f"not compared, nor is running state: {name}; its true gradient is zero"
            for name in self.undetermined
        ]
        return "\n".join([title, model, "", *self._table(), "", *notes, *faults, verdict])

    __repr__ = __str__

    def _table(self) -> list[str]:
        steps = [str(mark) for mark in self.marks]
        head = ["backend", "dtype", "bits", "gradient", f"loss@{steps[0]}", *steps[1:]]
        lines = [[*head, f"params@{steps[0]}", *steps[1:], "seconds", ""]]
        for row in self.rows:
            lines.append(
                [
                    row.backend,
                    row.dtype,
                    _bits(row),
                    _cell(row.gradient),
                    *(_cell(row.loss_at(mark)) for mark in self.marks),
                    *(_cell(row.state_at(mark)) for mark in self.marks),
                    f"{row.seconds:.2f}",
                    "pass" if row.passed else "FAIL",
                ]
            )
        for dtype in dict.fromkeys(row.dtype for row in self.rows):
            limit = TOLERANCES[dtype]
            blank = [""] * (len(self.marks) - 1)
            lines.append(
                [
                    "tolerance",
                    dtype,
                    "same",
                    _cell(limit.gradient),
                    _cell(limit.loss),
                    *blank,
                    _cell(limit.parameter),
                    *blank,
                    "",
                    "",
                ]
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return [
            "  ".join(
                cell.ljust(width) if place < 3 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]


def _worst(distances: dict[str, float]) -> str:
    return max(distances, key=lambda name: distances[name])


def _bits(row: Row) -> str:
    agree = {
        "weights": row.weights_agree,
        "batches": row.batches_agree,
        "masks": row.masks_agree,
        "repeats": row.repeats is not False,
    }
    return ", ".join(name for name, same in agree.items() if not same) or "same"


def _number(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"
