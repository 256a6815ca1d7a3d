"""The CuPy backend's logic against a stand-in for CuPy, for machines without a CUDA device."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

from chainrule import backends
from chainrule.backends import available, get
from chainrule.backends.base import DeviceMemory, Overlapping
from chainrule.certify import certify
from chainrule.cli.app import app
from chainrule.errors import BackendError, InputError


class StandIn(np.ndarray):
    """A NumPy array that knows on which pretended device it was made."""

    stack: ClassVar = [0]  # the devices entered, the innermost last

    def __array_finalize__(self, other):
        self.number = self.stack[-1]

    @property
    def device(self):
        return SimpleNamespace(id=self.number)


class Device:
    def __init__(self, number):
        self.number = number

    def __enter__(self):
        StandIn.stack.append(self.number)

    def __exit__(self, *exception):
        StandIn.stack.pop()

    def synchronize(self):
        StandIn.synchronized = self.number


def module(name, **members):
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    made.__dict__.update(members)
    return made


@pytest.fixture
def cupy(monkeypatch):
    """A stand-in for CuPy with two devices; `cupy.count` sets their number or an error."""

    def count():
        if isinstance(stub.count, Exception):
            raise stub.count
        return stub.count

    stub = module(
        "cupy",
        __version__="14.2.0",
        ndarray=StandIn,
        count=2,
        array=lambda x, order: np.array(x, order=order).view(StandIn),
        asnumpy=lambda x, order: np.array(x, order=order),
        take=lambda x, indices, axis: np.take(x, indices, axis=axis),
        full=lambda shape, value, dtype: np.full(shape, value, dtype).view(StandIn),
        cuda=SimpleNamespace(
            Device=Device,
            runtime=SimpleNamespace(getDeviceCount=count, runtimeGetVersion=lambda: 12090),
            nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
            cublas=None,
        ),
        compute_types={"float32": 1},
    )
    stub._core = SimpleNamespace(
        get_compute_type=stub.compute_types.__getitem__,
        set_compute_type=stub.compute_types.__setitem__,
    )
    monkeypatch.setitem(sys.modules, "cupy", stub)
    monkeypatch.setitem(
        sys.modules, "array_api_compat.cupy", module("array_api_compat.cupy", isdtype=np.isdtype)
    )
    monkeypatch.delitem(sys.modules, "chainrule.backends.cupy", raising=False)
    yield stub
    sys.modules.pop("chainrule.backends.cupy", None)
    vars(backends).pop("cupy", None)
    assert StandIn.stack == [0]


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize(
    ("spec", "device"),
    [
        ("cupy", "cuda:0"),
        ("cupy:1", "cuda:1"),
        ("cupy:cuda", "cuda:0"),
        ("cupy:cuda:1", "cuda:1"),
    ],
)
def test_device(spec, device):
    backend = get(spec)
    assert (backend.name, backend.device, backend.dtype) == ("cupy", device, "float32")


@pytest.mark.usefixtures("cupy")
def test_auto_chooses_cupy_and_says_so():
    backend = get("auto", "float16")
    assert (backend.name, backend.device, backend.dtype) == ("cupy", "cuda:0", "float16")
    assert backend.choice == "auto chose cupy on cuda:0"


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("spec", ["cupy:2", "cupy:cuda:2", "cupy:-1", "cupy:cpu"])
def test_no_such_device(spec):
    message = "CuPy 14.2.0 finds 2 CUDA devices; devices here: cuda:0, cuda:1"
    with pytest.raises(BackendError, match=message):
        get(spec)


@pytest.mark.parametrize("count", [0, RuntimeError("CUDA driver version is insufficient\nmore")])
def test_no_device_at_all(cupy, count):
    cupy.count = count
    reason = "CuPy 14.2.0 finds 0 CUDA devices"
    for spec in ("cupy", "cupy:1"):
        with pytest.raises(BackendError, match=f"{reason}.*install an NVIDIA driver") as caught:
            get(spec)
        assert "\n" not in str(caught.value)
    if count:
        assert "driver version is insufficient" in str(caught.value)
    assert get("auto").choice.startswith(f"auto chose numpy: {reason}")
    status = next(status for status in available() if status.name == "cupy")
    assert (status.usable, status.version, status.devices) == (False, "14.2.0", ())


@pytest.mark.usefixtures("cupy")
def test_arrays_go_to_the_device_and_back():
    backend = get("cupy:1")
    host = np.arange(6, dtype=">f8").reshape(2, 3)[::-1]
    own = backend.asarray(host, "float")
    assert own.device.id == 1
    assert backend.owns(own)
    assert not backend.owns(host)
    back = backend.to_numpy(own)
    np.testing.assert_array_equal(back, host.astype(np.float32), strict=True)
    assert type(back) is np.ndarray
    assert backend.asarray(own) is own
    assert backend.asarray([1, 0], "index").dtype == np.int64
    np.testing.assert_array_equal(backend.gather(own, backend.asarray([1, 0], "index")), host[::-1])
    assert backend.to_numpy(2.0) == 2.0


@pytest.mark.usefixtures("cupy")
def test_another_devices_array_is_copied_here():
    own = get("cupy:0").asarray(np.arange(3.0))
    moved = get("cupy:1").asarray(own, "float")
    assert (own.device.id, moved.device.id) == (0, 1)
    assert moved.dtype == np.float32


@pytest.mark.usefixtures("cupy")
def test_stage_scope_and_synchronize():
    backend = get("cupy:1", "float64")
    rates = backend.stage(np.asarray([0.1]), "float")
    assert (rates.shape, rates.dtype, rates.device.id) == ((1,), np.float64, 1)
    with backend.scope():
        assert StandIn.stack == [0, 1]
    backend.synchronize()
    assert StandIn.synchronized == 1
    assert backend.compile(len, donate=(0,)) is len


@pytest.mark.usefixtures("cupy")
def test_refusals():
    backend = get("cupy")
    with pytest.raises(InputError, match="float64 values for dtype='index'"):
        backend.asarray(backend.asarray(np.ones(2)), "index")
    with pytest.raises(InputError, match=r"backend 'cupy' got a numpy.ma MaskedArray"):
        backend.asarray(np.ma.masked_array([1.0]))


def test_free_memory_counts_the_pools_and_heeds_its_limit(cupy):
    limits = []
    cupy.get_default_memory_pool = lambda: SimpleNamespace(
        free_bytes=lambda: 30, used_bytes=lambda: 500, get_limit=lambda: limits[-1]
    )
    cupy.cuda.runtime.memGetInfo = lambda: (1000 + StandIn.stack[-1], 5000)
    for limit, free in ((0, 1031), (600, 100), (9000, 1031)):
        limits.append(limit)
        backend = get("cupy:1")
        assert isinstance(backend, DeviceMemory)
        assert backend.free_memory() == free


def test_a_row_buffer_is_made_on_the_device(cupy):
    made = []

    def event(disable_timing):
        return SimpleNamespace(record=lambda stream: made.append(StandIn.stack[-1]))

    cupy.cuda.Stream = lambda non_blocking: None
    cupy.cuda.Event = event
    cupy.cuda.get_current_stream = lambda: None
    cupy.cuda.alloc_pinned_memory = bytearray
    cupy.empty = lambda shape, dtype: np.empty(shape, dtype).view(StandIn)
    backend = get("cupy:1")
    assert isinstance(backend, Overlapping)
    buffer = backend.row_buffer(5, {"x": ((3,), "float32"), "y": ((), "int64")})
    assert {name: (a.shape, a.dtype) for name, a in buffer.data.items()} == {
        "x": ((10, 3), np.float32),
        "y": ((10,), np.int64),
    }
    assert {array.device.id for array in buffer.data.values()} == set(made) == {1}


def on_device(function):
    """Return a function of NumPy whose results lie on the pretended device."""

    def made(*args, device=None, **settings):
        assert device is None or device.id == StandIn.stack[-1]
        return np.asarray(function(*args, **settings)).view(StandIn)

    return made


@pytest.fixture
def computing(cupy, monkeypatch):
    """A stand-in for CuPy that computes what NumPy does, and knows on which device."""
    xp = module("array_api_compat.cupy", **vars(np))
    for name in ("arange", "asarray", "full", "ones", "ones_like", "zeros", "zeros_like", "stack"):
        setattr(xp, name, on_device(getattr(np, name)))
    pool = SimpleNamespace(free_bytes=lambda: 0, used_bytes=lambda: 0, get_limit=lambda: 0)
    cupy.get_default_memory_pool = lambda: pool
    cupy.cuda.runtime.memGetInfo = lambda: (10**9, 10**9)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", xp)
    return cupy


@pytest.mark.usefixtures("computing")
def test_it_is_certified_against_numpy():
    certificate = certify("xor", ["numpy", "cupy:1"], steps=12, deterministic=True)
    assert certificate.passed, str(certificate)
    rows = [(row.backend, row.device, row.dtype, row.repeats) for row in certificate.rows]
    assert rows == [
        ("numpy", "cpu", "float64", True),
        ("numpy", "cpu", "float32", True),
        ("cupy:1", "cuda:1", "float64", True),
        ("cupy:1", "cuda:1", "float32", True),
    ]
    assert certificate.rows[3].version == "14.2.0"


@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize("backend", ["cupy", "auto"])
def test_the_command_line_trains_and_certifies_on_it(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["train", "xor", "--backend", backend, "--epochs", "2", "--matmul-precision", "tf32"]
    trained = CliRunner().invoke(app, [*command, "--deterministic", "--json"])
    assert trained.exit_code == 0, trained.stderr
    about = json.loads(trained.stdout)
    assert (about["backend"], about["device"]) == ("cupy", "cuda:0")
    assert (about["dtype"], about["matmul_precision"]) == ("float32", "tf32")
    assert about["deterministic"] is True
    command = ["certify", "xor", "--backends", "numpy,cupy", "--steps", "3"]
    certified = CliRunner().invoke(app, command)
    assert certified.exit_code == 0, certified.stderr
    assert certified.stdout.splitlines()[-1] == "PASSED: 4 of 4 runs"


@pytest.mark.parametrize(
    "command",
    [["train", "xor", "--backend", "cupy"], ["certify", "xor", "--backends", "numpy,cupy"]],
)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("package", 'CuPy is not installed; pip install "chainrule[cuda12]" (or cuda13)'),
        ("driver", "CuPy 14.2.0 finds 0 CUDA devices (no driver); install an NVIDIA driver that"),
        ("library", "CuPy is installed but does not work (ImportError: no libnvrtc.so.12); rein"),
    ],
)
def test_what_is_missing_is_one_line_and_exit_code_2(
    cupy, monkeypatch, tmp_path, command, fault, message
):
    def fail():
        raise ImportError("no libnvrtc.so.12")

    monkeypatch.chdir(tmp_path)
    if fault == "package":
        monkeypatch.setitem(sys.modules, "cupy", None)
    elif fault == "driver":
        cupy.count = RuntimeError("no driver")
    else:
        cupy.cuda.nvrtc.getVersion = fail
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"chainrule: error: backend='cupy': {message}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("precision", "inside"), [("float32", 1), ("tf32", 7)])
def test_tf32_is_in_its_scope_alone(cupy, precision, inside):
    for before in (1, 7):
        cupy.compute_types["float32"] = before
        with get("cupy", matmul_precision=precision).scope():
            assert cupy.compute_types["float32"] == inside
        assert cupy.compute_types["float32"] == before


@pytest.mark.usefixtures("cupy")
def test_bfloat16_through_ml_dtypes():
    pytest.importorskip("ml_dtypes")
    backend = get("cupy", "bfloat16")
    assert backend.xp.bfloat16.name == "bfloat16"
    own = backend.asarray([[1.0, 1.00390625, 1.01171875]], "float")
    assert own.dtype == backend.xp.bfloat16
    back = backend.to_numpy(own)
    np.testing.assert_array_equal(back, np.float32([[1.0, 1.0, 1.015625]]), strict=True)
    again = get("cupy").asarray(own, "float")
    np.testing.assert_array_equal(backend.to_numpy(again), back, strict=True)
    with pytest.raises(InputError, match="bfloat16 values for dtype='index'"):
        backend.asarray(own, "index")


@pytest.mark.parametrize("lacking", ["CuPy 14", "ml_dtypes"])
def test_without_bfloat16(cupy, monkeypatch, lacking):
    if lacking == "ml_dtypes":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        cupy.__version__ = "13.6.0"
    message = (
        r"^dtype='bfloat16': CuPy on cuda:0 has none; use float32, float64, float16, or "
        r"backend='torch' or 'jax' \(or 'cupy': CuPy 14 with ml_dtypes\)$"
    )
    with pytest.raises(BackendError, match=message):
        get("cupy", "bfloat16")
