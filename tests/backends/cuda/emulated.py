"""CUDA kernels on a CPU: their text compiled as C, their threads run as fibers (emulator.h)."""

import ctypes
import platform
import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

HEADER = Path(__file__).with_name("emulator.h")
X86 = ("-mfma", "-mf16c") if platform.machine() in ("x86_64", "AMD64") else ()
FLAGS = ("-std=gnu11", "-O0", "-fPIC", "-shared", "-w", "-ffp-contract=off", *X86)


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="kernels"))


@cache
def compiled(text: str) -> Any:
    """Return the shared library of a source; its kernels are called through `run`."""
    calls: list[str] = []
    for name, parameters in re.findall(r"^KERNEL void (\w+)\((.*?)\) ?\{", text, re.M | re.S):
        types = [one.rpartition("*")[0] + "*" for one in parameters.split(",")]
        given = ", ".join(f"({t})given_[{k}]" for k, t in enumerate(types))
        calls.append(f"void call_{name}(void **given_) {{ {name}({given}); }}")
    whole = "\n".join([HEADER.read_text(), text, *calls])
    stem = folder() / sha256(whole.encode()).hexdigest()[:16]
    stem.with_suffix(".c").write_text(whole)
    command = ["cc", *FLAGS, "-o", str(stem.with_suffix(".so")), str(stem.with_suffix(".c")), "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(stem.with_suffix(".so")))


def run(
    text: str, name: str, blocks: int, threads: int, pointers: Sequence[int], order: int
) -> None:
    """Launch a kernel; `order` says who comes first, see emulator.h."""
    library = compiled(text)
    kernel = ctypes.cast(getattr(library, f"call_{name}"), ctypes.c_void_p)
    given = (ctypes.c_void_p * len(pointers))(*pointers)
    if library.emulate(kernel, blocks, threads, given, order):
        raise AssertionError(f"{name}: threads wait for each other in vain")
