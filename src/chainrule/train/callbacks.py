"""Callbacks: what looks at a run after each epoch, or sooner, and may stop it.

A callback is an object with any of the hooks of `Callback`, or a plain function of the epoch's
record that returns True to stop. `Callbacks` calls them for the trainer.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError, choice, nearest
from chainrule.train.history import History, Record
from chainrule.typing import Tree

Counters: TypeAlias = dict[str, float | int | None]
"""A callback's memory, small and finite, so that it fits into a checkpoint's JSON."""


class Trainer(Protocol):
    """What the callbacks here need from a trainer."""

    def snapshot(self) -> Tree:
        """Return a copy of the parameters and running state."""
        ...

    def restore(self, snapshot: Tree) -> None:
        """Put a snapshot back."""
        ...


class Callback:
    """Hooks that do nothing, to be overridden; an object with only some of them will do too."""

    def on_fit_begin(self, trainer: Any) -> None:
        """Forget the last fit. On an exact resume `restore` follows."""

    def on_epoch_end(self, trainer: Any, record: Record) -> bool | None:
        """Look at the epoch's record; return True to stop (a text in `self.reason` says why)."""

    def steps_until(self, step: int) -> int | None:
        """Return how many updates after `step` to call `on_steps_end`; None leaves it open."""

    def on_steps_end(self, trainer: Any, losses: NDArray[np.float64]) -> bool | None:
        """Look at the losses of the updates since the last call, (updates,); return True to stop.

        It is called at least every 256 updates, at each epoch's end and where `steps_until` asks.
        """

    def on_fit_end(self, trainer: Any, history: History) -> None:
        """Act on the end of a fit, whether by itself or by a callback; not when interrupted."""

    def state(self) -> Counters:
        """Return what an exact resume needs, besides `arrays`."""
        return {}

    def arrays(self) -> Tree:
        """Return the arrays an exact resume needs, a tree."""
        return {}

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        """Take back what `state` and `arrays` returned."""


class Callbacks:
    """The callbacks of a fit, in the user's order.

    Raises `InputError` for anything that is neither a function nor has a hook.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        if callable(callbacks) or not isinstance(callbacks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"callbacks={callbacks!r:.80}: expected a list of them")
        self._callbacks: list[Any] = list(callbacks)
        for place, callback in enumerate(self._callbacks):
            if isinstance(callback, type) or not (callable(callback) or _has_hook(callback)):
                hint = f"; pass {callback.__name__}(...)" if isinstance(callback, type) else ""
                raise InputError(
                    f"callbacks[{place}] is {callback!r}; expected a function of an epoch's record "
                    f"or an object with on_epoch_end{hint}"
                )

    def begin(self, trainer: Any, saved: Iterable[tuple[Mapping[str, Any], Tree]] = ()) -> None:
        """Start a fit; to resume one, pass what `saved()` returned when it was saved."""
        for callback in self._callbacks:
            _hook(callback, "on_fit_begin")(trainer)
        saved = list(saved)
        if saved and len(saved) != len(self._callbacks):
            raise InputError(
                f"callbacks has {len(self._callbacks)} entries, the saved run had {len(saved)}; "
                "resume with the same callbacks"
            )
        for callback, (state, arrays) in zip(self._callbacks, saved, strict=False):
            _hook(callback, "restore")(state, arrays)

    def until_due(self, step: int) -> int | None:
        """Return how many updates after `step` a callback wants to look; None if none does."""
        waits = [_hook(callback, "steps_until")(step) for callback in self._callbacks]
        return min((wait for wait in waits if wait is not None), default=None)

    def steps_end(self, trainer: Any, losses: NDArray[np.float64]) -> str | None:
        """Show every callback the losses of some updates; return why the first stops, or None."""
        return self._reason(
            _hook(callback, "on_steps_end")(trainer, losses) for callback in self._callbacks
        )

    def epoch_end(self, trainer: Any, record: Record) -> str | None:
        """Show every callback the record; return the reason of the first that stops, or None."""
        return self._reason(
            _hook(callback, "on_epoch_end")(trainer, record)
            if _has_hook(callback)
            else callback(record)
            for callback in self._callbacks
        )

    def _reason(self, answers: Iterable[Any]) -> str | None:
        reasons: list[str] = []
        for place, (callback, stop) in enumerate(zip(self._callbacks, answers, strict=True)):
            if stop is not None and not isinstance(stop, bool | np.bool_):
                raise InputError(
                    f"callbacks[{place}] returned {stop!r}; expected True to stop, False or None"
                )
            if stop:
                name = getattr(callback, "__name__", type(callback).__name__)
                reasons.append(getattr(callback, "reason", "") or f"{name} returned True")
        return reasons[0] if reasons else None

    def end(self, trainer: Any, history: History) -> None:
        """End a fit that was not interrupted."""
        for callback in self._callbacks:
            _hook(callback, "on_fit_end")(trainer, history)

    def saved(self) -> list[tuple[Counters, Tree]]:
        """Return each callback's (state, arrays), for `begin` of the resumed run."""
        return [
            (_hook(callback, "state")() or {}, _hook(callback, "arrays")() or {})
            for callback in self._callbacks
        ]


