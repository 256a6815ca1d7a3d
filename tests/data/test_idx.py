"""IDX: written here byte by byte after its description, read back, and damaged."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule.data import files, idx
from chainrule.data.idx import read_idx, read_idx_pair
from chainrule.errors import DataError

CODES = {
    "u1": (8, "B"),
    "i1": (9, "b"),
    "i2": (11, "h"),
    "i4": (12, "i"),
    "f4": (13, "f"),
    "f8": (14, "d"),
}


def idx_bytes(array):
    code, letter = CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    data = struct.pack(f">{array.size}{letter}", *array.ravel().tolist())
    return bytes([0, 0, code, array.ndim]) + sizes + data


@given(
    array=hnp.arrays(
        st.sampled_from(sorted(CODES)),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0),
        elements={"allow_nan": False},
    ),
    packed=st.booleans(),
)
def test_round_trip(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / "a.idx"
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    back = read_idx(path)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    back[...] = 0


IMAGES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
LABELS = np.array([7, 1], dtype=np.uint8)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_pair_by_name(write, ending):
    pack = gzip.compress if ending else bytes
    path = write(f"train-images-idx3-ubyte{ending}", pack(idx_bytes(IMAGES)))
    write(f"train-labels-idx1-ubyte{ending}", pack(idx_bytes(LABELS)))
    x, y = read_idx_pair(path)
    np.testing.assert_array_equal(x, IMAGES)
    np.testing.assert_array_equal(y, LABELS)
    assert x.dtype == y.dtype == np.uint8


def test_pair_by_hand(write):
    x, y = read_idx_pair(write("a.idx", idx_bytes(IMAGES)), write("b.idx", idx_bytes(LABELS)))
    assert x.shape == (2, 3, 3)
    assert y.shape == (2,)


def test_pairs_refused(write):
    path = write("a.idx", idx_bytes(IMAGES))
    with pytest.raises(DataError, match=r"^a\.idx: the labels' file cannot be told .*labels="):
        read_idx_pair(path)
    long = write("b.idx", idx_bytes(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match=r"^b\.idx: labels of shape \(3,\) for .* \(2, 3, 3\)"):
        read_idx_pair(path, long)
    with pytest.raises(DataError, match=r"^no-labels-idx1-ubyte: no such file"):
        read_idx_pair(write("no-images-idx3-ubyte", idx_bytes(IMAGES)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            idx_bytes(IMAGES)[:-1],
            r"^a\.idx: shape \(2, 3, 3\) of uint8 takes 18 bytes, .* holds 17;",
        ),
        (idx_bytes(IMAGES) + b"x", r"^a\.idx: shape .* takes 18 bytes, the file holds 19;"),
        (idx_bytes(IMAGES)[:9], r"^a\.idx: cut short in its header"),
        (b"\0\0", r"^a\.idx: is no IDX file \(first bytes 00 00\)"),
        (b"\0\0\x07\x01" + bytes(4), r"^a\.idx: is no IDX file \(first bytes 00 00 07 01\)"),
        (b"\0\0\x08\0", r"^a\.idx: is no IDX file"),
        (b"PAR1", r"^a\.idx: is a Parquet file"),
        (
            b"\0\0\x08\x02" + b"\xff" * 8,
            r"^a\.idx: shape \(4294967295, 4294967295\) of uint8 takes",
        ),
        (gzip.compress(idx_bytes(IMAGES)[:-1], mtime=0), r"^a\.idx: shape .* the file holds 17;"),
        (
            gzip.compress(idx_bytes(IMAGES) + b"x", mtime=0),
            r"^a\.idx: shape .* the file holds more;",
        ),
        (
            gzip.compress(idx_bytes(IMAGES), mtime=0)[:-9],
            r"^a\.idx: damaged or cut short gzip data",
        ),
        (b"\x1f\x8b\x08garbage that is no gzip", r"^a\.idx: damaged or cut short gzip data"),
        (b"", r"^a\.idx: the file is empty"),
    ],
)
def test_damage(write, content, message):
    with pytest.raises(DataError, match=message):
        read_idx(write("a.idx", content))


def test_gzip_bomb_is_refused_by_its_header(write):
    claim = b"\0\0\x08\x02" + struct.pack(">2I", 2**32 - 1, 2**20)
    with pytest.raises(DataError, match=r"^a\.idx: needs about 8192\.0 TiB|^a\.idx: needs about"):
        read_idx(write("a.idx", gzip.compress(claim + bytes(1000), mtime=0)))


def test_memory_and_io(write, monkeypatch):
    path = write("a.idx", idx_bytes(np.zeros(5000, np.uint8)))
    monkeypatch.setattr(files, "available_memory", lambda: 100)
    with pytest.raises(DataError, match=r"^a\.idx: needs about 9\.8 KiB"):
        read_idx(path)

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(idx, "_read", broken)
    with pytest.raises(DataError, match=r"^a\.idx: cannot be read \(Input/output error\)"):
        read_idx(path)
