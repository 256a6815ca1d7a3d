"""Learning rates that change: frozen settings, called with the number of updates already made.

The trainer evaluates them on the host, before each step, and passes the value to the optimizer.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from chainrule import settings
from chainrule.errors import InputError


class Schedule(Protocol):
    """A frozen dataclass; called with `step`, 0 for the first update, it returns the rate."""

    name: ClassVar[str]

    def __call__(self, step: int, /) -> float: ...


def rate_at(lr: float | Schedule, step: int, plateau: "PlateauState | None" = None) -> float:
    """Return the learning rate of update `step` (0 for the first) as a float.

    plateau: the state of an `OnPlateau`, which needs it. Raises `InputError` if it is missing.

    >>> rate_at(Exponential(1.0, factor=0.5), 2)
    0.25
    """
    if isinstance(lr, OnPlateau):
        if plateau is None:
            raise InputError(
                "lr=on_plateau(...): expected the state that start() and observe() return; "
                "train with a Trainer, or use a schedule that depends on the step alone"
            )
        return plateau["learning_rate"]
    return lr(step) if callable(lr) else float(lr)


def rates_at(
    lr: float | Schedule, steps: range, plateau: "PlateauState | None" = None
) -> NDArray[np.float64]:
    """Return the learning rates of several updates, (len(steps),)."""
    if callable(lr) and not isinstance(lr, OnPlateau):
        return np.asarray([float(lr(step)) for step in steps])
    return np.full(len(steps), rate_at(lr, 0, plateau))


@dataclass(frozen=True)
class Constant:
    """The same rate for every step."""

    name: ClassVar[str] = "constant"
    lr: float

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)

    def __call__(self, step: int) -> float:
        """Return the rate."""
        return self.lr


@dataclass(frozen=True)
class StepDecay:
    """lr factor^(step // every): the rate is multiplied by `factor` after every `every` steps."""

    name: ClassVar[str] = "step_decay"
    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)
        settings.whole("every", self.every, 1)
        settings.up_to_one("factor", self.factor)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step`."""
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Exponential:
    """lr factor^(step / every): as `StepDecay`, without the stairs."""

    name: ClassVar[str] = "exponential"
    lr: float
    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)
        settings.up_to_one("factor", self.factor)
        settings.whole("every", self.every, 1)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step`."""
        return self.lr * self.factor ** (step / self.every)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `lr` at step 0 to `final` at step `steps`, where it stays.

    Source: Loshchilov & Hutter 2017, eq. 5, without restarts.
    """

    name: ClassVar[str] = "cosine"
    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)
        settings.whole("steps", self.steps, 1)
        settings.not_negative("final", self.final)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step`."""
        return _half_cosine(self.lr, self.final, min(step / self.steps, 1.0))


@dataclass(frozen=True)
class Warmup:
    """A straight line from `start` times the rate to the whole rate, over `steps` steps.

    `lr` is a number, or a schedule that begins (at its step 0) when the line ends.
    Source: Goyal et al. 2017, section 2.2; as PyTorch's LinearLR, with SequentialLR after it.

    >>> schedule = Warmup(Cosine(0.1, steps=900), steps=100, start=0.1)
    >>> round(schedule(0), 6), schedule(100), schedule(1000)
    (0.01, 0.1, 0.0)
    """

    name: ClassVar[str] = "warmup"
    lr: float | Schedule
    steps: int
    start: float = 0.01

    def __post_init__(self) -> None:
        settings.learning_rate("lr", self.lr)
        if isinstance(self.lr, (OnPlateau, Warmup)):
            raise InputError(
                f"lr={self.lr.name}(...): expected a number or another schedule inside warmup"
            )
        settings.whole("steps", self.steps, 1)
        settings.up_to_one("start", self.start)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step`."""
        if step >= self.steps:
            return rate_at(self.lr, step - self.steps)
        return rate_at(self.lr, 0) * (self.start + (1.0 - self.start) * (step / self.steps))


@dataclass(frozen=True)
class OneCycle:
    """Cosines up from `lr` / `start_div` to `lr`, then down to `lr` / (`start_div` `final_div`).

    `rise` is the part of the `steps` spent going up; after the last step the rate stays. Momentum
    is not cycled. Source: Smith & Topin 2018, in the two phases of PyTorch's OneCycleLR.
    """

    name: ClassVar[str] = "one_cycle"
    lr: float
    steps: int
    rise: float = 0.3
    start_div: float = 25.0
    final_div: float = 1e4

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)
        settings.whole("steps", self.steps, 1)
        settings.inside_unit("rise", self.rise)
        settings.positive("start_div", self.start_div)
        settings.positive("final_div", self.final_div)

    def __call__(self, step: int) -> float:
        """Return the rate of update `step`."""
        peak, last = self.rise * self.steps - 1.0, self.steps - 1.0
        start = self.lr / self.start_div
        if step < peak:
            return _half_cosine(start, self.lr, step / peak)
        return _half_cosine(
            self.lr, start / self.final_div, (min(step, last) - peak) / (last - peak)
        )


class PlateauState(TypedDict):
    """What `OnPlateau` has seen: numbers that JSON can hold (best is None before the first)."""

    learning_rate: float
    best: float | None
    bad: int
    cooldown: int


@dataclass(frozen=True)
class OnPlateau:
    """Multiply the rate by `factor` when a value has not improved for more than `patience` times.

    The trainer keeps the state: `start()`, then `observe(value, state)` after each evaluation.
    Better means below best (1 - threshold) with mode "min" and threshold_mode "rel", below
    best - threshold with "abs", and the like above it with mode "max". NaN is never better.
    After a cut, bad values are ignored for `cooldown` evaluations. As PyTorch's ReduceLROnPlateau;
    a cut smaller than 1e-8 is not made.
    """

    name: ClassVar[str] = "on_plateau"
    lr: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0
    mode: str = "min"
    threshold_mode: str = "rel"

    def __post_init__(self) -> None:
        settings.positive("lr", self.lr)
        settings.inside_unit("factor", self.factor)
        settings.whole("patience", self.patience, 0)
        settings.not_negative("threshold", self.threshold)
        settings.whole("cooldown", self.cooldown, 0)
        settings.not_negative("min_lr", self.min_lr)
        settings.one_of("mode", self.mode, ("min", "max"))
        settings.one_of("threshold_mode", self.threshold_mode, ("rel", "abs"))

    def __call__(self, step: int, state: PlateauState | None = None) -> float:
        """Return the rate in `state`; None stands for the state before the first evaluation."""
        return (state or self.start())["learning_rate"]

    def start(self) -> PlateauState:
        """Return the state before the first evaluation."""
        return {"learning_rate": float(self.lr), "best": None, "bad": 0, "cooldown": 0}

    def observe(self, value: float, state: PlateauState) -> PlateauState:
        """Return the state after an evaluation gave `value`; `state` is not changed."""
        rate, best = state["learning_rate"], state["best"]
        if self._is_better(value, best):
            best, bad = float(value), 0
        else:
            bad = state["bad"] + 1
        cooldown = state["cooldown"]
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        if bad > self.patience:
            lowered = max(rate * self.factor, self.min_lr)
            rate = lowered if rate - lowered > 1e-8 else rate
            cooldown, bad = self.cooldown, 0
        return {"learning_rate": rate, "best": best, "bad": bad, "cooldown": cooldown}

    def _is_better(self, value: float, best: float | None) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if best is None:
            return sign * value < math.inf
        if self.threshold_mode == "rel":
            return sign * value < sign * best * (1.0 - sign * self.threshold)
        return sign * value < sign * best - self.threshold


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * fraction)) / 2.0


constant = Constant
step_decay = StepDecay
exponential = Exponential
cosine = Cosine
warmup = Warmup
one_cycle = OneCycle
on_plateau = OnPlateau
