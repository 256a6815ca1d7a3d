"""CSV and TSV: every fault with its line, and what is written comes back."""

import csv
import io
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import csv_file, files
from chainrule.data.csv_file import read_csv
from chainrule.data.table import TEXT, DataWarning
from chainrule.errors import DataError, InputError


def columns(table):
    return {name: table.column(name).tolist() for name in table.names}


def test_plain_table(write):
    table = read_csv(write("t.csv", "a, b\n1,x\n2, y \n"))
    assert columns(table) == {"a": ["1", "2"], "b": ["x", " y "]}
    assert [column.dtype for column in table.columns] == [TEXT, TEXT]
    assert table.lines.tolist() == [2, 3]
    assert len(table) == 2
    assert table.path == "t.csv"


@pytest.mark.parametrize("name", ["t.tsv", "t.TAB"])
def test_tabs_by_ending(write, name):
    assert columns(read_csv(write(name, "a\tb\n1,5\t2\n"))) == {"a": ["1,5"], "b": ["2"]}


def test_given_delimiter(write):
    assert columns(read_csv(write("t.csv", "a|b\n1|2\n"), delimiter="|")) == {
        "a": ["1"],
        "b": ["2"],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # 1 ragged rows
        ("a,b,c\n1,2,3\n1,2\n", r"t\.csv:3: 2 fields, expected 3 as on line 1"),
        ("a,b\n1,2\n\n1,2,3\n", r"t\.csv:4: 3 fields, expected 2 as on line 1"),
        ('a,b\n"x\r\ny",2\n3\n', r"t\.csv:4: 1 field, expected 2"),
        ("a,b,c\r1,2,3\r1\r", r"t\.csv:3: 1 field, expected 3"),
        # 4 and 5: nothing there
        ("", r"t\.csv: the file is empty \(0 bytes\)"),
        ("a,b\n", r"t\.csv: 0 data rows after the column names on line 1"),
        ("a,b", r"t\.csv: 0 data rows after the column names on line 1"),
        ("\n\n", r"t\.csv: 0 data rows"),
        (b"\xef\xbb\xbf", r"t\.csv: 0 data rows"),
        # 7 encodings
        ("a,b\n1,é\n".encode("utf-16"), r"t\.csv: is UTF-16 text .* byte offset 0.*expected UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"t\.csv: is UTF-16 text .* offset 1\), expected UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-be"), r"t\.csv: is UTF-16 text .* offset 0\), expected UTF-8"),
        ("a,b\n1,2\n".encode("utf-32"), r"t\.csv: is UTF-32 text"),
        (b"a,b\n1,caf\xe9\n", r"t\.csv:2: byte 0xe9 at offset 9 is not UTF-8"),
        (b"a,b\r1,2\r\n3,\xff\n", r"t\.csv:3: byte 0xff at offset 11 is not UTF-8"),
        (b"a,b\n1,\xc3", r"t\.csv:2: byte 0xc3 at offset 6 is not UTF-8"),
        # 8 delimiters
        ("a;b\n1;2\n", r"t\.csv:1: 1 field, .* looks like ';': pass --delimiter ';'"),
        ("a\tb\n1\t2\n", r"t\.csv:1: 1 field, .* looks like a tab: pass --delimiter '\\t'"),
        ("a|b\n1|2\n", r"t\.csv:1: .* looks like '\|'"),
        ("a,x;b;c\n1;2;3\n", r"t\.csv:2: 1 field, expected 2 .*looks like ';'"),
        # 10 names
        (
            "a,,a,b,\n1,2,3,4,5\n",
            r"t\.csv:1: column names .* 'a' \(column 1, 3\), blank \(column 2, 5",
        ),
        ("\n1.5,1.5,2\n3,4,5\n", r"t\.csv:2: column names .* pass --no-header"),
        # 12 what is no text
        (b"\x1f\x8b\x08", r"t\.csv: is gzip-compressed; .*gunzip"),
        (
            b"PK\x03\x04....[Content_Types].xml",
            r"t\.csv: is an Excel workbook \(xlsx\); save .* CSV",
        ),
        (b"a,b\n1,2\n3,\x004\n", r"t\.csv:3: a NUL byte \(character 3 of the line\)"),
        # quotes
        ('a,b\n1,"2\n3,4\n', r"t\.csv:2: a quote opened in this row never closes"),
        ('a,b\n1,2\n1,"2"x\n', r"t\.csv:3: text after a closing quote"),
        (f"a,b\n1,{'x' * 140_000}\n", r"t\.csv:2: .* a cell passes 131072 characters"),
    ],
)
def test_faults_name_the_line(write, content, message):
    with pytest.raises(DataError, match=f"^{message}") as caught:
        read_csv(write("t.csv", content))
    assert "\n" not in str(caught.value)


