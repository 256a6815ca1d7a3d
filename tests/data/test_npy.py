"""NPY and NPZ: as stored, or refused before anything is read."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.data import files, npy
from chainrule.data.npy import read_npy, read_npz
from chainrule.errors import DataError


class Bomb:
    """An object whose unpickling is seen."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def npy_bytes(array, *, pickled=False):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=pickled)
    return file.getvalue()


@given(
    array=hnp.arrays(
        st.sampled_from(["?", "u1", "<i4", ">i8", "<f4", ">f8", "<f2"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    ),
    fortran=st.booleans(),
)
def test_round_trip(tmp_path_factory, array, fortran):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.asfortranarray(array) if fortran else array)
    back = read_npy(path)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.dtype.isnative


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([Bomb()], dtype=object), r"^a\.npy: holds Python objects .*never unpickled"),
        (np.array([1j]), r"^a\.npy: dtype complex128; expected booleans, integers or floats"),
        (np.array(["x"]), r"^a\.npy: dtype <U1; expected"),
        (np.zeros(2, dtype=[("a", int)]), r"^a\.npy: dtype \[\('a', '<i8'\)\]; expected"),
        (np.zeros(2, dtype=[("数", int)]), r"^a\.npy: NPY version 3\.0; expected 1\.0 or 2\.0"),
        (np.zeros(2, dtype="M8[s]"), r"^a\.npy: dtype datetime64"),
    ],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_dtypes_refused(write, array, message):
    path = write("a.npy", npy_bytes(array, pickled=True))
    with pytest.raises(DataError, match=message):
        read_npy(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_bytes(np.zeros(10))[:-1], r"^a\.npy: shape \(10,\) of float64 takes 80 bytes, .* 79"),
        (npy_bytes(np.zeros(10)) + b"x", r"^a\.npy: shape \(10,\) .* holds 81"),
        (npy_bytes(np.zeros(10))[:40], r"^a\.npy: damaged NPY header"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': 'rm'}}", r"^a\.npy: damaged NPY header"),
        (b"\x93NUM", r"^a\.npy: is no NPY file; expected an NPY array"),
        (pickle.dumps(Bomb(), 4), r"^a\.npy: is a Python pickle, which is never loaded"),
        (b"", r"^a\.npy: the file is empty"),
    ],
)
def test_damage(write, content, message):
    with pytest.raises(DataError, match=message):
        read_npy(write("a.npy", content))


def header(shape):
    text = repr({"descr": "<f8", "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**62, 4), (-1,), (-1, -8)])
def test_shapes_that_overflow(write, shape):
    with pytest.raises(DataError, match=r"^a\.npy: (shape .* takes .* bytes|damaged)"):
        read_npy(write("a.npy", header(shape) + b"\0" * 64))


def test_memory_and_io(write, monkeypatch):
    path = write("a.npy", npy_bytes(np.zeros(1000)))
    monkeypatch.setattr(files, "available_memory", lambda: 100)
    with pytest.raises(DataError, match=r"^a\.npy: needs about 7\.8 KiB"):
        read_npy(path)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(npy, "_check_header", broken)
    with pytest.raises(DataError, match=r"^a\.npy: cannot be read \(Input/output error\)"):
        read_npy(path)


X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": X, "y": Y},
        {"y": Y, "x": X},
        {"y": Y, "X": X, "other": Y},
        {"labels": Y, "data": X},
        {"data": X, "labels": Y},
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_keys(tmp_path, arrays, save):
    save(tmp_path / "a.npz", **arrays)
    x, y = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(x, X)
    assert y is not None
    np.testing.assert_array_equal(y, Y)


def test_npz_of_one_array(tmp_path):
    np.savez(tmp_path / "a.npz", X)
    x, y = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(x, X)
    assert y is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": Y, "b": Y}, r"^a\.npz: arrays 'a', 'b' .*\(3,\) and \(3,\); which is X\?"),
        ({"a": Y, "b": Y, "c": X}, r"^a\.npz: holds 3 arrays \('a', 'b', 'c'\); expected X and y"),
        ({}, r"^a\.npz: (holds 0 arrays \(none\)|is no NPZ file)"),
        ({"X": X, "y": np.array([Bomb()], dtype=object)}, r"^a\.npz: 'y': holds Python objects"),
    ],
)
def test_npz_refused(tmp_path, monkeypatch, arrays, message):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_npz("a.npz")


def test_npz_damaged(write, tmp_path):
    np.savez("a.npz", X=X, y=Y)
    content = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(DataError, match=r"^b\.npz: damaged NPZ archive"):
        read_npz(write("b.npz", content[: len(content) // 2]))
    flipped = bytearray(content)
    flipped[content.index(X.tobytes()) + 9] ^= 1
    with pytest.raises(DataError, match=r"^c\.npz: damaged NPZ archive \(Bad CRC"):
        read_npz(write("c.npz", bytes(flipped)))
    with pytest.raises(DataError, match=r"^d\.npz: is gzip-compressed"):
        read_npz(write("d.npz", b"\x1f\x8b\x08"))


def test_npz_compressed_and_damaged(write, tmp_path):
    np.savez_compressed("a.npz", X=np.random.default_rng(0).standard_normal(1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[1000:1100] = bytes(100)
    with pytest.raises(DataError, match=r"^b\.npz: damaged NPZ archive"):
        read_npz(write("b.npz", bytes(content)))


def test_npz_bomb_is_refused_by_its_declared_size(write, monkeypatch):
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", header((10**6,)) + bytes(8 * 10**6))
    monkeypatch.setattr(files, "available_memory", lambda: 10**6)
    with pytest.raises(DataError, match=r"^a\.npz: needs about 7\.6 MiB"):
        read_npz("a.npz")


def test_npz_io_error(write, monkeypatch):
    np.savez("a.npz", X=X)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(npy.zipfile, "ZipFile", broken)
    with pytest.raises(DataError, match=r"^a\.npz: cannot be read \(Input/output error\)"):
        read_npz("a.npz")
