"""Counter-based random numbers: the same words from the same seed on every library.

Threefry-2x32 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3")
needs only addition, exclusive or and rotation of 32-bit words, so it is written once in wrapping
int32 arithmetic, which all libraries share: JAX has no 64-bit integers by default and PyTorch's
uint32 is incomplete. A word is addressed, not drawn: by seed, step, place (a text such as
``dropout/2``) and element number.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import InputError
from chainrule.typing import Array, Namespace, Shape

ROUNDS = 13
"""The fewest rounds that pass BigCrush (Salmon et al. 2011, table 2)."""

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def threefry2x32(
    xp: Namespace, key: Array, first: Array, second: Array, *, rounds: int = ROUNDS
) -> tuple[Array, Array]:
    """Encrypt counters.

    key (2,) int32; first, second (n,) or (1,) int32 -> two arrays (n,) int32, each word uniform
    over all 32-bit patterns. All arithmetic wraps modulo 2**32.
    """
    key0, key1 = key[0:1], key[1:2]
    schedule = (key0, key1, (key0 ^ key1) ^ _PARITY)
    first, second = first + key0, second + key1
    for number in range(rounds):
        turn = _ROTATIONS[number % 8]
        first = first + second
        second = (second << turn) | ((second >> (32 - turn)) & ((1 << turn) - 1))
        second = second ^ first
        if number % 4 == 3:
            injection = number // 4 + 1
            first = first + schedule[injection % 3]
            second = second + (schedule[(injection + 1) % 3] + injection)
    return first, second


class Key(NamedTuple):
    """Where random numbers come from inside a step."""

    words: Array
    """(2,) int32: the seed and the number of the step."""

    place: str
    """Who asks; two places never share numbers."""

    def at(self, name: str) -> "Key":
        """Return the key of a place inside this one."""
        return Key(self.words, f"{self.place}.{name}")


def bits(xp: Namespace, key: Key, count: int) -> Array:
    """Return `count` random words, (count,) int32, addressed by key and element number."""
    half = (count + 1) // 2
    counters = xp.arange(half, dtype=xp.int32, device=getattr(key.words, "device", None))
    words = threefry2x32(xp, key.words, counters, counters * 0 + _place_word(key.place))
    return xp.concat(words, axis=-1)[..., :count]


def host_key(seed: int, step: int) -> NDArray[np.int32]:
    """Return the words of a key, (2,) int32, for ``0 <= seed < 2**32`` and step modulo 2**32."""
    return np.asarray([seed, step % 2**32], dtype=np.uint32).view(np.int32)


def check_seed(seed: object) -> int:
    """Return `seed`; raise `InputError` unless it is an integer in [0, 2**32)."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise InputError(f"seed={seed!r}: expected an integer from 0 to 4294967295")
    return int(seed)


@dataclass(frozen=True)
class Rng:
    """Random numbers on the host, for initial weights and orders, from seed and place.

    >>> rng = Rng(seed=0).at("weights")
    >>> bool((rng.uniform((3,)) == rng.uniform((3,))).all())
    True
    """

    seed: int
    place: str = ""
    step: int = 0

    def at(self, name: str) -> "Rng":
        """Return the generator of a place inside this one."""
        return Rng(self.seed, f"{self.place}.{name}" if self.place else name, self.step)

    def words(self, count: int, *, step: int | None = None) -> NDArray[np.uint32]:
        """Return (count,) words, each uniform over [0, 2**32)."""
        key = Key(host_key(self.seed, self.step if step is None else step), self.place)
        return bits(np, key, count).view(np.uint32)

    def words_at(self, count: int, steps: range) -> NDArray[np.uint32]:
        """Return the words of several steps at once, (len(steps), count)."""
        keys = np.stack([host_key(self.seed, step) for step in steps], axis=1)[:, :, None]
        return bits(np, Key(keys, self.place), count)[0].view(np.uint32)

    def uniform(self, shape: Shape) -> NDArray[np.float64]:
        """Return float64 numbers in [0, 1) with 53 random bits each."""
        count = int(np.prod(shape))
        words = self.words(2 * count).astype(np.uint64)
        whole = ((words[:count] >> np.uint64(5)) << np.uint64(26)) | (words[count:] >> np.uint64(6))
        return (whole.astype(np.float64) * 2.0**-53).reshape(shape)

    def normal(self, shape: Shape) -> NDArray[np.float64]:
        """Return float64 numbers of the standard normal distribution (Box & Muller 1958)."""
        count = int(np.prod(shape))
        half = (count + 1) // 2
        radius, angle = self.uniform((2, half))
        radius = np.sqrt(-2.0 * np.log1p(-radius))
        angle = 2.0 * np.pi * angle
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return pairs[:count].reshape(shape)


def _place_word(place: str) -> int:
    word = crc32(place.encode())
    return word - 2**32 if word >= 2**31 else word
