"""The door to every format."""

import io
import struct
import sys

import numpy as np
import pytest

import chainrule.data as data
from chainrule.data.sources import file_kind, load_arrays, open_table
from chainrule.errors import DataError, InputError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.tsv", "csv"),
        ("a.txt", "csv"),
        ("iris.data", "csv"),
        ("a.parquet", "parquet"),
        ("a.npy", "npy"),
        ("a.npz", "npz"),
        ("a.idx", "idx"),
        ("a.idx.gz", "idx"),
        ("train-images-idx3-ubyte", "idx"),
        ("train-images.idx3-ubyte", "idx"),
        ("train-labels-idx1-ubyte.gz", "idx"),
    ],
)
def test_kind(write, name, kind):
    assert file_kind(write(name, "x")) == kind


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK\x03\x04 xl/", r"^a\.xlsx: is an Excel workbook \(xlsx\); save"),
        ("a.csv.gz", b"\x1f\x8b", r"^a\.csv\.gz: is gzip-compressed; decompress"),
        ("a.foo", b"text", r"^a\.foo: is of unknown format \(ending '\.foo'\); expected \.csv"),
        ("a", b"text", r"^a: is of unknown format \(ending 'absent'\)"),
        ("a.pkl", b"\x80\x04", r"^a\.pkl: is a Python pickle, which is never loaded"),
    ],
)
def test_unknown_kinds(write, name, content, message):
    with pytest.raises(DataError, match=message):
        file_kind(write(name, content))


def test_tables(write):
    assert open_table(write("a.tsv", "a\tb\n1\t2\n")).names == ("a", "b")
    assert open_table(write("a.txt", "1;2\n"), delimiter=";", header=False).names[0] == "column1"
    with pytest.raises(InputError, match=r"^a\.npy: holds arrays \(npy\).*load_arrays"):
        open_table(write("a.npy", "x"))


def test_parquet_has_no_options(write):
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(sys.modules["pyarrow"].table({"a": [1]}), write("a.parquet", "").name)
    assert open_table("a.parquet").column("a").tolist() == [1]
    with pytest.raises(InputError, match=r"^a\.parquet: delimiter and header are for CSV"):
        open_table("a.parquet", header=False)


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_arrays(write):
    x, y = np.zeros((3, 2)), np.arange(3)
    np.savez("a.npz", X=x, y=y)
    found, labels = load_arrays("a.npz")
    assert found.shape == (3, 2)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2]
    path, other = write("x.npy", saved(x)), write("y.npy", saved(y))
    assert load_arrays(path)[1] is None
    assert load_arrays(path, other)[1].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"^labels='y\.npy': a\.npz holds y already"):
        load_arrays("a.npz", other)
    with pytest.raises(DataError, match=r"^x\.npy: X and y of shapes \(3, 2\) and \(2,\)"):
        load_arrays(path, write("z.npy", saved(np.arange(2))))
    with pytest.raises(DataError, match=r"^s\.npy: X and y of shape \(\); expected"):
        load_arrays(write("s.npy", saved(np.float64(1))))
    with pytest.raises(InputError, match=r"^a\.csv: holds a table \(csv\).*open_table"):
        load_arrays(write("a.csv", "a\n1\n"))


def test_idx_arrays(write):
    images = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 3) + bytes(range(18))
    path = write("t-images.idx", images)
    labels = write("t-labels.idx", b"\0\0\x08\x01" + struct.pack(">I", 2) + bytes([7, 1]))
    x, y = load_arrays(path)
    assert (x.shape, y.tolist()) == ((2, 3, 3), [7, 1])
    assert load_arrays(labels)[1] is None
    assert load_arrays(write("a.idx", images), labels)[1].tolist() == [7, 1]


def test_public_names_are_lazy_and_all_there():
    for name in data.__all__:
        assert getattr(data, name) is not None
    assert sorted(data._HOME) == sorted(data.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = data.nothing
