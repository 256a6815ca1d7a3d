"""The memory of this process, in bytes, as the operating system counts it."""

import contextlib
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def _status(name: str) -> int | None:
    """Return a number of /proc/self/status, None where there is no such file."""
    if not _STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0])


def resident() -> int:
    """Return the memory in use now; the peak where only that is known."""
    kibibytes = _status("VmRSS")
    return peak() if kibibytes is None else kibibytes * 1024


def peak() -> int:
    """Return the largest memory in use so far.

    Linux' own count, because getrusage's starts at the size of the process that started this one.
    """
    kibibytes = _status("VmHWM")
    if kibibytes is not None:
        return kibibytes * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Let the peak start from the memory in use now, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def threads() -> int | None:
    """Return the number of threads of this process, None where the system does not say."""
    return _status("Threads")
