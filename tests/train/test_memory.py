"""A device whose memory is too small: one error with the bytes, and a way out that works."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.numpy import NumpyBackend
from chainrule.train import evaluation, feeding, memory
from chainrule.train.memory import explained, fitting_rows, kept_bytes
from libraries import make_backend
from train.problems import blobs, classifier, host_params, make_trainer

X, Y = blobs(103)

NET_BYTES = 4 * (4 + 8)
"""What `classifier()` keeps of a row of 4 features in float32: them, and 8 outputs of Tanh."""


class OutOfMemoryError(MemoryError):
    """Says it as CuPy 14 does."""

    def __init__(self, size, total):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes)."
        )


@dataclass(frozen=True)
class Tight(NumpyBackend):
    """NumPy on a device of so many bytes, of which a row of a batch takes `a_row`."""

    free: int = 0
    a_row: int = 2 * NET_BYTES
    largest: int = 2**62

    def free_memory(self):
        return self.free

    def asarray(self, x, dtype=None):
        array = super().asarray(x, dtype)
        if array.nbytes > self.largest:
            raise OutOfMemoryError(array.nbytes, 77)
        return array

    def gather(self, x, indices):
        if len(indices) * self.a_row > self.free:
            raise OutOfMemoryError(len(indices) * self.a_row, 77)
        return super().gather(x, indices)


def fails(trainer, **settings):
    before = trainer.state and host_params(trainer)
    with pytest.raises(MemoryError) as caught:
        trainer.fit(X, Y, **({"epochs": 1, "progress": "off"} | settings))
    assert type(caught.value) is MemoryError
    assert "\n" not in str(caught.value)
    if before:
        assert host_params(trainer).keys() == before.keys()
    return str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_that_fits_is_named_and_fits(stream):
    backend = Tight(free=2 * NET_BYTES * 20)
    trainer = make_trainer(backend=backend)
    message = fails(trainer, batch_size=64, stream=stream)
    assert message == (
        "cpu: 6,144 bytes asked, 1,920 bytes free; batch_size=20 should fit (a row takes about "
        "96 bytes in a step, 1,920 are free for them)"
    )
    trainer.fit(X, Y, epochs=1, batch_size=20, stream=stream)


def test_where_the_estimate_is_too_low_half_the_batch_is_named():
    message = fails(make_trainer(backend=Tight(free=2000, a_row=1000)), batch_size=64, stream=False)
    assert re.search(r"; batch_size=20 should fit", message)
    message = fails(make_trainer(backend=Tight(free=2000, a_row=1000)), batch_size=16, stream=False)
    assert re.search(r" batch_size=8 should fit", message)


def test_streaming_is_named_where_data_take_more_than_a_batch():
    backend = Tight(free=200)
    message = fails(make_trainer(backend=backend), batch_size=8, stream=False)
    assert message.startswith("cpu: 768 bytes asked, 200 bytes free; the data take 2,060 bytes: ")
    assert ": pass stream=True; or batch_size=2 should fit (" in message


def test_streaming_is_named_where_data_do_not_get_there(monkeypatch):
    monkeypatch.setattr(feeding, "HALF_BYTES", 500)
    backend = Tight(free=10**6, largest=103 * 4 * 4 - 1)
    message = fails(make_trainer(backend=backend), stream=False)
    assert message == (
        "cpu: 1,648 bytes asked, 1,000,000 bytes free; X takes 1,648 bytes there: train with "
        "stream=True, or on fewer rows"
    )
    make_trainer(backend=backend).fit(X, Y, epochs=1, stream=True, batch_size=10)
    message = fails(make_trainer(backend=backend), stream=True, batch_size=103)
    assert message.endswith(
        "; streaming keeps batches of 103 rows there: choose a smaller batch_size"
    )


def test_a_network_that_does_not_get_there():
    class Wide(cr.Dense):
        def init(self, rng, in_shape):
            raise OutOfMemoryError(5, 77)

    trainer = make_trainer(cr.Sequential(Wide(3)), backend=Tight(free=10**6))
    assert fails(trainer).endswith(
        " what the optimizer keeps of them need it: train a smaller network"
    )


def test_a_full_batch_optimizer_names_fewer_rows(monkeypatch):
    trainer = make_trainer(optimizer=cr.lbfgs(), backend=Tight(free=10**6))

    def gradients(*_):
        raise OutOfMemoryError(5, 77)

    monkeypatch.setattr(trainer.programs, "gradients", lambda: gradients)
    assert fails(trainer).endswith("; lbfgs takes all rows at once: pass fewer")


@pytest.mark.parametrize("verb", ["evaluate", "predict", "predict_labels"])
def test_scoring_and_predicting(monkeypatch, verb):
    class Costly(cr.Dense):
        def forward(self, xp, params, x):
            if len(x) > 40:
                raise OutOfMemoryError(12345, 77)
            return super().forward(xp, params, x)

    trainer = make_trainer(cr.Sequential(Costly(3)), backend=Tight(free=10**6))
    trainer.fit(X, Y, epochs=1, progress="off")
    monkeypatch.setattr(evaluation, "ROWS", 50)
    with pytest.raises(MemoryError) as caught:
        getattr(trainer, verb)(*((X, Y) if verb == "evaluate" else (X,)))
    assert str(caught.value) == (
        "cpu: 12,345 bytes asked, 1,000,000 bytes free; 50 rows are computed at a time: pass "
        "fewer, 25 or less"
    )


def test_pytorchs_error_is_read_as_well():
    torch = pytest.importorskip("torch")
    backend = make_backend("torch")
    text = (
        "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 512.25 MiB is free. Process 1 has 78.00 GiB memory in use."
    )
    with (
        pytest.raises(MemoryError, match=r"^cpu: 22,011,707,392 bytes asked, 537,133,056 bytes f"),
        explained(backend, lambda: "go"),
    ):
        raise torch.OutOfMemoryError(text)
    with (
        pytest.raises(
            MemoryError, match=r"^cpu: an unknown number of bytes asked, an unknown numb"
        ),
        explained(backend, lambda: "go"),
    ):
        raise torch.OutOfMemoryError("CUDA error: out of memory")


def test_other_errors_pass():
    for error in (MemoryError("the host's"), ValueError("other")):
        with (
            pytest.raises(type(error)) as caught,
            explained(make_backend("numpy"), lambda: "go"),
        ):
            raise error
        assert caught.value is error


def test_what_the_failed_work_held_is_let_go_of_before_the_way_out():
    held = []

    class Held:
        def __del__(self):
            held.remove(id(self))

    def work():
        array = Held()
        held.append(id(array))
        raise OutOfMemoryError(1, 2)

    seen = []

    def way_out():
        seen.append(list(held))
        return ""

    with pytest.raises(MemoryError), explained(make_backend("numpy"), way_out):
        work()
    assert seen == [[]]


@pytest.mark.parametrize(
    ("net", "dtype", "expected"),
    [
        (classifier(), "float32", NET_BYTES),
        (classifier(), "float64", 2 * NET_BYTES),
        (classifier(), "float16", NET_BYTES // 2),
        (cr.Sequential(cr.Dense(3)), "float32", 4 * 4),
        # the input, 8 outputs of Dense that ReLU keeps, 8 of ReLU, a mask of 8 bytes, 8 of Dropout
        (classifier(3, cr.ReLU(), cr.Dropout(0.5)), "float32", 4 * (4 + 8 + 8) + 8),
    ],
)
def test_what_a_pass_keeps_of_a_row(net, dtype, expected):
    trainer = make_trainer(net, dtype=dtype).build((4,))
    assert kept_bytes(trainer) == expected


def test_a_network_that_numpy_cannot_run_has_no_estimate():
    class Odd(cr.Dense):
        def forward(self, xp, params, x):
            if isinstance(x, np.ndarray):
                raise TypeError("not NumPy")
            return super().forward(xp, params, x)

    trainer = make_trainer(cr.Sequential(Odd(3)), backend=Tight(free=10))
    trainer.build((4,))
    assert kept_bytes(trainer) == 0
    assert fitting_rows(trainer, 9) == (4, "half of it")


def test_free_memory_is_what_the_backend_tells():
    assert memory.free_memory(Tight(free=3)) == 3
    assert memory.free_memory(make_backend("numpy")) is None
