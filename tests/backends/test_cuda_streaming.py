"""Copies to the device while it computes, on a pretended device that runs its streams in any order.

Each stream is a queue; what is at the front of any queue may run at any time, unless it waits for
an event. So what is not ordered by events and waits goes wrong in some order.
"""

import random
from collections import deque
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chainrule.backends.base import Overlapping
from chainrule.backends.cuda.streaming import DoubleBuffer
from chainrule.backends.numpy import NumpyBackend
from chainrule.data.sampler import Sampler
from chainrule.train import feeding
from chainrule.train.feeding import Streamed
from chainrule.train.fit import batch_rows
from chainrule.train.host_rows import HostRows
from train.problems import assert_same, blobs, host_params, make_trainer

ROWS = 53
X = np.random.default_rng(0).normal(size=(ROWS, 3))
Y = np.arange(ROWS)


class Stream:
    def __init__(self, device):
        self.device = device
        self.queue: deque[tuple[Any, Any]] = deque()
        device.streams.append(self)

    def give(self, work, ready=lambda: True):
        self.device.ran_a_little()
        self.queue.append((work, ready))

    def wait_event(self, event):
        number = event.recorded
        self.give(lambda: None, lambda: event.done >= number)

    def synchronize(self):
        self.device.run_until(lambda: not self.queue)


class Event:
    def __init__(self, device):
        self.device, self.recorded, self.done = device, 0, 0

    def record(self, stream):
        self.recorded += 1
        number = self.recorded

        def happen():
            self.done = number

        stream.give(happen)

    def synchronize(self):
        number = self.recorded
        self.device.run_until(lambda: self.done >= number)


class DeviceArray:
    """An array that a stream fills when its turn comes, from the host memory as it is then."""

    def __init__(self, values):
        self.values = values

    def __getitem__(self, key):
        return DeviceArray(self.values[key])

    def set(self, host, stream):
        assert host.flags.c_contiguous
        assert (host.shape, host.dtype) == (self.values.shape, self.values.dtype)

        def copy():
            self.values[...] = host

        stream.give(copy)


class Device:
    """A device, and the parts of CuPy that streaming uses.

    order: "late" runs nothing before it must; a number seeds a random order.
    """

    def __init__(self, order):
        self.random = None if order == "late" else random.Random(order)
        self.streams: list[Stream] = []
        self.current = Stream(self)
        self.count = 0
        self.pinned_bytes = 0
        self.cuda = SimpleNamespace(
            Stream=self._stream,
            Event=lambda disable_timing: Event(self),
            get_current_stream=lambda: self.current,
            alloc_pinned_memory=self._pinned,
        )

    def empty(self, shape, dtype):
        """Return an array in memory that the current stream has still to write to."""
        values = np.empty(shape, dtype)
        self.current.give(lambda: values.fill(-1))
        return DeviceArray(values)

    def _stream(self, non_blocking):
        assert non_blocking
        return Stream(self)

    def _pinned(self, size):
        self.pinned_bytes += size
        return bytearray(size)

    def ran_a_little(self):
        if self.random is not None:
            for _ in range(self.random.randrange(4)):
                self._run_one()

    def run_until(self, done):
        while not done():
            assert self._run_one(), "everything waits for something that never happens"

    def _run_one(self):
        able = [s for s in self.streams if s.queue and s.queue[0][1]()]
        if not able:
            return False
        stream = able[-1] if self.random is None else self.random.choice(able)
        stream.queue.popleft()[0]()
        self.count += 1
        return True


@dataclass(frozen=True)
class Pretended(NumpyBackend):
    """NumPy with a row buffer on a pretended device."""

    machine: Any = None
    buffer: Any = DoubleBuffer
    made: list[Any] = field(default_factory=list, compare=False)

    def row_buffer(self, rows, layout):
        self.made.append(self.buffer(self.machine, rows, layout))
        return self.made[-1]