@dataclass
class EarlyStopping(Callback):
    """Stop when `monitor` has not improved for `patience` epochs in a row.

    An improvement beats the best value so far by more than `min_delta`; nan and infinity never do.
    An epoch whose value is None counts neither way. mode "min" or "max" says which way is better;
    "auto" takes "max" for names with accuracy, auc, f1, precision, recall or r2 in them. With
    `restore_best` the end of the fit puts the parameters of the best epoch back.
    """

    monitor: str = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    mode: Literal["auto", "min", "max"] = "auto"
    restore_best: bool = True
    reason: str = field(default="", init=False)
    best: float | None = field(default=None, init=False)
    best_epoch: int | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)
    _snapshot: Tree = field(default_factory=dict[str, Any], init=False, repr=False)

    def __post_init__(self) -> None:
        _positive_integer("patience", self.patience)
        _not_negative("min_delta", self.min_delta)
        choice("mode", self.mode, ("auto", "min", "max"))

    @property
    def higher_is_better(self) -> bool:
        """Whether the monitored value should grow."""
        rising = ("accuracy", "auc", "f1", "precision", "recall", "r2")
        return self.mode == "max" or (
            self.mode == "auto" and any(word in self.monitor for word in rising)
        )

    def on_fit_begin(self, trainer: Any) -> None:
        self.reason, self.best, self.best_epoch, self.waited = "", None, None, 0
        self._snapshot = {}

    def on_epoch_end(self, trainer: Trainer, record: Record) -> bool:
        value = _monitored(self, self.monitor, record)
        if value is None:
            return False
        if self._improves(value):
            self.best, self.best_epoch, self.waited = value, _epoch(record), 0
            if self.restore_best:
                self._snapshot = trainer.snapshot()
            return False
        self.waited += 1
        if self.waited < self.patience:
            return False
        best = "was never finite" if self.best is None else f"was best at {self.best:.6g}"
        where = "" if self.best_epoch is None else f" in epoch {self.best_epoch}"
        self.reason = f"{self.monitor} {best}{where}; no improvement in {self.waited} epochs"
        return True

    def on_fit_end(self, trainer: Trainer, history: History) -> None:
        if self._snapshot:
            trainer.restore(self._snapshot)

    def state(self) -> Counters:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def arrays(self) -> Tree:
        return self._snapshot

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.waited = state["waited"]
        self._snapshot = arrays

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = value - self.best if self.higher_is_better else self.best - value
        return gain > self.min_delta