def test_bad_byte_far_into_the_file(write):
    good = b"a,b\n" + b"1,\xc3\xa9\n" * 50_000
    with pytest.raises(DataError, match=rf"^t\.csv:50002: byte 0x80 at offset {len(good) + 2} is"):
        read_csv(write("t.csv", good + b"1,\x80\n"))


def test_no_header_warns_and_names_the_option(write):
    path = write("t.csv", "5.1,3.5,setosa\n4.9,3.0,setosa\n")
    with pytest.warns(DataWarning, match=r"^t\.csv:1: the first line looks like data.*--no-header"):
        assert len(read_csv(path)) == 1
    assert len(read_csv(path, header=True)) == 1
    table = read_csv(path, header=False)
    assert columns(table)["column2"] == ["3.5", "3.0"]
    assert table.lines.tolist() == [1, 2]


@pytest.mark.parametrize("names", ["0,1,2", "a,b,c", "x,2019", "0"])
def test_names_that_are_no_data_do_not_warn(write, names):
    read_csv(write("t.csv", names + "\n" + ",".join("1" * (names.count(",") + 1)) + "\n"))


def test_mark_quoted_line_ends_and_crlf(write):
    content = b'\xef\xbb\xbf"na""me",b\r\n"one\r\ntwo, three",2\r\n\r\n4,5\r\n'
    table = read_csv(write("t.csv", content))
    assert columns(table) == {'na"me': ["one\r\ntwo, three", "4"], "b": ["2", "5"]}
    assert table.lines.tolist() == [2, 5]
    assert table.place(0, "b") == "t.csv:3:2"
    assert table.place(1, "b") == "t.csv:5:2"


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_bad_delimiter(write, delimiter):
    with pytest.raises(InputError, match=r"^delimiter=.*expected one character"):
        read_csv(write("t.csv", "a,b\n1,2\n"), delimiter=delimiter)


def test_more_than_memory_is_refused_before_reading(write, monkeypatch):
    path = write("t.csv", "a,b\n" + "1,2\n" * 1000)
    monkeypatch.setattr(files, "available_memory", lambda: 10_000)
    monkeypatch.setattr(csv_file, "_read", lambda *_: pytest.fail("read"))
    with pytest.raises(DataError, match=r"^t\.csv: needs about .* KiB of memory, 9\.8 KiB is"):
        read_csv(path)


def test_read_error(write, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(csv_file, "_read", broken)
    with pytest.raises(DataError, match=r"^t\.csv: cannot be read \(Input/output error\)"):
        read_csv(write("t.csv", "a,b\n1,2\n"))


def test_blocks_join(write, monkeypatch):
    monkeypatch.setattr(csv_file, "_BLOCK", 3)
    rows = [[str(i), f"text {i} that is longer than fits inline"] for i in range(10)]
    table = read_csv(write("t.csv", "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows)))
    assert list(zip(*(c.tolist() for c in table.columns), strict=True)) == [tuple(r) for r in rows]
    assert table.lines.tolist() == list(range(2, 12))


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@given(
    rows=st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=6
        )
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
)
def test_what_the_csv_module_writes_comes_back(rows, delimiter, line_end, quoting, mark):
    names = [f"column {chr(97 + i)}" for i in range(len(rows[0]))]
    if any(end in cell for row in rows for cell in row for end in "\r\n"):
        quoting = csv.QUOTE_ALL  # before Python 3.13 a writer may leave a lone CR bare
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([names, *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(text.getvalue().encode("utf-8-sig" if mark else "utf-8"))
        table = read_csv(path, delimiter=delimiter)
    assert table.names == tuple(names)
    assert [list(row) for row in zip(*(c.tolist() for c in table.columns), strict=True)] == rows
    lines = re.split("\r\n|\r|\n", text.getvalue())
    for row, line in enumerate(table.lines):
        first = rows[row][0]
        if first and re.fullmatch("[a-z0-9]+", first):
            assert lines[line - 1].lstrip('"').startswith(first)


def test_numbers_equal_those_of_pandas(write):
    random = np.random.default_rng(0)
    values = random.standard_normal((300, 4)) * 10.0 ** random.integers(-200, 200, (300, 4))
    path = write("t.csv", "")
    pd.DataFrame(values, columns=list("abcd")).to_csv(path, index=False)
    expected = pd.read_csv(path)
    table = read_csv(path)
    for name in table.names:
        np.testing.assert_allclose(
            table.column(name).astype(float), expected[name].to_numpy(), rtol=1e-15
        )
        np.testing.assert_array_equal(
            table.column(name).astype(float), values[:, table.index(name)]
        )


def test_no_warning_for_a_clean_file(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_csv(write("t.csv", "a,b\n1,2\n"))
