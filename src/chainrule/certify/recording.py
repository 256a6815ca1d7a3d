"""A training run and what is written down of it: every loss, the parameters at some steps."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.certify.start import Arrays, state_on_host
from chainrule.data.sampler import Sampler
from chainrule.errors import TrainingError
from chainrule.train.callbacks import Callback
from chainrule.train.trainer import Trainer


def looks_of(steps: int) -> tuple[int, ...]:
    """Return the steps after which the parameters are read: 1, 2, …, 10, 20, …, 100, …, `steps`.

    Few enough to keep them all, and between two looks the updates run as in any other training.

    >>> looks_of(25)
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 25)
    """
    powers = (10**exponent for exponent in range(len(str(steps))))
    looks = {digit * power for power in powers for digit in range(1, 10)}
    return tuple(sorted({look for look in looks if look < steps} | {steps}))


def marks_of(steps: int) -> tuple[int, ...]:
    """Return the steps whose drift is shown: the powers of ten up to `steps`, and `steps`.

    >>> marks_of(100), marks_of(25)
    ((1, 10, 100), (1, 10, 25))
    """
    powers = {10**exponent for exponent in range(len(str(steps)))}
    return tuple(sorted({power for power in powers if power < steps} | {steps}))


@dataclass
class Recording(Callback):
    """What one run did: `losses` of all updates, `states` (parameters, running state) by step.

    ended: why the run could not go on, empty if it could. seconds: the whole training.
    """

    looks: tuple[int, ...]
    losses: list[float] = field(default_factory=list[float])
    states: dict[int, Arrays] = field(default_factory=dict[int, Arrays])
    ended: str = ""
    seconds: float = 0.0

    def steps_until(self, step: int) -> int | None:
        return next((look - step for look in self.looks if look > step), None)

    def on_steps_end(self, trainer: Any, losses: NDArray[np.float64]) -> bool:
        self.losses += losses.tolist()
        step = trainer.position.step
        if step in self.looks:
            self.states[step] = state_on_host(trainer)
        return step >= self.looks[-1]


def record(trainer: Trainer, X: Any, y: Any, sampler: Sampler, steps: int) -> Recording:
    """Train for `steps` updates as a user would, by `Trainer.fit`, and return the recording."""
    recording = Recording(looks_of(steps))
    since = time.perf_counter()
    try:
        trainer.fit(
            X,
            y,
            epochs=-(-steps // sampler.batches),
            batch_size=sampler.batch_size,
            callbacks=[recording],
            progress="off",
        )
    except TrainingError as error:
        recording.ended = str(error)
    recording.seconds = time.perf_counter() - since
    return recording
