"""Tables: columns by name, and the place of a cell."""

import numpy as np
import pytest

from chainrule.data.table import TEXT, Table, check_names
from chainrule.errors import DataError, InputError


def make():
    columns = (np.array(["1", "x\ny\r\nz"], dtype=TEXT), np.array([1.0, 2.0]))
    return Table(("Age", "b"), columns, "dir/t.csv", np.array([2, 5], dtype=np.int64))


def test_columns_and_places():
    table = make()
    assert len(table) == 2
    assert table.column("b").tolist() == [1.0, 2.0]
    assert table.place(0, "b") == "dir/t.csv:2:2"
    assert table.place(1, "Age") == "dir/t.csv:5:1"
    assert table.place(1, "b") == "dir/t.csv:7:2"


def test_unknown_column_names_the_closest():
    with pytest.raises(
        InputError,
        match=r"^target='age': dir/t\.csv has no such column \(did you mean 'Age'\?\); it has",
    ):
        make().index("age", "target")
    with pytest.raises(InputError, match=r"^column='nothing':"):
        make().column("nothing")


def test_columns_must_fit():
    with pytest.raises(InputError, match="expected one column a name, all of one length"):
        Table(("a",), (np.zeros(2),), "t", np.arange(3))


def test_check_names():
    check_names(("a", "b"), "t.csv:1")
    with pytest.raises(
        DataError, match=r"^t\.csv:1: .*found '\\x1b' \(column 1, 2\); rename them$"
    ):
        check_names(("\x1b", "\x1b"), "t.csv:1")
    with pytest.raises(DataError, match=r"'7' \(column 8, 18\) and 2 more; rename them or$"):
        check_names(tuple(str(i % 10) for i in range(20)), "t.csv:1", " or")
