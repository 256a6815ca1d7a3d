"""Names, devices and dtypes; what is said when a library or a device is not there."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import chainrule
from chainrule import backends
from chainrule.backends import Backend, Status, available, get
from chainrule.errors import BackendError, InputError
from libraries import make_backend

MODULES = {"cupy": "cupy", "torch": "torch", "jax": "jax", "strict": "array_api_strict"}


def hide(monkeypatch, name):
    monkeypatch.setitem(sys.modules, MODULES[name], None)


def one_line(caught):
    return "\n" not in str(caught.value)


def status_of(name):
    return next(status for status in available() if status.name == name)


def test_each_is_a_backend(library):
    backend = make_backend(library, "float64")
    assert isinstance(backend, Backend)
    assert backend.dtype == "float64"
    assert backend.name == library.partition("-")[0]
    assert backend.choice == ""
    assert make_backend(library).dtype == "float32"


def test_a_backend_is_returned_as_it_is():
    backend = get("numpy", "float64")
    assert get(backend) is backend
    assert get(backend, "float32") is backend


@pytest.mark.parametrize(
    ("spec", "device"),
    [
        ("numpy", "cpu"),
        ("numpy:cpu", "cpu"),
        ("torch", "cpu"),
        ("torch:cpu", "cpu"),
        ("jax:cpu", "cpu"),
        ("strict", "cpu"),
        ("strict:no_float64", "no_float64"),
    ],
)
def test_device_after_a_colon(spec, device):
    backend = make_backend(spec)
    assert backend.device == device


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("numpi", r"backend='numpi' is unknown \(did you mean 'numpy'\?\); expected one of auto, "),
        ("Torch", r"did you mean 'torch'\?"),
        ("tensorflow:0", "backend='tensorflow:0' is unknown.*with a device after a colon"),
        ("", "backend='' is unknown; expected one of"),
        ("auto:1", "auto takes no device; name the library, as in 'cupy:1'"),
        ("numpy:cuda", "no device 'cuda:0': NumPy runs on the CPU alone; devices here: cpu"),
        ("numpy:-1", "no device '-1'"),
        ("strict:gpu7", "no device 'gpu7'.*devices here: cpu, no_float64"),
    ],
)
def test_unknown_names_and_devices(spec, message):
    if spec.startswith("strict"):
        make_backend("strict")
    with pytest.raises(BackendError, match=message) as caught:
        get(spec)
    assert one_line(caught)


@pytest.mark.parametrize("dtype", ["bfloat", "float", "", "int32", None, float])
def test_unknown_dtype(dtype):
    with pytest.raises(InputError, match="expected one of float32, float64, float16, bf") as caught:
        get("numpy", dtype)
    assert f"dtype={dtype!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "dtype", "expected"),
    [
        ("numpy", "bfloat16", "NumPy on cpu .*; use float32, float64, float16, or backend='t"),
        ("strict", "bfloat16", "array-api-strict on cpu .*; use float32, float64, or backend='t"),
        ("strict", "float16", "array-api-strict on cpu .*; use float32, float64, or another"),
        ("strict:no_float64", "float64", "array-api-strict on no_float64 .*; use float32, or a"),
    ],
)
def test_dtype_a_library_lacks(spec, dtype, expected):
    make_backend(spec)
    with pytest.raises(BackendError, match=f"^dtype='{dtype}': {expected}") as caught:
        get(spec, dtype)
    assert one_line(caught)


@pytest.mark.parametrize("spec", [3, None, ["numpy"]])
def test_neither_name_nor_backend(spec):
    with pytest.raises(InputError, match="expected a name such as 'numpy' or 'torch:cuda'"):
        get(spec)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cupy", r'CuPy is not installed; pip install "chainrule\[cuda12\]" \(or cuda13\)'),
        ("torch", r'PyTorch is not installed; pip install "chainrule\[torch\]"'),
        ("jax", r'JAX is not installed; pip install "chainrule\[jax\]"'),
        ("strict", "array-api-strict is not installed; pip install array-api-strict"),
    ],
)
def test_missing_library(monkeypatch, name, message):
    hide(monkeypatch, name)
    with pytest.raises(BackendError, match=f"backend='{name}': {message}") as caught:
        get(name)
    assert one_line(caught)
    status = status_of(name)
    assert not status.usable
    assert status.reason in str(caught.value)
    assert status.install in str(caught.value)


def test_library_found_by_its_finder_alone(monkeypatch):
    looked_for = []
    monkeypatch.setattr(backends, "find_spec", lambda name: looked_for.append(name))
    with pytest.raises(BackendError, match="PyTorch is not installed"):
        get("torch")
    assert looked_for == ["torch"]


@pytest.mark.parametrize("error", [OSError("libcudart.so.12: cannot open\nmore"), RuntimeError()])
def test_broken_library_is_reported_never_raised(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(backends, "_installed", lambda module: True)
    monkeypatch.setattr(backends, "_module", fail)
    with pytest.raises(BackendError, match="PyTorch is installed but does not work") as caught:
        get("torch")
    assert one_line(caught)
    assert type(error).__name__ in str(caught.value)
    assert "reinstall it: pip install" in str(caught.value)
    assert [status.usable for status in available()] == [False] * 5


def test_missing_cuda_is_said_never_a_fall_to_the_cpu():
    make_backend("torch")
    if len(status_of("torch").devices) > 1:
        pytest.skip("a CUDA device is here")
    for spec in ("torch:cuda", "torch:cuda:1"):
        with pytest.raises(BackendError, match=r"0 CUDA devices.*; devices here: cpu$") as caught:
            get(spec)
        assert one_line(caught)


def test_torch_says_why_its_driver_fails(monkeypatch):
    make_backend("torch")
    module = sys.modules["chainrule.backends.torch"]

    def init():
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    stub = SimpleNamespace(
        version=SimpleNamespace(cuda="12.8", hip=None), cuda=SimpleNamespace(init=init)
    )
    monkeypatch.setattr(module, "_torch", stub)
    with pytest.raises(BackendError, match=r"0 CUDA devices \(Found no NVIDIA driver on your sys"):
        get("torch:cuda")
    stub.cuda = SimpleNamespace(init=lambda: None, device_count=lambda: 2)
    assert status_of("torch").devices == ("cpu", "cuda:0", "cuda:1")
    for spec, device in (("torch:cuda", "cuda:0"), ("torch:cuda:1", "cuda:1")):
        assert get(spec).device == device
    message = "no device 'cuda:2': PyTorch finds 2 CUDA devices; devices here: cpu, cuda:0, cuda:1"
    with pytest.raises(BackendError, match=message):
        get("torch:cuda:2")
    with pytest.raises(BackendError, match="no device 'cuda:-1'"):
        get("torch:cuda:-1")
    with pytest.raises(BackendError, match="PyTorch's device 'mps' is not offered"):
        get("torch:mps")


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:1", "tpu", "-1"])
def test_missing_jax_device(device):
    make_backend("jax")
    if status_of("jax").devices != ("cpu",):
        pytest.skip("an accelerator is here")
    with pytest.raises(BackendError, match=r"JAX finds 0 devices of .*here: cpu$") as e:
        get(f"jax:{device}")
    assert one_line(e)


def test_jax_device_out_of_range():
    make_backend("jax")
    with pytest.raises(BackendError, match=r"no device 'cpu:99': JAX finds .* of kind 'cpu'"):
        get("jax:cpu:99")


def test_jax_names_its_devices(monkeypatch):
    make_backend("jax")
    module = sys.modules["chainrule.backends.jax"]
    found = [SimpleNamespace(platform="gpu", id=i) for i in range(2)]
    cpu = [SimpleNamespace(platform="cpu", id=i) for i in range(2)]
    local = {None: found, "cpu": cpu}
    stub = SimpleNamespace(local_devices=lambda backend=None: list(local[backend]))
    monkeypatch.setattr(module, "_jax", stub)
    module._by_name.cache_clear()
    try:
        assert module.devices() == ("cuda:0", "cuda:1", "cpu", "cpu:1")
        assert get("jax").device == "cuda:0"
        assert get("jax:gpu").device == "cuda:0"
        assert get("jax:cuda:1").device == "cuda:1"
    finally:
        module._by_name.cache_clear()


def test_auto_says_why_it_chose_numpy(monkeypatch):
    hide(monkeypatch, "cupy")
    backend = get("auto", "float64")
    assert (backend.name, backend.dtype) == ("numpy", "float64")
    assert backend.choice == "auto chose numpy: CuPy is not installed"


def test_status_table_is_readable():
    table = available()
    assert [status.name for status in table] == ["numpy", "cupy", "torch", "jax", "strict"]
    lines = str(table).splitlines()
    assert len(lines) == 6
    assert lines[0].split()[:4] == ["backend", "usable", "version", "devices"]
    column = lines[0].index("usable")
    for status, line in zip(table, lines[1:], strict=True):
        assert line.startswith(status.name)
        assert line[column:].startswith("yes" if status.usable else "no ")
        assert bool(status.reason) != status.usable
        assert bool(status.install) != status.usable
    own = Status("numpy", True, table[0].version, ("cpu",), "LLVM (llvmlite)")
    assert table[0] == own


def test_without_llvmlite_the_table_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("chainrule.backends.numpy.find_spec", lambda name: None)
    status = available()[0]
    assert status.usable
    assert not status.compiler
    assert status.reason == "steps run eagerly: llvmlite is not installed"
    assert status.install == 'pip install "chainrule[fast]"'


def test_the_table_prints_in_full():
    table = available()
    assert repr(table) == str(table)


def test_a_module_without_a_spec_counts_as_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    with pytest.raises(ValueError, match="__spec__"):
        importlib.util.find_spec("cupy")
    monkeypatch.delitem(sys.modules, "chainrule.backends.cupy", raising=False)
    assert "does not work" in status_of("cupy").reason


def test_importing_the_backends_imports_no_library():
    code = (
        "import sys, chainrule.backends as b; b.get('numpy'); b.library_of(1.0)\n"
        "try:\n    b.get('torhc')\nexcept ValueError:\n    pass\n"
        "heavy = {'torch', 'jax', 'cupy', 'array_api_compat', 'array_api_strict', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    source = str(Path(chainrule.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "[]"
