"""What a backend computes in: bfloat16, matmul_precision, deterministic; set in its scope alone."""

import contextlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.backends import base, get
from chainrule.cli import options
from chainrule.errors import BackendError, InputError
from libraries import make_backend

LIBRARIES = pytest.mark.parametrize("library", ["torch", "jax"])


def test_the_command_line_knows_the_same_names():
    assert options.DTYPES == base.DTYPES
    assert options.MATMUL_PRECISIONS == base.MATMUL_PRECISIONS


def test_defaults_and_fields(library):
    backend = make_backend(library)
    assert (backend.matmul_precision, backend.deterministic) == ("float32", False)
    if library != "numpy-readonly":
        assert get(library, deterministic=True).deterministic


@LIBRARIES
@given(x=hnp.arrays(st.sampled_from([np.float64, np.float32, np.int32]), (4, 3)))
def test_bfloat16_rounds_float32_to_the_nearest_even(library, x):
    """Against the definition: 2**15 and the bit to keep are added to the bits, then 16 cut."""
    backend = make_backend(library, "bfloat16")
    with np.errstate(over="ignore", invalid="ignore"):
        single = x.astype(np.float32)
        owns = backend.asarray(x, "float"), backend.asarray(backend.asarray(single), "float")
        staged = backend.stage(x, "float")
    bits = single.view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    expected = kept.astype(np.uint32).view(np.float32)
    expected[np.isnan(single)] = np.nan
    for own in (*owns, staged):
        assert own.dtype == backend.xp.bfloat16
        np.testing.assert_array_equal(backend.to_numpy(own), expected, strict=True)


@LIBRARIES
def test_bfloat16_arrays_are_taken_and_are_no_integers(library):
    short = make_backend(library, "bfloat16").asarray([1.0, 2.0], "float")
    backend = make_backend(library)
    assert backend.to_numpy(backend.asarray(short, "float")).tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match=r"bfloat16 values for dtype='index', expected integers"):
        backend.asarray(short, "index")


@pytest.mark.parametrize("spec", ["numpy", "strict", "auto"])
def test_a_cpu_has_no_tf32(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    make_backend(spec)
    message = r"^matmul_precision='tf32': .* on cpu has none; leave it out, or use backend='cupy', "
    with pytest.raises(BackendError, match=message) as caught:
        get(spec, matmul_precision="tf32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_tf32_is_for_float32(dtype):
    with pytest.raises(InputError, match=rf"^matmul_precision='tf32' is for .*got dtype='{dtype}'"):
        get("torch", dtype, matmul_precision="tf32")


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize(("precision", "inside"), [("float32", "highest"), ("tf32", "high")])
def test_torch_has_the_precision_in_its_scope_alone(before, precision, inside):
    torch = pytest.importorskip("torch")
    backend = get("torch", matmul_precision=precision)
    torch.set_float32_matmul_precision(before)
    try:
        with contextlib.suppress(KeyboardInterrupt), backend.scope():
            assert torch.get_float32_matmul_precision() == inside
            raise KeyboardInterrupt
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_torchs_newer_setting_is_left_as_it_was():
    torch = pytest.importorskip("torch")
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this PyTorch has only the older setting")
    matmul.fp32_precision = "tf32"
    try:
        with get("torch").scope():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("warn_only", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_torch_is_deterministic_in_its_scope_alone(before, warn_only):
    torch = pytest.importorskip("torch")

    def now():
        warn = torch.is_deterministic_algorithms_warn_only_enabled()
        return torch.are_deterministic_algorithms_enabled(), warn

    torch.use_deterministic_algorithms(before, warn_only=warn_only)
    try:
        outside = now()
        with get("torch").scope():
            assert now() == outside
        with contextlib.suppress(KeyboardInterrupt), get("torch", deterministic=True).scope():
            assert now() == (True, False)
            with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
                torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
            raise KeyboardInterrupt
        assert now() == outside
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("precision", "inside"), [("float32", "float32"), ("tf32", "tensorfloat32")]
)
def test_jax_has_the_precision_in_its_scope_alone(precision, inside):
    jax = pytest.importorskip("jax")
    before = jax.config.jax_default_matmul_precision
    with get("jax", matmul_precision=precision).scope():
        assert jax.config.jax_default_matmul_precision == inside
    assert jax.config.jax_default_matmul_precision == before


@pytest.mark.parametrize(
    ("library", "variable", "wrong", "right"),
    [
        ("torch", "CUBLAS_WORKSPACE_CONFIG", ":0:0", (":4096:8", ":16:8")),
        (
            "jax",
            "XLA_FLAGS",
            "--xla_gpu_deterministic_ops=false",
            ("--xla_gpu_deterministic_ops=true", "--foo=1 --xla_gpu_deterministic_ops"),
        ),
    ],
)
def test_what_determinism_needs_on_cuda(monkeypatch, library, variable, wrong, right):
    make_backend(library)
    module = sys.modules[f"chainrule.backends.{library}"]
    monkeypatch.setattr(module, "devices", lambda: ("cuda:0", "cpu"))
    for value in ("", wrong):
        monkeypatch.setenv(variable, value)
        assert get(f"{library}:cuda").deterministic is False
        assert get(f"{library}:cpu", deterministic=True).deterministic
        message = rf"^deterministic=True: .* on cuda:0: .*; set {variable}=.* before Python starts$"
        with pytest.raises(BackendError, match=message) as caught:
            get(f"{library}:cuda", deterministic=True)
        assert "\n" not in str(caught.value)
    for value in right:
        monkeypatch.setenv(variable, value)
        assert get(f"{library}:cuda", deterministic=True).deterministic


@pytest.mark.parametrize(
    ("name", "value"), [("dtype", "float64"), ("matmul_precision", "tf32"), ("deterministic", True)]
)
def test_a_backend_that_is_given_does_not_drop_a_setting(name, value):
    with pytest.raises(InputError, match=f"^{name}={value!r}: the backend given has "):
        get(get("numpy"), **({"dtype": "float32"} | {name: value}))
    assert get(get("numpy", "float64")).dtype == "float64"
