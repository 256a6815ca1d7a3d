"""Parquet: written by pyarrow and pandas, read as the same table a CSV would give."""

import datetime
import decimal
import sys

import numpy as np
import pandas as pd
import pytest

from chainrule.data import files
from chainrule.data.csv_file import read_csv
from chainrule.data.parquet import read_parquet
from chainrule.data.table import TEXT
from chainrule.errors import DataError, InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(columns, **options):
    pq.write_table(pa.table(columns), "t.parquet", **options)
    return read_parquet("t.parquet")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pa.array([1, 2], pa.int64()), np.int64, [1, 2]),
        (pa.array([2**63], pa.uint64()), np.uint64, [2**63]),
        (pa.array([1, None], pa.int32()), np.float64, [1.0, np.nan]),
        (pa.array([1.5, None], pa.float32()), np.float64, [1.5, np.nan]),
        (pa.array([np.float16(0.5)], pa.float16()), np.float64, [0.5]),
        (pa.array([decimal.Decimal("1.25"), None]), np.float64, [1.25, np.nan]),
        (pa.array([True, False]), np.bool_, [True, False]),
        (pa.array([True, None]), TEXT, ["True", ""]),
        (pa.array(["x", None, "é"]), TEXT, ["x", "", "é"]),
        (pa.array(["x"], pa.large_string()), TEXT, ["x"]),
        (pa.array(["x", "y", "x", None]).dictionary_encode(), TEXT, ["x", "y", "x", ""]),
        (pa.array([3, 4, 3]).dictionary_encode(), np.int64, [3, 4, 3]),
        (pa.array([None, None]), TEXT, ["", ""]),
        (pa.array([datetime.date(2026, 1, 31), None]), TEXT, ["2026-01-31", ""]),
    ],
)
def test_types(values, dtype, expected):
    table = read({"a": values})
    column = table.column("a")
    assert column.dtype == dtype
    np.testing.assert_array_equal(column, np.array(expected, dtype=dtype))
    assert table.lines.tolist() == list(range(1, len(expected) + 1))
    assert table.place(0, "a") == "t.parquet:1:1"


def test_timestamps_are_text():
    stamps = pa.array([datetime.datetime(2026, 1, 31, 12, 0)])
    assert read({"a": stamps}).column("a")[0].startswith("2026-01-31 12:00:00")


def test_several_row_groups():
    table = read({"a": np.arange(100), "b": [str(i) for i in range(100)]}, row_group_size=7)
    assert table.column("a").tolist() == list(range(100))
    assert table.column("b").tolist() == [str(i) for i in range(100)]


def test_pandas_index_is_left_out_and_csv_agrees():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}, index=[5, 6, 8])
    frame.to_parquet("t.parquet")
    frame.to_csv("t.csv", index=False)
    table, other = read_parquet("t.parquet"), read_csv("t.csv")
    assert table.names == other.names == ("a", "b")
    assert table.column("b").tolist() == other.column("b").tolist()
    assert table.column("a").tolist() == other.column("a").astype(int).tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": pa.array([[1], [2]])}, r"^t\.parquet: column 'a' holds list<.*; expected numbers"),
        ({"a": pa.array([b"x"])}, r"^t\.parquet: column 'a' holds binary"),
        ({"a": pa.array([{"b": 1}])}, r"^t\.parquet: column 'a' holds struct"),
        ({"a": pa.array([], pa.int64())}, r"^t\.parquet: 0 data rows"),
        ({"a": pa.array([1]), "": pa.array([2])}, r"^t\.parquet:1: .*blank \(column 2\)"),
    ],
)
def test_refused(columns, message):
    with pytest.raises(DataError, match=message):
        read(columns)


def test_repeated_names():
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "t.parquet")
    with pytest.raises(DataError, match=r"^t\.parquet:1: .*'a' \(column 1, 2\)"):
        read_parquet("t.parquet")


def test_damaged(write):
    read({"a": np.arange(1000)})
    with open("t.parquet", "rb") as file:
        content = file.read()
    with pytest.raises(DataError, match=r"^b\.parquet: damaged Parquet file \("):
        read_parquet(write("b.parquet", content[:-20]))
    with pytest.raises(DataError, match=r"^c\.parquet: is no Parquet file; expected Parquet"):
        read_parquet(write("c.parquet", "a,b\n1,2\n"))
    with pytest.raises(DataError, match=r"^d\.parquet: is gzip-compressed"):
        read_parquet(write("d.parquet", b"\x1f\x8b"))


def test_without_pyarrow(monkeypatch):
    read({"a": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'needs pyarrow: pip install "chainrule\[parquet\]"$'):
        read_parquet("t.parquet")


def test_memory_and_io(monkeypatch):
    read({"a": np.arange(1000)})

    def broken(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(files, "available_memory", lambda: 100)
        with pytest.raises(DataError, match=r"^t\.parquet: needs about 39\.1 KiB"):
            read_parquet("t.parquet")
    monkeypatch.setattr(pq, "ParquetFile", broken)
    with pytest.raises(DataError, match=r"^t\.parquet: cannot be read \(Input/output error\)"):
        read_parquet("t.parquet")
