"""Data that stay on the host: the same bits as data on the device, a window of rows at a time."""

import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.numpy import NumpyBackend
from chainrule.data.sampler import Sampler
from chainrule.train import evaluation, feeding, host_rows, inputs
from chainrule.train.feeding import Resident, Streamed, feed
from chainrule.train.fit import batch_rows
from chainrule.train.host_rows import HostRows, parts
from libraries import make_backend
from train.problems import assert_same, blobs, classifier, host_params, make_trainer, plane
from train.test_stream_choice import Small

X, Y = blobs(103)
PX, PY = plane(103)
WEIGHT = np.random.default_rng(5).uniform(0.5, 2.0, 103)


@pytest.fixture
def windows(monkeypatch):
    """Let everything be cut small, so that an epoch has several windows and a short last one."""
    monkeypatch.setattr(feeding, "HALF_BYTES", 1300)
    monkeypatch.setattr(inputs, "BLOCK", 200)
    monkeypatch.setattr(host_rows, "PIECE", 90)
    monkeypatch.setattr(evaluation, "ROWS", 10)


def outcome(trainer, x, y, **settings):
    """Train; return the parameters, and the history without times."""
    history = trainer.fit(x, y, **({"epochs": 3, "batch_size": 10} | settings))
    timed = ("seconds", "samples_per_second")
    records = [{k: v for k, v in r.items() if k not in timed} for r in history.records]
    return host_params(trainer), records


def same_both_ways(x, y, make=make_trainer, **settings):
    """Train with data on the device and on the host; assert that nothing differs."""
    resident, streamed = make(), make()
    one = outcome(resident, x, y, stream=False, **settings)
    other = outcome(streamed, x, y, stream=True, **settings)
    assert (resident.streamed, streamed.streamed) == (False, True)
    assert_same(one[0], other[0])
    assert one[1] == other[1]


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_every_library(library, dtype):
    def make():
        net = cr.Sequential(cr.Dense(8), cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.3), cr.Dense(3))
        return make_trainer(net, backend=make_backend(library, dtype))

    same_both_ways(X, Y, make, validation=0.2, sample_weight=WEIGHT)
    same_both_ways(X, Y, make, validation=(X[:33], Y[:33]), drop_last=True)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("spec", ["numpy", "jax"])
def test_the_same_bits_of_a_compiled_program(spec):
    pytest.importorskip("llvmlite" if spec == "numpy" else "jax")

    def make():
        net = classifier(3, cr.ReLU(), cr.Dropout(0.3))
        return make_trainer(net, backend=make_backend(spec), compile=True)

    same_both_ways(X, Y, make, callbacks=[])
    same_both_ways(X.astype(np.float32), Y, make, batch_size=103)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    "settings",
    [
        {"balanced": True},
        {"accumulate": 3},
        {"shuffle": False},
        {"batch_size": 1},
        {"batch_size": None},
        {"batch_size": 60},
    ],
    ids=str,
)
def test_the_same_bits_for_every_way_to_make_batches(settings):
    same_both_ways(X, Y, **settings)


@pytest.mark.usefixtures("windows")
def test_the_same_bits_for_every_kind_of_target():
    probabilities = np.eye(3)[Y] * 0.7 + 0.1
    same_both_ways(X, probabilities)
    same_both_ways(X, Y[:, None].astype(np.float32))
    for loss, y in (("squared_error", PY), ("sigmoid_cross_entropy", (PY > 0).astype(np.uint8))):
        same_both_ways(PX, y, lambda loss=loss: make_trainer(cr.Sequential(cr.Dense(2)), loss))
    same_both_ways(PX, list(PY[:, 0]), lambda: make_trainer(cr.Sequential(cr.Dense(1)), "huber"))


