"""One call of `Trainer.fit`: epochs of steps, records, checkpoints."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.sampler import Sampler
from chainrule.errors import TrainingError
from chainrule.ops.random import host_key
from chainrule.optim.schedules import OnPlateau, rate_at
from chainrule.train.callbacks import Callbacks
from chainrule.train.checkpoint import Checkpoints
from chainrule.train.loss_scale import SMALLEST
from chainrule.train.progress import Progress
from chainrule.typing import Array, Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

CHUNK = 256
"""Steps between two looks at the losses; nothing is read back from the device in between."""


@dataclass
class Position:
    """How far a run is: whole epochs, batches of the next one, updates, and that epoch's sums."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    weight: float = 0.0
    skipped: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the position as plain numbers."""
        return asdict(self)


@dataclass
class Fit:
    """What one fit works with. `data` holds the device's arrays ``x``, ``y`` and maybe ``weight``."""

    trainer: "Trainer"
    data: Tree
    sampler: Sampler
    epochs: int
    micro_batch: int | None
    validation: Tree | None
    callbacks: Callbacks
    progress: Progress
    checkpoints: Checkpoints | None
    _started: float = field(default=0.0, init=False)

    def run(self) -> None:
        """Train until `epochs` epochs are done in all, or a callback stops."""
        trainer = self.trainer
        self._started = time.perf_counter() - trainer.position.seconds
        with self.progress:
            while trainer.position.epoch < self.epochs:
                before, since = trainer.position.step, time.perf_counter()
                if trainer.full_batch:
                    trainer.iterate(self.data)
                    self._count(np.asarray([trainer.position.loss]), [1.0], 1)
                else:
                    self._epoch()
                reason = self._close_epoch(time.perf_counter() - since, before)
                if reason is None and trainer.full_batch and trainer.minimum_found:
                    reason = f"{trainer.optimizer.name} can lower the loss no further"
                if reason is not None:
                    trainer.stopped = reason
                    break
        if self.checkpoints is not None:
            self.checkpoints.write(trainer, self.callbacks)

    def _epoch(self) -> None:
        """Make the updates of an epoch that are left, a chunk at a time."""
        trainer, sampler = self.trainer, self.sampler
        order = trainer.backend.stage(sampler.order(trainer.position.epoch), "index")
        for start, stop in self._chunks():
            losses, weights, finite = self._chunk(order, start, stop)
            host = trainer.backend.to_numpy(trainer.backend.xp.stack(losses)).astype(np.float64)
            if finite:
                taken = trainer.backend.to_numpy(trainer.backend.xp.stack(finite))
                trainer.position.skipped += int((~taken).sum())
                host, weights = host[taken], [w for w, t in zip(weights, taken, strict=True) if t]
                if trainer.loss_scale <= SMALLEST:
                    raise TrainingError(
                        f"float16 overflowed in every step up to {trainer.position.step}, however "
                        "small the loss scale; lower the learning rate or choose dtype='float32'"
                    )
            self._count(host, weights, stop - start)
            trainer.position.batch = stop
            self.progress.step(trainer.position.epoch * sampler.batches + stop)
            if self.checkpoints is not None and self.checkpoints.due(trainer.position.step):
                self.checkpoints.write(trainer, self.callbacks)

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of batches, cut where a checkpoint is due."""
        start = self.trainer.position.batch
        while start < self.sampler.batches:
            stop = min(start + CHUNK, self.sampler.batches)
            if self.checkpoints is not None:
                stop = min(stop, start + self.checkpoints.until_due(self.trainer.position.step))
            yield start, stop
            start = stop

    def _chunk(
        self, order: Array, start: int, stop: int
    ) -> tuple[list[Array], list[Array | float], list[Array]]:
        """Make the updates of batches `start` to `stop`; return their losses, weights, finiteness."""
        trainer, size = self.trainer, self.sampler.batch_size
        stage, rows = trainer.backend.stage, order.shape[0]
        step = trainer.compiled_step(self.micro_batch)
        first = trainer.position.step
        numbers = range(first, first + stop - start)
        rates = stage(np.asarray([self._rate(number) for number in numbers]), "float")
        keys = None
        if trainer.random:
            keys = stage(np.stack([host_key(trainer.seed, number) for number in numbers]), "int32")
        losses: list[Array] = []
        weights: list[Array | float] = []
        finite: list[Array] = []
        for place, number in enumerate(range(start, stop)):
            indices = order[number * size : min((number + 1) * size, rows)]
            key = None if keys is None else keys[place, ...]
            trainer.state, metrics = step(trainer.state, self.data, indices, rates[place], key)
            losses.append(metrics["loss"])
            weights.append(metrics["weight"])
            if "finite" in metrics:
                finite.append(metrics["finite"])
        return losses, weights, finite

    def _rate(self, step: int) -> float:
        return rate_at(self.trainer.optimizer.lr, step, self.trainer.plateau)

    def _count(self, losses: Any, weights: list[Any], steps: int) -> None:
        """Add a chunk to the epoch's sums; raise `TrainingError` at the first loss that is not finite."""
        trainer, position = self.trainer, self.trainer.position
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            step = position.step + int(bad[0]) + 1
            saved = self.checkpoints.last if self.checkpoints else None
            raise TrainingError(
                f"the loss became {losses[bad[0]]:g} at step {step}, epoch {position.epoch + 1}, "
                f"with learning rate {self._rate(step - 1):g}; lower it, clip the gradients "
                "(clip_norm=1.0) or scale the inputs"
                + (f"; the last good checkpoint is {saved}" if saved else "")
            )
        counted = np.asarray([float(weight) for weight in weights])
        if trainer.full_batch:
            position.loss, position.weight = float(losses[0]), 1.0
        else:
            position.loss += float(losses @ counted)
            position.weight += float(counted.sum())
        position.step += steps

    def _close_epoch(self, seconds: float, step_before: int) -> str | None:
        """Record the epoch, show it to the callbacks; return why to stop, or None."""
        trainer, position = self.trainer, self.trainer.position
        loss = position.loss / position.weight if position.weight else float("nan")
        steps = position.step - step_before
        rows = min(steps * self.sampler.batch_size, self.sampler.rows)
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
        position.epoch, position.batch = position.epoch + 1, 0
        position.loss = position.weight = 0.0
        position.skipped = 0
        trainer.history.append(record)
        self.progress.epoch(record)
        if isinstance(trainer.optimizer.lr, OnPlateau) and trainer.plateau is not None:
            watched = float(record.get("val_loss", loss))
            trainer.plateau = trainer.optimizer.lr.observe(watched, trainer.plateau)
        return self.callbacks.epoch_end(trainer, record)
