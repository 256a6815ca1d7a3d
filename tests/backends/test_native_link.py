"""Loading machine code where the address space is in pieces, as in long processes."""

import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")

IN_PIECES = """
import ctypes

import numpy as np

import chainrule as cr
from chainrule.backends.native import machine

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_size_t
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
NOBODYS = 0x4022  # MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, and no right to touch it


def reserve(size):
    address = libc.mmap(None, size, 0, NOBODYS, -1, 0)
    assert address != ctypes.c_size_t(-1).value
    return address


machine.target()
pages = [reserve(4096) for _ in range(200)]
gap = reserve(5 << 30)
for power in (26, 20, 16, 14, 13, 12):  # what was free above the gap
    while reserve(1 << power) > gap:
        pass
for page in pages[::2]:  # one page here, the next 5 GiB away
    libc.munmap(page, 4096)
net = cr.Sequential(cr.Dense(32), cr.Tanh(), cr.Dense(10))
trainer = cr.Trainer(net, loss="softmax_cross_entropy", optimizer="adam", compile=True)
rng = np.random.default_rng(0)
x = rng.normal(size=(256, 64)).astype("float32")
trainer.fit(x, rng.integers(0, 10, 256), epochs=2, progress="off")
assert np.isfinite(trainer.evaluate(x, rng.integers(0, 10, 256))["loss"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="knows Linux's address space")
def test_sections_are_linked_however_far_apart_memory_is_free() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_PIECES], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