def layouts():
    """Return arrays (103, 4) of one content in every layout and width."""
    pixels = np.random.default_rng(3).integers(0, 256, (103, 4))
    wide = np.zeros((103, 9))
    wide[:, 1:8:2] = pixels
    read_only = pixels.astype(np.float64)
    read_only.flags.writeable = False
    return {
        "float32": pixels.astype(np.float32),
        "float64": pixels.astype(np.float64),
        "uint8": pixels.astype(np.uint8),
        "columns first": np.asfortranarray(pixels, dtype=np.float32),
        "every second column": wide[:, 1:8:2],
        "backwards": np.ascontiguousarray(pixels[::-1], dtype=np.float32)[::-1],
        "big-endian": pixels.astype(">f4"),
        "read-only": read_only,
        "list": pixels.tolist(),
    }


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("layout", layouts())
def test_every_layout_of_host_data(layout):
    backend = make_backend("numpy")
    x = layouts()[layout]
    own = inputs.prepare_x(backend, x, None, stream=True)
    golden = np.array([[float(value) for value in row] for row in layouts()["list"]], np.float32)
    assert isinstance(own, HostRows)
    assert (own.shape, own.dtype, own.row_bytes) == ((103, 4), np.float32, 16)
    rows = np.array([5, 102, 0, 5, 64, 33, 77, 2])
    out = np.empty((8, 4), np.float32)
    own.take(rows, out)
    np.testing.assert_array_equal(out, golden[rows], strict=True)
    np.testing.assert_array_equal(np.asarray(own), golden, strict=True)
    np.testing.assert_array_equal(own[90:], golden[90:], strict=True)
    part = own.subset(np.arange(102, -1, -1)).subset(rows)
    np.testing.assert_array_equal(np.asarray(part), golden[102 - rows], strict=True)
    same_both_ways(x, Y)


def test_a_host_array_of_the_right_dtype_is_not_copied():
    x = X.astype(np.float32)
    own = inputs.prepare_x(make_backend("numpy"), x, None, stream=True)
    assert isinstance(own, HostRows)
    assert np.shares_memory(own.source, x)
    copy = np.array(own, copy=True)
    assert not np.shares_memory(copy, x)


def test_a_mapped_file_is_never_in_memory_as_a_whole(tmp_path, monkeypatch):
    rows, features = 20_000, 100
    data = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", shape=(rows, features))
    data[:] = np.random.default_rng(0).normal(size=(rows, features))
    data.flush()
    y = (data[:, 0] > 0).astype(np.uint8)
    monkeypatch.setattr(feeding, "HALF_BYTES", 2**20)
    monkeypatch.setattr(inputs, "BLOCK", 2**20)
    peaks, params = {}, {}
    for stream in (True, False):
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
        trainer = make_trainer(cr.Sequential(cr.Dense(2)), dtype="float32", compile=False)
        tracemalloc.start()
        try:
            trainer.fit(x, y, epochs=1, batch_size=500, stream=stream)
            peaks[stream] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        params[stream] = host_params(trainer)
    assert_same(params[True], params[False])
    in_float32 = rows * features * 4
    assert peaks[False] > in_float32
    assert peaks[True] < in_float32 * 0.6


