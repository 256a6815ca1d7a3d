"""How much the rest of the machine did while something was measured."""

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


def _busy() -> float | None:
    """Return the processor seconds that all cores have spent on anything, None if unknown.

    Time stolen by other virtual machines counts; idle and waiting for disks do not.
    """
    if not _STAT.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(
        int, _STAT.read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Disturbance:
    """Counts from its creation on; `cores` is the answer."""

    def __init__(self) -> None:
        self._busy, self._own, self._clock = _busy(), time.process_time(), time.perf_counter()

    def cores(self, of_child: float = 0.0) -> float | None:
        """Return the mean number of cores that worked for others than this process.

        of_child: the processor seconds that its child took, which are not counted either.
        """
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        others = (busy - self._busy) - (time.process_time() - self._own) - of_child
        return round(max(others, 0.0) / (time.perf_counter() - self._clock), 2)
