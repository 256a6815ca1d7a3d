"""Gathering, compiling and the scope: the same work on every library, and nothing left behind."""

import copy
import pickle
import sys
import warnings
from types import SimpleNamespace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libraries import make_backend


@settings(max_examples=40)
@given(data=st.data())
def test_gather_is_numpy_indexing(backend32, data):
    rows = data.draw(st.integers(1, 6))
    shape = (rows, *data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4)))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    indices = data.draw(hnp.arrays(np.int64, st.integers(0, 8), elements=st.integers(0, rows - 1)))
    own = backend32.gather(backend32.asarray(x), backend32.asarray(indices, "index"))
    assert backend32.owns(own)
    np.testing.assert_array_equal(backend32.to_numpy(own), x[indices], strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_staged_number_keeps_the_dtype(library, dtype):
    if library == "strict" and dtype == "float16":
        pytest.skip("the standard has no float16")
    backend = make_backend(library, dtype)
    with backend.scope():
        number = backend.stage(np.asarray([0.3, 0.1]), "float")[1]
        assert number.shape == ()
        np.testing.assert_array_equal(np.asarray(number), np.asarray(0.1, dtype), strict=True)
        product = backend.to_numpy(backend.asarray(np.ones(3), "float") * number)
    assert product.dtype == dtype


def test_staged_indices_and_keys_are_used_slice_by_slice(backend32):
    x = backend32.asarray(np.arange(10.0), "float")
    order = backend32.stage(np.asarray([7, 1, 4]), "index")
    rows = backend32.compile(backend32.gather)(x, order[1:3])
    np.testing.assert_array_equal(backend32.to_numpy(rows), [1.0, 4.0])
    key = backend32.stage(np.asarray([[1, 2], [3, 4]]), "int32")[1, ...]
    doubled = backend32.compile(lambda key: key + key)(key)
    np.testing.assert_array_equal(
        backend32.to_numpy(doubled), np.asarray([6, 8], np.int32), strict=True
    )


def descend(xp, weight, momentum, x, learning_rate):
    residual = x @ weight - 1.0
    momentum = 0.5 * momentum + xp.matmul(x.T, residual)
    return weight - learning_rate * momentum, momentum, xp.sum(residual * residual)


def test_compiled_steps_equal_numpys(backend64):
    rng = np.random.default_rng(0)
    x, weight, momentum = rng.normal(size=(8, 3)), rng.normal(size=(3, 1)), np.zeros((3, 1))
    step = backend64.compile(lambda w, m, x, lr: descend(backend64.xp, w, m, x, lr), donate=(0, 1))
    own_x = backend64.asarray(x, "float")
    own_weight = backend64.asarray(weight.copy(), "float")
    own_momentum = backend64.asarray(momentum.copy(), "float")
    learning_rates = (0.1, 0.05, 0.01)
    own_rates = backend64.stage(np.asarray(learning_rates), "float")
    for number, learning_rate in enumerate(learning_rates):
        own_weight, own_momentum, own_loss = step(
            own_weight, own_momentum, own_x, own_rates[number]
        )
        weight, momentum, loss = descend(np, weight, momentum, x, learning_rate)
    backend64.synchronize()
    np.testing.assert_allclose(backend64.to_numpy(own_weight), weight, rtol=1e-13)
    np.testing.assert_allclose(backend64.to_numpy(own_momentum), momentum, rtol=1e-13)
    np.testing.assert_allclose(backend64.to_numpy(own_loss), loss, rtol=1e-13)


def test_donation_leaves_host_arrays_and_copies_alone(backend32):
    host = np.arange(1024, dtype=np.float32)
    double = backend32.compile(lambda x: x * 2, donate=(0,))
    own = backend32.asarray(host)
    before = backend32.to_numpy(own)
    after = double(own)
    np.testing.assert_array_equal(host, np.arange(1024))
    np.testing.assert_array_equal(before, host)
    np.testing.assert_array_equal(backend32.to_numpy(after), 2 * host)


def test_jax_donates():
    backend = make_backend("jax")
    with backend.scope():
        own = backend.asarray(np.ones(4, np.float32))
        backend.compile(lambda x: x + 1, donate=(0,))(own)
        assert own.is_deleted()


def test_jax_compiles_once_for_changing_numbers():
    backend = make_backend("jax")
    traces = []
    scale = backend.compile(lambda x, factor: traces.append(x) or x * factor)
    with backend.scope():
        own = backend.asarray(np.ones(4), "float")
        for value in backend.stage(np.asarray([0.1, 0.2, 0.3]), "float"):
            result = scale(own, value)
            assert result.dtype == "float32"
    assert len(traces) == 1


def test_unusable_donation_says_nothing():
    backend = make_backend("jax")
    total = backend.compile(lambda x: backend.xp.sum(x), donate=(0,))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with backend.scope():
            assert total(backend.asarray(np.ones(5), "float")) == 5
    assert caught == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("leave_by", ["end", "exception"])
def test_scope_restores_warning_filters_and_numpy_errors(library, dtype, leave_by):
    backend = make_backend(library, dtype)
    filters, errors = list(warnings.filters), np.geterr()
    try:
        with backend.scope():
            if leave_by == "exception":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert list(warnings.filters) == filters
    assert np.geterr() == errors


def test_scope_can_be_entered_again(backend64):
    with backend64.scope(), backend64.scope():
        pass
    own = backend64.asarray(np.ones(2), "float")
    assert backend64.to_numpy(own / 3).dtype == np.float64


def test_arithmetic_in_scope_overflows_in_silence(backend32):
    own = backend32.asarray(np.full(2, 1e30), "float")
    zero = backend32.asarray(np.zeros(2), "float")
    with backend32.scope():
        assert np.isinf(backend32.to_numpy(own * own)).all()
        assert np.isnan(backend32.to_numpy(zero / zero)).all()


@pytest.mark.parametrize("leave_by", ["end", "exception"])
def test_jax_scope_restores_x64(leave_by):
    jax = pytest.importorskip("jax")
    backend = make_backend("jax", "float64")
    before = jax.config.jax_enable_x64
    try:
        with backend.scope():
            assert jax.numpy.asarray(1.0).dtype == "float64"
            if leave_by == "exception":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert jax.config.jax_enable_x64 == before
    assert jax.numpy.asarray(1.0).dtype == ("float64" if before else "float32")


def test_jax_float32_scope_is_float32_whatever_the_users_setting():
    jax = pytest.importorskip("jax")
    backend64, backend32 = make_backend("jax", "float64"), make_backend("jax", "float32")
    with backend64.scope():
        with backend32.scope():
            assert jax.numpy.asarray(1.0).dtype == "float32"
        assert jax.numpy.asarray(1.0).dtype == "float64"


def test_torch_scope_restores_autograd():
    torch = pytest.importorskip("torch")
    backend = make_backend("torch")
    weight = torch.ones(2, requires_grad=True)
    with backend.scope():
        assert not (weight * 2).requires_grad
    assert torch.is_grad_enabled()
    assert (weight * 2).requires_grad


def test_torch_scope_creates_on_its_own_device():
    torch = pytest.importorskip("torch")
    backend = make_backend("torch")
    torch.set_default_device("meta")
    try:
        with backend.scope():
            assert backend.xp.zeros(2).device.type == "cpu"
            assert backend.stage(np.ones(1), "float").device.type == "cpu"
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


def test_backends_are_values(library):
    backend = make_backend(library)
    assert copy.deepcopy(backend) == backend
    assert pickle.loads(pickle.dumps(backend)) == backend
    assert hash(backend) == hash(make_backend(library))
    assert backend != make_backend(library, "float64")


@pytest.mark.cuda
@pytest.mark.parametrize("spec", ["cupy", "torch:cuda"])
def test_cuda_end_to_end(spec):
    backend = make_backend(spec)
    x = np.arange(12, dtype=np.float64).reshape(4, 3)[::-1]
    with backend.scope():
        own = backend.asarray(x, "float")
        rows = backend.gather(own, backend.asarray([2, 0], "index"))
        result = backend.to_numpy(
            rows * backend.stage(np.asarray([2.0]), "float")[0] + backend.xp.ones((2, 3))
        )
        backend.synchronize()
    assert backend.device == "cuda:0"
    np.testing.assert_array_equal(result, (2 * x[[2, 0]] + 1).astype(np.float32))


def test_older_jax_has_its_x64_switch_elsewhere(monkeypatch):
    make_backend("jax")
    module = sys.modules["chainrule.backends.jax"]
    asked = []
    monkeypatch.setattr(module, "_jax", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "jax.experimental", SimpleNamespace(enable_x64=asked.append))
    module._x64(True)
    assert asked == [True]