@pytest.mark.usefixtures("windows")
def test_faults_in_data_that_stay_on_the_host_read_the_same():
    def changed(array, place, value):
        array = np.array(array, dtype=np.float64)
        array[place] = value
        return array

    deep = changed(changed(X, (101, 2), np.nan), (77, 1), np.inf)
    probabilities = changed(np.eye(3)[Y], (90, 1), 0.5)
    net = cr.Sequential(cr.Dense(2))
    numbers = (net, "squared_error")
    yes = (net, "sigmoid_cross_entropy")
    for problem, x, y, weight, message in (
        ((), deep, Y, None, r"^X holds 2 NaN or infinite values, the first at X\[77, 1\]; impute"),
        ((), changed(X, (99, 3), 1e300), Y, None, r"^X\[99, 3\] is 1e\+300, too large for float32"),
        ((), X, changed(Y, 88, np.nan), None, r"^y holds 1 NaN .* first at y\[88\]; impute"),
        ((), X, changed(Y, 88, 7), None, "^y holds the label 7 at row 88; "),
        ((), X, probabilities, None, r"^y's row 90 sums to 1\.5"),
        (numbers, PX, changed(PY, (70, 1), np.inf), None, r"^y holds 1 .* at y\[70, 1\]"),
        (yes, PX, changed(PY > 0, (71, 0), 2), None, "^y holds 2 at row 71; sigmoid"),
        ((), X, Y, -WEIGHT, "^sample_weight: expected numbers of at least 0"),
        ((), X, Y, changed(WEIGHT, 66, np.nan), r"^sample_weight holds 1 .*sample_weight\[66\]"),
    ):
        said = []
        for stream in (True, False):
            trainer = make_trainer(*problem, dtype="float32")
            with pytest.raises(cr.InputError, match=message) as caught:
                trainer.fit(x, y, sample_weight=weight, stream=stream)
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.usefixtures("windows")
def test_callbacks_and_checkpoints_may_cut_windows(tmp_path):
    class Looks(cr.Callback):
        def __init__(self):
            self.losses = []

        def steps_until(self, step):
            return 1 + step % 3

        def on_steps_end(self, trainer, losses):
            self.losses += list(losses)

    found = []
    for stream in (False, True):
        looks = Looks()
        folder = tmp_path / str(stream)
        settings = {"callbacks": [looks], "checkpoint": folder, "checkpoint_every": 7}
        found.append((outcome(make_trainer(), X, Y, stream=stream, **settings), looks.losses))
    assert_same(found[0][0][0], found[1][0][0])
    assert found[0][1] == found[1][1]
    assert len(found[0][1]) == 3 * 11


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("first", [True, False])
def test_a_resumed_run_may_stream_or_not(tmp_path, first):
    class KilledError(Exception):
        pass

    class Kill(cr.Callback):
        def steps_until(self, step):
            return 17 - step if step < 17 else None

        def on_steps_end(self, trainer, losses):
            if trainer.position.step == 17:
                raise KilledError

    settings = {"epochs": 3, "batch_size": 10, "checkpoint": tmp_path, "checkpoint_every": 4}
    with pytest.raises(KilledError):
        make_trainer().fit(X, Y, stream=first, callbacks=[Kill()], **settings)
    again = make_trainer()
    again.fit(X, Y, stream=not first, resume=True, callbacks=[lambda record: None], **settings)
    whole = make_trainer()
    whole.fit(X, Y, epochs=3, batch_size=10)
    assert_same(host_params(again), host_params(whole))


