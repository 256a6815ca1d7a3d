"""Values cross to a backend and back unchanged, and what cannot cross is refused in words."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from chainrule.backends import library_of
from chainrule.errors import InputError
from libraries import make_backend

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
LAYOUTS = ("plain", "reversed", "strided", "fortran", "transposed", "swapped", "read-only", "odd")


def lay_out(x, layout):
    """Return an array equal to `x` (or a part of it) in an unusual memory layout."""
    if layout == "reversed":
        return x[::-1] if x.ndim else x
    if layout == "strided":
        return x[::2] if x.ndim else x
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "transposed":
        return x.T
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder("S"))
    if layout == "read-only":
        x.flags.writeable = False
    if layout == "odd":
        raw = np.empty(x.nbytes + 1, np.uint8)
        odd = raw[1:].view(x.dtype).reshape(x.shape)
        odd[...] = x
        return odd
    return x


def arrays(dtypes):
    dtype = st.sampled_from(dtypes)
    array = dtype.flatmap(lambda d: hnp.arrays(np.dtype(d), SHAPES))
    return st.builds(lay_out, array, st.sampled_from(LAYOUTS))


def same_bits(x, y):
    x = np.asarray(x, dtype=x.dtype.newbyteorder("="), order="C")
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


def is_ordinary(x):
    flags = x.flags
    native = x.dtype == x.dtype.newbyteorder("=")
    return type(x) is np.ndarray and flags.writeable and flags.c_contiguous and native


@given(x=arrays(("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", *FLOATS)))
def test_round_trip_keeps_every_bit(library, backend64, x):
    if library == "strict" and x.dtype.name == "float16":
        with pytest.raises(InputError, match="holds no float16"):
            backend64.asarray(x)
        return
    before = x.tobytes()
    own = backend64.asarray(x)
    back = backend64.to_numpy(own)
    assert backend64.owns(own)
    assert same_bits(x, back)
    assert is_ordinary(back)
    back[...] = 1
    assert x.tobytes() == before
    assert same_bits(x, backend64.to_numpy(own))


@given(x=arrays(("int64", "uint64")))
def test_64_bit_integers_are_kept_or_narrowed_or_refused(library, backend32, x):
    narrow = library == "jax"
    fits = x.size == 0 or (x.min() >= -(2**31) and x.max() < 2**31)
    if narrow and not fits:
        with pytest.raises(InputError, match="do not fit int32; renumber them"):
            backend32.asarray(x)
        return
    back = backend32.to_numpy(backend32.asarray(x))
    assert back.dtype == (np.int32 if narrow else x.dtype.newbyteorder("="))
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@given(x=arrays(("bool", *INTEGERS, "float16", "float32")))
def test_float_rounds_as_numpy_does(library, dtype, x):
    if library == "strict" and dtype == "float16":
        pytest.skip("the standard has no float16")
    backend = make_backend(library, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(dtype)
        back = backend.to_numpy(backend.asarray(x, "float"))
    np.testing.assert_array_equal(back, expected, strict=True)


@given(x=hnp.arrays(np.float64, SHAPES), dtype=st.sampled_from(["float", "index", "int32", None]))
def test_own_arrays_are_taken(library, backend64, x, dtype):
    values = np.isfinite(x) if dtype in ("index", "int32") else x
    own = backend64.asarray(values)
    again = backend64.to_numpy(backend64.asarray(own, dtype))
    index = "int32" if library == "jax" else "int64"
    expected = {"float": "float64", "index": index, "int32": "int32", None: values.dtype}[dtype]
    np.testing.assert_array_equal(again, values.astype(expected), strict=True)


def test_index_dtype(library, backend32):
    own = backend32.asarray(np.asarray([3, 1, 2], np.uint8), "index")
    back = backend32.to_numpy(own)
    np.testing.assert_array_equal(back, [3, 1, 2])
    assert back.dtype == ("int32" if library == "jax" else "int64")


def test_lists_and_numbers_are_host_data(backend32):
    np.testing.assert_array_equal(
        backend32.to_numpy(backend32.asarray([[1, 2], [3, 4]], "float")),
        np.asarray([[1, 2], [3, 4]], np.float32),
        strict=True,
    )
    assert backend32.to_numpy(backend32.asarray(2.5, "float")) == 2.5


def test_memmap_is_read(backend32, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(6, dtype=np.float32).reshape(2, 3))
    x = np.load(path, mmap_mode="r")
    back = backend32.to_numpy(backend32.asarray(x))
    assert same_bits(np.asarray(x), back)
    assert is_ordinary(back)


def test_result_does_not_share_memory(backend32):
    own = backend32.asarray(np.ones((3, 2), np.float32))
    back = backend32.to_numpy(own)
    back[...] = 7
    np.testing.assert_array_equal(backend32.to_numpy(own), np.ones((3, 2)))


def test_jax_never_shares_the_hosts_memory():
    backend = make_backend("jax")
    raw = np.zeros(4096 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    x = raw[start : start + 4096].view(np.float32)
    own = backend.asarray(x)
    x[...] = 7
    assert not backend.to_numpy(own).any()


def test_jax_without_x64_holds_no_float64():
    backend = make_backend("jax", "float32")
    with pytest.raises(InputError, match=r"holds no float64; pass dtype='float'"):
        backend.asarray(np.ones(2))
    assert backend.to_numpy(backend.asarray(np.ones(2), "float")).dtype == np.float32


def test_jax_asarray_inside_jit():
    backend = make_backend("jax")
    double = backend.compile(lambda x: backend.asarray(x, "float") * 2)
    with backend.scope():
        assert backend.to_numpy(double(np.arange(3))).tolist() == [0, 2, 4]


@pytest.mark.parametrize("device", ["no_x64", "no_float64", "device1"])
def test_strict_imitates_other_hardware(device):
    backend = make_backend(f"strict:{device}")
    own = backend.asarray(np.arange(4), "index")
    x = backend.asarray(np.arange(8.0).reshape(4, 2), "float")
    np.testing.assert_array_equal(backend.to_numpy(backend.gather(x, own)), backend.to_numpy(x))
    assert (backend.to_numpy(own).dtype == np.int32) == (device == "no_x64")
    assert backend.to_numpy(x * backend.stage(np.asarray([2.0]), "float")[0]).sum() == 56.0
    if device != "device1":
        with pytest.raises(InputError, match=f"on device '{device}' holds no float64"):
            backend.asarray(np.ones(2))


@pytest.mark.parametrize(
    ("x", "dtype", "message"),
    [
        (np.asarray(["a"]), None, "dtype <U1, expected booleans, integers or floats"),
        (np.asarray([1j]), "float", "dtype complex128"),
        (np.asarray([None]), "float", "dtype object"),
        (np.asarray(["2020-01-01"], "datetime64[D]"), None, r"dtype datetime64\[D\]"),
        (np.zeros(2, [("a", "f4")]), None, r"dtype \[\('a', '<f4'\)\]"),
        (np.zeros(2, np.longdouble), "float", "at most 64 bits"),
        ([[1], [1, 2]], "float", "no rectangular array"),
        (np.asarray([1.5]), "index", "float64 values for dtype='index', expected integers"),
        (np.asarray([2**40]), "int32", "from 1099511627776 to 1099511627776.* do not fit int32"),
        (np.asarray([2**63], np.uint64), "index", "do not fit int"),
        (np.ones(2), "float64", "dtype='float64', expected 'float', 'index', 'int32' or None"),
        (scipy.sparse.csr_array(np.eye(2)), "float", "scipy.sparse csr_array.*toarray"),
        (np.ma.masked_array([1.0], [True]), "float", r"numpy.ma MaskedArray.*filled"),
        (pd.DataFrame({"a": [1.0]}), "float", "pandas DataFrame.*to_numpy"),
        (pd.Series([1, None], dtype="Int64"), "float", "pandas Series.*missing values"),
    ],
)
def test_refused_in_one_line(backend32, x, dtype, message):
    if np.longdouble(0).itemsize == 8 and "64 bits" in message:
        pytest.skip("longdouble is float64 on this platform")
    with pytest.raises(InputError, match=message) as caught:
        backend32.asarray(x, dtype)
    assert "\n" not in str(caught.value)
    assert f"'{backend32.name}'" in str(caught.value) or dtype == "float64"


def test_own_arrays_that_do_not_fit_are_refused(backend64):
    own = backend64.asarray(np.ones(2))
    with pytest.raises(InputError, match="values for dtype='index', expected integers"):
        backend64.asarray(own, "index")
    with pytest.raises(InputError, match="expected 'float', 'index', 'int32' or None"):
        backend64.asarray(own, "double")


def test_complex_own_array_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="complex64"):
        make_backend("torch").asarray(torch.ones(2, dtype=torch.complex64))


def test_sparse_tensor_is_refused_and_gradients_are_dropped():
    torch = pytest.importorskip("torch")
    backend = make_backend("torch")
    with pytest.raises(InputError, match=r"sparse tensor \(torch.sparse_coo\).*to_dense"):
        backend.asarray(torch.eye(2).to_sparse())
    own = backend.asarray(torch.ones(2, requires_grad=True))
    assert not own.requires_grad
    np.testing.assert_array_equal(backend.to_numpy(own), [1, 1])


@pytest.mark.parametrize("other", ["strict", "torch", "jax"])
def test_two_libraries_are_both_named(library, backend32, other):
    if other == library:
        pytest.skip("the same library")
    foreign = make_backend(other).asarray(np.ones(2, np.float32))
    name = {"strict": "array_api_strict"}.get(other, other)
    for cross in (backend32.asarray, backend32.to_numpy):
        with pytest.raises(InputError, match=f"backend '{backend32.name}' got a {name} "):
            cross(foreign)
    assert not backend32.owns(foreign)


def test_library_of(library, backend32):
    own = backend32.asarray(np.ones(2, np.float32))
    expected = {"strict": "array_api_strict", "numpy-readonly": "numpy"}.get(library, library)
    assert library_of(own) == expected
    assert library_of(own[0]) == expected


def test_library_of_others():
    class Mine(np.ndarray):
        pass

    assert library_of(np.ones(2).view(Mine)) == "numpy"
    assert library_of(np.float32(1)) == "numpy"
    assert library_of(np.ma.masked_array([1])) == "numpy.ma"
    assert library_of(scipy.sparse.coo_matrix(np.eye(2))) == "scipy.sparse"
    assert library_of(pd.Series([1])) == "pandas"
    assert library_of(pd.DataFrame({"a": [1]})) == "pandas"
    for x in (1.0, [1], "a", None, np, np.ndarray, np.dtype("f4"), np.sum):
        assert library_of(x) is None


def test_library_of_knows_tracers_and_parameters():
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    seen = []
    jax.jit(lambda x: seen.append(library_of(x)))(1.0)
    assert seen == ["jax"]
    assert library_of(torch.nn.Parameter(torch.ones(2))) == "torch"
    assert library_of(torch.float32) is None
