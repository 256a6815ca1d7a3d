"""Machine code on disk, by the content it was made from.

A file's name is the hash of the module's text, LLVM's version and the processor; the file starts
with the hash of its own code, so that a damaged one is made again. Files appear whole (written
aside, then renamed), so processes may share the folder. What is in it will be executed: a folder
that others can write to is not used.
"""

import os
import stat
import sys
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes kept; beyond it the files used longest ago are removed."""

_DIGEST = 32
_BINARY = getattr(os, "O_BINARY", 0)


def folder() -> Path | None:
    """Return the user's folder for machine code, made if need be; None if there is no safe one."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not base or not os.path.isabs(base):
        return None
    own = Path(base) / "chainrule"
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
        for place in (own, own / "native"):
            place.mkdir(exist_ok=True, mode=0o700)
            if not _own(place.lstat()):
                return None
        return own / "native"
    except OSError:
        return None


def _own(about: os.stat_result) -> bool:
    """Whether what a `stat` is about is this user's own, no link, and no one else's to write."""
    if not hasattr(os, "getuid"):
        return True
    others = stat.S_IWGRP | stat.S_IWOTH
    safe = about.st_uid == os.getuid() and not about.st_mode & others
    return safe and not stat.S_ISLNK(about.st_mode)


def name_of(text: str, signature: str) -> str:
    """Return the name under which the code of a text is kept."""
    return sha256(f"{signature}\n{text}".encode()).hexdigest()


def load(name: str) -> bytes | None:
    """Return the machine code of that name, or None."""
    place = folder()
    if place is None:
        return None
    try:
        handle = os.open(place / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _BINARY)
        with os.fdopen(handle, "rb") as file:
            if not _own(os.fstat(handle)):
                return None
            held = file.read()
        os.utime(place / name)
    except OSError:
        return None
    code = held[_DIGEST:]
    return code if held[:_DIGEST] == sha256(code).digest() else None


def save(name: str, code: bytes) -> None:
    """Keep machine code; do nothing where that is not possible."""
    place = folder()
    if place is None:
        return
    with suppress(OSError):
        handle, aside = tempfile.mkstemp(dir=place, prefix="new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(sha256(code).digest() + code)
            os.replace(aside, place / name)
        except BaseException:
            os.unlink(aside)
            raise
        _make_room(place)


def _make_room(place: Path) -> None:
    """Remove the files used longest ago until the rest is small enough."""
    kept = 0
    files = [(path.stat(), path) for path in place.iterdir() if path.is_file()]
    for about, path in sorted(files, key=lambda one: -one[0].st_mtime):
        kept += about.st_size
        if kept > LARGEST:
            with suppress(OSError):
                path.unlink()
