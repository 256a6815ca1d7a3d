"""Which rows make which batch: a pure function of seed and epoch, the same on every backend."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError
from chainrule.ops.random import Rng, check_seed

Rows = NDArray[np.int64]

EPOCHS, SMALL = 16, 2**14
"""The orders of so many epochs are made at a time, if they have no more than so many rows."""


@dataclass(frozen=True)
class Sampler:
    """Batches of row numbers, without replacement within an epoch.

    Batch `number` of epoch `epoch` follows from the settings alone, so a run resumes at any batch.
    The last batch holds the rows that are left; its loss and gradient are the mean over its own
    rows, and an epoch's loss weighs it by their number. `drop_last` leaves it out.

    With `balance`, labels (rows,) of integers >= 0, every epoch has the same number of rows of
    every class (give or take one): each class's rows are gone through in shuffled order, again and
    again where there are few.
    """

    rows: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    drop_last: bool = False
    balance: NDArray[np.integer] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InputError("rows=0: expected at least one row")
        check_batch_size(self.batch_size)
        check_seed(self.seed)
        if self.drop_last and self.rows < self.batch_size:
            raise InputError(
                f"drop_last=True leaves no batch: batch_size={self.batch_size}, {self.rows} rows"
            )
        if self.balance is not None:
            if not self.shuffle:
                raise InputError("balanced sampling draws rows at random: it needs shuffle=True")
            if self.balance.shape != (self.rows,):
                raise InputError(
                    f"balance has shape {self.balance.shape}, expected one label a row: "
                    f"({self.rows},)"
                )

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)

    @property
    def tail(self) -> int:
        """Rows in the last batch if it is a smaller one, else 0."""
        return 0 if self.drop_last else self.rows % self.batch_size

    def order(self, epoch: int) -> Rows:
        """Return the rows of an epoch in their order, (rows,) int64."""
        if self.balance is not None:
            return self._balanced(epoch, self.balance)
        if not self.shuffle:
            return np.arange(self.rows)
        together = max(1, min(EPOCHS, SMALL // self.rows))
        block = _orders(self.seed, self.rows, epoch // together, together)
        return block[epoch % together].copy()

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Rows]:
        """Yield the batches of an epoch from batch `start` on, each (batch_size,) int64 or the
        tail.

        >>> [batch.tolist() for batch in Sampler(5, 2, shuffle=False).epoch(0, start=1)]
        [[2, 3], [4]]
        """
        order = self.order(epoch)
        for number in range(start, self.batches):
            yield order[number * self.batch_size : (number + 1) * self.batch_size]

    def _balanced(self, epoch: int, labels: NDArray[np.integer]) -> Rows:
        rng = Rng(self.seed, "balanced", epoch)
        classes = np.unique(labels)
        counts = np.full(len(classes), self.rows // len(classes))
        counts[permutation(rng.at("extra"), len(classes))[: self.rows % len(classes)]] += 1
        drawn: list[Rows] = []
        for place, (label, count) in enumerate(zip(classes, counts, strict=True)):
            members = np.flatnonzero(labels == label)
            rounds = -(-int(count) // len(members))
            picks = [
                members[permutation(rng.at(f"{place}.{turn}"), len(members))]
                for turn in range(rounds)
            ]
            drawn.append(np.concatenate(picks)[:count] if picks else members[:0])
        rows = np.concatenate(drawn)
        return rows[permutation(rng, len(rows))]


def permutation(rng: Rng, count: int) -> Rows:
    """Return 0 … count - 1 in the order of random words, ties by number, (count,) int64."""
    return _sorted_by(rng.words(count))


@lru_cache(maxsize=4)
def _orders(seed: int, rows: int, block: int, together: int) -> Rows:
    """Return the orders of a block of epochs, (together, rows); many small arrays cost more."""
    steps = range(block * together, (block + 1) * together)
    return _sorted_by(Rng(seed, "order").words_at(rows, steps))


def _sorted_by(words: NDArray[np.uint32]) -> Rows:
    """Return the places of the words along the last axis in their order, ties by place."""
    places = np.arange(words.shape[-1], dtype=np.uint64)
    keyed = np.sort((words.astype(np.uint64) << np.uint64(32)) | places, axis=-1)
    return (keyed & np.uint64(0xFFFFFFFF)).astype(np.int64)


def check_batch_size(batch_size: object) -> int:
    """Return `batch_size`; raise `InputError` unless it is a positive integer."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise InputError(f"batch_size={batch_size!r}: expected a positive integer")
    return int(batch_size)
