"""Splitting rows into two parts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.sampler import Rows, permutation
from chainrule.errors import InputError
from chainrule.ops.random import Rng, check_seed


def split(
    rows: int, fraction: float, *, labels: ArrayLike | None = None, seed: int = 0
) -> tuple[Rows, Rows]:
    """Return the rows of the larger part and of the part held out, both in ascending order.

    `fraction` of the rows, at least one, is held out. With `labels` (rows,) the split is
    stratified: every class gives its share to each part, rounded by largest remainder, and at least
    one row.
    Raises `InputError` if a part would be empty, or a class has a single row.

    >>> train, held_out = split(10, 0.2, seed=1)
    >>> len(train), len(held_out)
    (8, 2)
    """
    check_seed(seed)
    if not 0.0 < fraction < 1.0:
        raise InputError(f"fraction={fraction!r}: expected a number between 0 and 1")
    if rows < 2:
        raise InputError(f"{rows} rows cannot be split in two; expected at least 2")
    rng = Rng(seed, "split")
    held = min(max(round(rows * fraction), 1), rows - 1)
    if labels is None:
        order = permutation(rng, rows)
        return np.sort(order[held:]), np.sort(order[:held])
    return _stratified(rng, np.asarray(labels), held)


def _stratified(rng: Rng, labels: NDArray[np.generic], held: int) -> tuple[Rows, Rows]:
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        alone = classes[counts.argmin()]
        raise InputError(
            f"class {alone.item()!r} has one row; a stratified split needs two of each class: "
            "add rows, drop the class, or split without stratifying"
        )
    held = min(max(held, len(classes)), len(labels) - len(classes))
    exact = counts * (held / len(labels))
    shares = np.clip(np.floor(exact).astype(np.int64), 1, counts - 1)
    by_remainder = np.argsort(shares - exact, kind="stable")
    while shares.sum() < held:
        for place in by_remainder:
            if shares.sum() < held and shares[place] < counts[place] - 1:
                shares[place] += 1
    for place in by_remainder[::-1]:
        while shares.sum() > held and shares[place] > 1:
            shares[place] -= 1
    held_out: list[Rows] = []
    for place, share in enumerate(shares):
        members = np.flatnonzero(inverse == place)
        held_out.append(members[permutation(rng.at(str(place)), len(members))[:share]])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(held_out)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