def read(device, *, buffer=DoubleBuffer, batch_size=4, epochs=3, chunk=2):
    """Go through epochs as a fit does; return each step's rows of x and y, and what they should be.

    A step reads when its turn comes in the current stream.
    """
    backend = Pretended(machine=device, buffer=buffer)
    assert isinstance(backend, Overlapping)
    sampler = Sampler(ROWS, batch_size, seed=2)
    source = {"x": HostRows(backend, X, "float"), "y": HostRows(backend, Y, "index")}
    fed = Streamed(backend, source, sampler)
    found, expected = [], []

    def step(rows):
        found.append([array.values[rows] for array in fed.data.values()])

    for epoch in range(epochs):
        start = 0
        while start < sampler.batches:
            stop = min(start + chunk, fed.end(start))
            full = max(min(stop, ROWS // batch_size), start)
            for first, last in ((start, full), (full, stop)):
                if first == last:
                    continue
                order, begin = fed.rows(epoch, first)
                for rows in batch_rows(order, first - begin, last - begin, batch_size):
                    device.current.give(lambda rows=rows: step(rows))
                for rows in batch_rows(sampler.order(epoch), first, last, batch_size):
                    expected.append([X[rows].astype(np.float32), Y[rows]])
            fed.begun(epochs)
            start = stop
    device.current.synchronize()
    fed.close()
    assert not any(stream.queue for stream in device.streams)
    return found, expected


def same(found, expected):
    assert len(found) == len(expected)
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Let a half hold three batches of four rows."""
    monkeypatch.setattr(feeding, "HALF_BYTES", 12 * (3 * 4 + 8))


@pytest.mark.parametrize("order", ["late", *range(40)])
def test_every_step_reads_its_own_rows_in_whatever_order_streams_run(order):
    for settings in ({}, {"chunk": 1}, {"chunk": 100}, {"batch_size": 5}, {"batch_size": 30}):
        device = Device(order)
        assert same(*read(device, **settings))


class WithoutReady(DoubleBuffer):
    def ready(self, half): ...


class WithoutUsed(DoubleBuffer):
    def used(self, half): ...


class WithoutFirstUsed(DoubleBuffer):
    made = False

    def used(self, half):
        if self.made:
            super().used(half)

    def ready(self, half):
        self.made = True
        super().ready(half)


class WithoutCopied(DoubleBuffer):
    def fill(self, half, count, write):
        self._copied[half] = self._cuda.Event(disable_timing=True)
        super().fill(half, count, write)


class OneHalf(DoubleBuffer):
    def fill(self, half, count, write):
        super().fill(0, count, write)


@pytest.mark.parametrize(
    "broken", [WithoutReady, WithoutUsed, WithoutFirstUsed, WithoutCopied, OneHalf]
)
def test_the_pretended_device_notices_what_is_not_ordered(broken):
    assert not all(same(*read(Device(order), buffer=broken)) for order in ("late", *range(40)))


def test_the_next_window_is_taken_while_nothing_has_to_be_waited_for():
    device = Device("late")
    backend = Pretended(machine=device)
    source = {"x": HostRows(backend, X, "float")}
    sampler = Sampler(ROWS, 4, seed=2)
    fed = Streamed(backend, source, sampler)
    fed.rows(0, 0)
    device.current.give(lambda: None)
    fed.begun(1)
    assert device.count == 0  # two windows are under way, and the host has waited for nothing
    pinned = backend.made[0]._pinned["x"]
    half = len(pinned) // 2
    rows = sampler.order(0)[half : 2 * half]
    np.testing.assert_array_equal(pinned[half:], X[rows].astype(np.float32))
    fed.begun(1)
    assert fed.rows(0, half // 4)[0][0] == half
    fed.close()


def test_arrays_stay_where_they_are_and_as_large_as_was_said():
    device = Device(0)
    backend = Pretended(machine=device)
    fed = Streamed(backend, {"x": HostRows(backend, X, "float")}, Sampler(ROWS, 4))
    array = fed.data["x"]
    rows = feeding.HALF_BYTES // (4 * 3 * 4) * 4
    assert array.values.shape == (2 * rows, 3)
    assert device.pinned_bytes == array.values.nbytes <= 2 * feeding.HALF_BYTES
    for batch in range(fed.end(0), 13):
        fed.rows(0, batch)
        assert fed.data["x"] is array
    fed.close()


def test_the_last_epochs_end_prefetches_nothing():
    device = Device("late")
    backend = Pretended(machine=device)
    orders = []

    @dataclass(frozen=True)
    class Watched(Sampler):
        def order(self, epoch):
            orders.append(epoch)
            return super().order(epoch)

    fed = Streamed(backend, {"x": HostRows(backend, X, "float")}, Watched(ROWS, 4))
    for epoch in range(2):
        for batch in range(14):
            fed.rows(epoch, batch)
            fed.begun(2)
        assert orders == [0, 1]
    fed.close()


class Settable(np.ndarray):
    """A NumPy array that is filled at once, as if streams never waited."""

    def set(self, host, stream):
        self[...] = host


class AtOnce(Device):
    def empty(self, shape, dtype):
        return np.empty(shape, dtype).view(Settable)


@pytest.mark.parametrize("compile", [False, True])
def test_a_fit_on_two_halves_is_the_same_bits(compile):
    if compile:
        pytest.importorskip("llvmlite")
    x, y = blobs(103)
    backend = Pretended(machine=AtOnce(0))
    runs = []
    for stream in (False, True):
        trainer = make_trainer(backend=replace(backend, made=backend.made), compile=compile)
        trainer.fit(x, y, epochs=3, batch_size=4, stream=stream, validation=0.2)
        runs.append((host_params(trainer), trainer.history["loss"], trainer.history["val_loss"]))
    assert len(backend.made) == 1
    assert_same(runs[0][0], runs[1][0])
    assert runs[0][1:] == runs[1][1:]