@dataclass
class Converged(Callback):
    """Stop when the training loss has stopped falling.

    That is when for `patience` epochs in a row it was not below its lowest value so far by more
    than `tolerance` times that value's size. scikit-learn's `tol` and `n_iter_no_change` work
    likewise, with an absolute tolerance.
    """

    tolerance: float = 1e-4
    patience: int = 10
    reason: str = field(default="", init=False)
    lowest: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        _not_negative("tolerance", self.tolerance)
        _positive_integer("patience", self.patience)

    def on_fit_begin(self, trainer: Any) -> None:
        self.reason, self.lowest, self.waited = "", None, 0

    def on_epoch_end(self, trainer: Any, record: Record) -> bool:
        loss = _monitored(self, "loss", record)
        if loss is None:
            return False
        lowest = self.lowest
        finite = math.isfinite(loss)
        if finite and (lowest is None or lowest - loss > self.tolerance * abs(lowest)):
            self.waited = 0
        else:
            self.waited += 1
        if finite:
            self.lowest = loss if lowest is None else min(loss, lowest)
        if self.waited < self.patience:
            return False
        self.reason = (
            f"the training loss fell by no more than {self.tolerance:g} of its size "
            f"in each of {self.waited} epochs"
        )
        return True

    def state(self) -> Counters:
        return {"lowest": self.lowest, "waited": self.waited}

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        self.lowest, self.waited = state["lowest"], state["waited"]


@dataclass
class TimeBudget(Callback):
    """Stop at the end of the first epoch that ends `seconds` after the fit began.

    By a clock that never goes back; the seconds spent before a resume count. How many epochs a run
    gets then depends on the machine's speed: the one callback with which a run cannot be repeated.
    """

    seconds: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    reason: str = field(default="", init=False)
    _began: float = field(default=0.0, init=False, repr=False)
    _before: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        _not_negative("seconds", self.seconds)

    @property
    def spent(self) -> float:
        """Seconds since the fit began, those before a resume included."""
        return self._before + self.clock() - self._began

    def on_fit_begin(self, trainer: Any) -> None:
        self.reason, self._began, self._before = "", self.clock(), 0.0

    def on_epoch_end(self, trainer: Any, record: Record) -> bool:
        spent = self.spent
        if spent < self.seconds:
            return False
        self.reason = f"{spent:.1f} s of the {self.seconds:g} s allowed are spent"
        return True

    def state(self) -> Counters:
        return {"spent": self.spent}

    def restore(self, state: Mapping[str, Any], arrays: Tree) -> None:
        self._before = float(state["spent"])


_HOOKS = ("on_fit_begin", "on_steps_end", "on_epoch_end", "on_fit_end")


def _has_hook(callback: Any) -> bool:
    return any(callable(getattr(callback, name, None)) for name in _HOOKS)


def _hook(callback: Any, name: str) -> Callable[..., Any]:
    """Return the callback's method `name`, or one that does nothing."""
    method = getattr(callback, name, None) if _has_hook(callback) else None
    return method if callable(method) else lambda *_: None


def _monitored(callback: Any, name: str, record: Record) -> float | None:
    if name not in record:
        raise InputError(
            f"{type(callback).__name__} watches {name!r}, which the epoch's record lacks"
            f"{nearest(name, record)}; it has {', '.join(record)}"
            + ("; pass validation= to fit" if name.startswith("val_") else "")
        )
    value = record[name]
    if isinstance(value, str):
        raise InputError(f"{type(callback).__name__} watches {name!r}, which holds text: {value!r}")
    return None if value is None else float(value)


def _epoch(record: Record) -> int | None:
    epoch = record.get("epoch")
    return epoch if isinstance(epoch, int) else None


def _positive_integer(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} is {value!r}; expected an integer >= 1")


def _not_negative(name: str, value: Any) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < math.inf:  # pyright: ignore[reportUnknownArgumentType]
        raise InputError(f"{name} is {value!r}; expected a finite number >= 0")
