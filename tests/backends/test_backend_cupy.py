"""The CuPy backend's logic against a stand-in for CuPy, for machines without a CUDA device."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from chainrule import backends
from chainrule.backends import available, get
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
        cuda=SimpleNamespace(Device=Device, runtime=SimpleNamespace(getDeviceCount=count)),
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
