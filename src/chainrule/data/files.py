"""Is this a file that can be read, what is it, and does it fit in memory? Asked before reading."""

import os
import stat
from difflib import get_close_matches
from pathlib import Path

from chainrule.data.escaping import escape, shown
from chainrule.errors import DataError

HEAD = 65536
"""How many bytes at the start of a file are looked at to name what it is."""

_SIGNATURES = (
    (b"\x1f\x8b", "gzip-compressed; decompress it first (gunzip)"),
    (b"BZh", "bzip2-compressed; decompress it first (bunzip2)"),
    (b"\xfd7zXZ\0", "xz-compressed; decompress it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; decompress it first (unzstd)"),
    (b"PAR1", "a Parquet file; give it the ending .parquet"),
    (b"\x93NUMPY", "a NumPy array; give it the ending .npy"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file; save the sheet as CSV"),
    (b"%PDF", "a PDF document; export the table as CSV"),
    (b"\x89HDF", "an HDF5 file; export the table as CSV or Parquet"),
    (b"SQLite format 3\0", "an SQLite database; export the table as CSV"),
    (b"\x89PNG", "a PNG image; expected a table"),
    (b"\xff\xd8\xff", "a JPEG image; expected a table"),
    (b"ARROW1", "an Arrow (Feather) file; write it as Parquet"),
    (b"Obj\x01", "an Avro file; write it as Parquet or CSV"),
)


def check_file(path: str | os.PathLike[str]) -> str:
    """Return `path` as text if it names a regular file, or raise `DataError` saying what it is.

    Directories, pipes, devices, sockets, absent files (the nearest name in that folder is given)
    and folders that may not be entered are refused; nothing is opened.
    """
    name = os.fspath(path)
    label = escape(name)
    if "\0" in name:
        raise DataError(f"{label}: a path cannot hold a NUL character")
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        raise DataError(f"{label}: no such file{_nearest_file(name)}") from None
    except OSError as error:
        raise unreadable(name, error) from None
    if stat.S_ISREG(mode):
        return name
    if stat.S_ISDIR(mode):
        raise DataError(f"{label}: is a directory; expected a file, such as {label}/data.csv")
    what = "a pipe (FIFO)" if stat.S_ISFIFO(mode) else "a device or socket"
    raise DataError(f"{label}: is {what}; expected a regular file: save the data to one first")


def unreadable(path: str, error: OSError) -> DataError:
    """Return the `DataError` for an operating-system error while reading `path`."""
    reason = error.strerror or type(error).__name__
    return DataError(
        f"{escape(path)}: cannot be read ({reason}); check the path and its permissions"
    )


def read_head(path: str) -> bytes:
    """Return the first `HEAD` bytes; a file of zero bytes is refused."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    if not head:
        raise DataError(f"{escape(path)}: the file is empty (0 bytes); expected data")
    return head


def describe(head: bytes) -> str | None:
    """Return what a file that begins with `head` is, and the way out; None if it may be text."""
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return what
    if head.startswith(b"PK\x03\x04"):
        if b"xl/" in head or b"[Content_Types].xml" in head:
            return "an Excel workbook (xlsx); save the sheet as CSV"
        return "a zip archive; unpack it first (an .npz keeps its ending .npz)"
    if head[:2] == b"\x80\x04" or head[:2] == b"\x80\x05":
        return "a Python pickle, which is never loaded; write the data as CSV or .npy"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not a table; was a download link saved instead of the file?"
    return None


def check_memory(path: str, need: int) -> None:
    """Refuse early, before anything is read, when about `need` bytes are not available."""
    free = available_memory()
    if free is not None and need > free:
        raise DataError(
            f"{escape(path)}: needs about {_size(need)} of memory, {_size(free)} is available; use "
            "fewer rows or columns, or write an .npy and pass numpy.load(path, mmap_mode='r')"
        )


def available_memory() -> int | None:
    """Return the bytes a process can still take (host and control group), None if unknown."""
    free = [value for value in (_host_memory(), _group_memory()) if value is not None]
    return min(free) if free else None


def _host_memory() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group_memory() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stats = (group / "memory.stat").read_text().split()
        reclaimable = int(stats[stats.index("inactive_file") + 1])
    except (OSError, ValueError):
        return None
    return max(0, limit - used + reclaimable)


def _nearest_file(name: str) -> str:
    folder, base = os.path.split(name)
    if folder and not os.path.isdir(folder):
        return f"; the folder {escape(folder)} does not exist"
    try:
        names = os.listdir(folder or ".")[:10_000]
    except OSError:
        return ""
    close = get_close_matches(base, names, n=1, cutoff=0.75)
    return f" (did you mean {shown(close[0])}?)" if close else ""


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