@pytest.mark.parametrize("batch_size", [1, 7, 10, 103])
@pytest.mark.parametrize("half_bytes", [1, 500, 1300, 10**6])
@pytest.mark.parametrize("drop_last", [False, True])
def test_windows_give_the_rows_of_every_batch(monkeypatch, batch_size, half_bytes, drop_last):
    monkeypatch.setattr(feeding, "HALF_BYTES", half_bytes)
    backend = make_backend("numpy")
    sampler = Sampler(103, batch_size, seed=4, drop_last=drop_last)
    source = {"x": HostRows(backend, X, "float"), "y": HostRows(backend, Y, "index")}
    streamed = feed(backend, source, sampler)
    assert isinstance(streamed, Streamed)
    resident = feed(backend, {"x": X.astype(np.float32), "y": Y}, sampler)
    assert isinstance(resident, Resident)
    row_bytes = 4 * 4 + 8
    assert len(streamed.data["x"]) <= max(half_bytes // row_bytes, batch_size)
    arrays = dict(streamed.data)
    for epoch in range(3):
        start = 0
        while start < sampler.batches:
            stop = streamed.end(start)
            assert start < stop <= resident.end(start) == sampler.batches
            full = max(min(stop, 103 // batch_size), start)
            for first, last in ((start, full), (full, stop)):
                if first == last:
                    continue
                taken = []
                for given in (streamed, resident):
                    order, begin = given.rows(epoch, first)
                    rows = batch_rows(order, first - begin, last - begin, batch_size)
                    taken.append([array[rows] for array in given.data.values()])
                for one, other in zip(*taken, strict=True):
                    np.testing.assert_array_equal(one, other, strict=True)
            streamed.begun(3)
            start = stop
    assert all(streamed.data[name] is array for name, array in arrays.items())
    streamed.close()


def test_parts_cover_all_rows():
    for rows, row_bytes, size in ((0, 4, 8), (1, 4, 1), (10, 4, 8), (11, 0, 3), (5, 100, 10**9)):
        found = [number for part in parts(rows, row_bytes, size) for number in range(rows)[part]]
        assert found == list(range(rows))
    assert [part.stop - part.start for part in parts(10, 4, 12)] == [3, 3, 3, 1]


# what decides


def test_what_cannot_be_streamed():
    with pytest.raises(cr.InputError, match=r"^stream='yes': expected 'auto', True or False$"):
        make_trainer().fit(X, Y, stream="yes")
    full = make_trainer(optimizer=cr.lbfgs(), backend=Small(free=1, dtype="float64"))
    with pytest.raises(cr.InputError, match=r"^stream=True: lbfgs takes all rows at once$"):
        full.fit(X, Y, stream=True)
    full.fit(X, Y, epochs=1)
    assert (full.streamed, full.stream_reason) == (False, "lbfgs takes all rows at once")
    torch = make_backend("torch", "float64")
    x = torch.asarray(X)
    with pytest.raises(cr.InputError, match=r"^stream=True: X is an array of the backend already"):
        make_trainer(backend=torch).fit(x, Y, stream=True)
    trainer = make_trainer(backend=torch)
    trainer.fit(x, Y, epochs=1)
    assert not trainer.streamed
    same_both_ways(X, torch.asarray(Y), lambda: make_trainer(backend=torch))


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_large_data_are_scored_and_predicted_from_the_host(monkeypatch, task):
    (x, y), problem = (
        ((X, Y), ()) if task == "classes" else ((PX, PY), (cr.Sequential(cr.Dense(2)), "huber"))
    )
    large = make_trainer(*problem, backend=Small(free=10))
    reference = make_trainer(*problem, backend="numpy", dtype="float32")
    for trainer in (large, reference):
        trainer.fit(x, y, epochs=2, progress="off")
    assert large.streamed
    longest = []
    take = NumpyBackend.asarray

    def asarray(self, array, dtype=None):
        if dtype == "float" and np.ndim(array) == 2 and np.shape(array)[1] == x.shape[1]:
            longest.append(len(array))
        return take(self, array, dtype)

    monkeypatch.setattr(NumpyBackend, "asarray", asarray)
    assert large.evaluate(x, y, sample_weight=WEIGHT) == reference.evaluate(
        x, y, sample_weight=WEIGHT
    )
    assert max(longest) == 103
    assert longest.count(103) == 1  # the reference's
    np.testing.assert_array_equal(large.predict(x), reference.predict(x), strict=True)
    np.testing.assert_array_equal(large.predict(x[:7]), reference.predict(x[:7]), strict=True)
    if task == "classes":
        for name in ("predict_proba", "predict_labels"):
            found, expected = (getattr(t, name)(x) for t in (large, reference))
            np.testing.assert_array_equal(found, expected, strict=True)


def test_half_precision_streams_as_it_does_everything():
    same_both_ways(X, Y, lambda: make_trainer(dtype="float16"))


def test_an_interrupt_lets_go_of_what_streams(monkeypatch):
    closed = []
    close = Streamed.close
    monkeypatch.setattr(Streamed, "close", lambda self: closed.append(close(self)))

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_trainer().fit(X, Y, stream=True, callbacks=[stop])
    assert closed == [None]
