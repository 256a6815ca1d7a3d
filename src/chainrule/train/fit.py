"""One call of `Trainer.fit`: epochs of steps, records, checkpoints."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends.base import Backend
from chainrule.data.sampler import Rows, Sampler
from chainrule.errors import TrainingError
from chainrule.ops.random import host_key
from chainrule.optim.schedules import OnPlateau, rate_at, rates_at
from chainrule.train.callbacks import Callbacks
from chainrule.train.checkpoint import Checkpoints
from chainrule.train.feeding import Resident, Streamed
from chainrule.train.loss_scale import SMALLEST, all_finite
from chainrule.train.memory import explained, fitting_rows, kept_bytes
from chainrule.train.programs import Programs
from chainrule.train.progress import Progress
from chainrule.typing import Array, Params, Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

CHUNK = 256
"""Steps between two looks at the losses; nothing is read back from the device in between."""

CHUNK_WORK = 8e9
"""Multiplications in a chunk on a CPU, at most: about 0.2 s, for which an interrupt must wait."""

Floats = NDArray[np.float64]


def batch_rows(order: Rows, start: int, stop: int, size: int) -> Rows:
    """Return batches `start` to `stop` of an order of rows, (batches, size), or the tail alone."""
    return order[start * size : stop * size].reshape(stop - start, -1)


def stage_keys(backend: Backend, seed: int, steps: range) -> Array:
    """Return the keys of the steps, (len(steps), 2) int32, staged on the backend."""
    return backend.stage(np.stack([host_key(seed, step) for step in steps]), "int32")


@contextmanager
def closing_data(feed: Resident | Streamed, programs: Programs) -> Generator[None, None, None]:
    """Let go of the data at the end."""
    try:
        yield
    finally:
        feed.close()
        programs.forget_data()


@dataclass
class Fit:
    """What one fit works with; `feed` gives it the rows of x, y and maybe weight."""

    trainer: "Trainer"
    feed: Resident | Streamed
    sampler: Sampler
    epochs: int
    micro_batch: int | None
    validation: Tree | None
    callbacks: Callbacks
    progress: Progress
    checkpoints: Checkpoints | None
    compiled: bool
    _started: float = field(default=0.0, init=False)
    _length: int = field(default=CHUNK, init=False)

    def run(self) -> None:
        """Train until `epochs` epochs are done in all, or a callback stops."""
        trainer = self.trainer
        self._started = time.perf_counter() - trainer.position.seconds
        self._length = self._chunk_length()
        trainer.stopped = ""
        with (
            explained(trainer.backend, self._fitting),
            self.progress,
            closing_data(self.feed, trainer.programs),
        ):
            while not trainer.stopped and trainer.position.epoch < self.epochs:
                trainer.stopped = self._epoch() or ""
        self._require_finite()
        self._save()

    def _epoch(self) -> str | None:
        """Make the updates of an epoch that are left and record it; return why to stop."""
        trainer, position = self.trainer, self.trainer.position
        before, since = position.step, time.perf_counter()
        early = self._updates()
        if early is not None and 0 < position.batch < self.sampler.batches:
            return early
        reason = self._close_epoch(position.step - before, time.perf_counter() - since)
        if early is None and reason is None and trainer.full_batch and trainer.minimum_found:
            return f"{trainer.optimizer.name} can lower the loss no further"
        return reason if early is None else early

    def _updates(self) -> str | None:
        """Make the updates of an epoch that are left, a chunk at a time; return why to stop."""
        trainer, position, sampler = self.trainer, self.trainer.position, self.sampler
        for start, stop in self._chunks():
            losses = self._iterate() if trainer.full_batch else self._chunk(start, stop)
            position.batch = stop
            position.seconds = time.perf_counter() - self._started
            reason = self.callbacks.steps_end(trainer, losses)
            self.progress.step(position.epoch * sampler.batches + stop)
            if self.checkpoints is not None and self.checkpoints.due(position.step):
                self._require_finite()
                self._save()
            if reason is not None:
                return reason
        return None

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of batches, cut where a checkpoint is due or a callback wants to look."""
        start = self.trainer.position.batch
        while start < self.sampler.batches:
            stop = min(start + self._length, self.feed.end(start))
            if self.checkpoints is not None:
                stop = min(stop, start + self.checkpoints.until_due(self.trainer.position.step))
            wait = self.callbacks.until_due(self.trainer.position.step)
            if wait is not None:
                stop = min(stop, start + max(wait, 1))
            yield start, stop
            start = stop

    def _chunk_length(self) -> int:
        """Return the steps in a chunk: fewer of large networks on a CPU."""
        if self.trainer.backend.device != "cpu":
            return CHUNK
        size = sum(prod(array.shape) for array in tree.leaves(self.trainer.state["params"]))
        return max(1, min(CHUNK, int(CHUNK_WORK / (3 * size * self.sampler.batch_size))))

    def _chunk(self, start: int, stop: int) -> Floats:
        """Make the updates of batches `start` to `stop`; return the losses of those not skipped."""
        trainer, size = self.trainer, self.sampler.batch_size
        full = max(min(stop, self.sampler.rows // size), start)
        scan = trainer.programs.scan(self.micro_batch, compiled=self.compiled)
        before, to_numpy = trainer.position.step, trainer.backend.to_numpy
        found: list[Tree] = []
        for first, last in ((start, full), (full, stop)):
            if first == last:
                continue
            controls = self._controls(before - start, first, last)
            for state, steps, metrics in scan(trainer.state, self.feed.data, controls):
                trainer.state = state
                trainer.position.step = before + first - start + steps
                if metrics:
                    found.append(metrics)
        self.feed.begun(self.epochs)
        host = {name: np.concatenate([to_numpy(m[name]) for m in found]) for name in found[0]}
        rows = np.full(stop - start, size)
        rows[-1] = min(stop * size, self.sampler.rows) - (stop - 1) * size
        return self._count(before, host["loss"], host.get("weight", rows), host.get("finite"))

    def _controls(self, step: int, start: int, stop: int) -> Tree:
        """Return what differs between the steps of batches `start` to `stop`, all of one size.

        `step` is the number of the step that batch 0 was.
        """
        trainer = self.trainer
        stage = trainer.backend.stage
        numbers = range(step + start, step + stop)
        order, begin = self.feed.rows(trainer.position.epoch, start)
        rows = batch_rows(order, start - begin, stop - begin, self.sampler.batch_size)
        rates = rates_at(trainer.optimizer.lr, numbers, trainer.plateau)
        controls = {"indices": stage(rows, "index"), "learning_rate": stage(rates, "float")}
        if trainer.random:
            controls["key"] = stage_keys(trainer.backend, trainer.seed, numbers)
        return controls

    def _iterate(self) -> Floats:
        """Make one iteration of a full-batch optimizer; return its loss."""
        trainer, state = self.trainer, self.trainer.state
        run = trainer.programs.gradients()
        moved: Tree = state["running"]

        def evaluate(params: Params) -> tuple[Array, Tree]:
            nonlocal moved
            loss, grads, moved = run(params, state["running"], self.feed.data)
            return loss, grads

        params, memory, loss = trainer.optimizer.iterate(
            trainer.backend.xp, evaluate, state["params"], state["optimizer"]
        )
        trainer.state = {"params": params, "running": moved, "optimizer": memory}
        trainer.position.step += 1
        before = trainer.position.step - 1
        return self._count(before, np.asarray([float(loss)]), np.ones(1), None)

    def _fitting(self) -> str:
        """Return what to do if the device's memory is too small for the steps."""
        if self.trainer.full_batch:
            return f"{self.trainer.optimizer.name} takes all rows at once: pass fewer"
        size = self.micro_batch or self.sampler.batch_size
        data = sum(prod(a.shape) for a in self.feed.data.values())
        data *= np.dtype(self.trainer.backend.dtype).itemsize
        rows, estimate = fitting_rows(self.trainer, size)
        smaller = f"batch_size={rows} should fit ({estimate})"
        if isinstance(self.feed, Streamed) or data < 2 * size * kept_bytes(self.trainer):
            return smaller
        return f"the data take {data:,} bytes: pass stream=True; or {smaller}"

    def _rate(self, step: int) -> float:
        return rate_at(self.trainer.optimizer.lr, step, self.trainer.plateau)

    def _count(
        self,
        before: int,
        losses: NDArray[Any],
        weights: NDArray[Any],
        finite: NDArray[Any] | None,
    ) -> Floats:
        """Add updates to the epoch's sums, in their order; return the losses of those not skipped.

        `before` updates were made before them. Raises `TrainingError` at the first loss that is not
        finite.
        """
        trainer, position = self.trainer, self.trainer.position
        steps = before + 1 + np.arange(len(losses))
        if finite is not None:
            position.skipped += int(np.sum(~finite))
            losses, weights, steps = losses[finite], weights[finite], steps[finite]
        losses = losses.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            first = wrong[0]
            position.step = int(steps[first])
            raise TrainingError(
                f"the loss became {losses[first]:g} at step {position.step}, epoch "
                f"{position.epoch + 1}, {self._way_out(position.step - 1)}"
            )
        position.loss = _running_sum(position.loss, losses * weights)
        position.weight = _running_sum(position.weight, weights)
        if finite is not None and trainer.loss_scale <= SMALLEST:
            raise TrainingError(
                f"float16 still overflows at step {position.step} with the smallest loss scale, "
                f"{SMALLEST:g}; scale the inputs, lower the learning rate or choose "
                f"dtype='float32'{self._last_good()}"
            )
        return losses

    def _require_finite(self) -> None:
        """Raise `TrainingError` unless all parameters are finite."""
        trainer, step = self.trainer, self.trainer.position.step
        if not bool(all_finite(trainer.backend.xp, trainer.state["params"])):
            raise TrainingError(
                f"the parameters were no longer finite after step {step}, "
                f"{self._way_out(max(step - 1, 0))}"
            )

    def _way_out(self, step: int) -> str:
        return (
            f"with learning rate {self._rate(step):g}; lower it, clip the gradients "
            f"(clip_norm=1.0) or scale the inputs{self._last_good()}"
        )

    def _last_good(self) -> str:
        saved = self.checkpoints.last if self.checkpoints else None
        return f"; the last good checkpoint is {saved}" if saved else ""

    def _save(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.write(self.trainer, self.callbacks)

    def _close_epoch(self, steps: int, seconds: float) -> str | None:
        """Record the epoch, show it to the callbacks; return why to stop, or None."""
        trainer, position = self.trainer, self.trainer.position
        rows = min(steps * self.sampler.batch_size, self.sampler.rows)
        loss = position.loss / position.weight if position.weight else float("nan")
        position.seconds = time.perf_counter() - self._started
        record: dict[str, Any] = {
            "epoch": position.epoch + 1,
            "step": position.step,
            "loss": loss,
            "learning_rate": self._rate(max(position.step - 1, 0)),
            "seconds": position.seconds,
            "samples_per_second": rows / seconds if seconds > 0 else 0.0,
        }
        if trainer.half:
            record["skipped_steps"] = position.skipped
            record["loss_scale"] = trainer.loss_scale
        if self.validation is not None:
            found = trainer.scores_of(self.validation)
            record |= {f"val_{name}": value for name, value in found.items()}
        position.epoch += 1
        position.restart_epoch()
        trainer.history.append(record)
        self.progress.epoch(record)
        if isinstance(trainer.optimizer.lr, OnPlateau) and trainer.plateau is not None:
            watched = float(record.get("val_loss", loss))
            trainer.plateau = trainer.optimizer.lr.observe(watched, trainer.plateau)
        return self.callbacks.epoch_end(trainer, record)


def _running_sum(start: float, values: NDArray[Any]) -> float:
    """Return ``start + values[0] + values[1] + …``, the same however a run is cut into chunks."""
    return float(np.add.accumulate(np.concatenate(([start], values)))[-1])
