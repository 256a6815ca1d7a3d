"""A user's mistake, end to end: one line that names the place and the way out, exit code 2."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from cli.tables import NAMES, people_rows, write_table

ROWS = people_rows()


def changed(row: int, column: int, cell: str) -> list[list[str]]:
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = cell
    return rows


def one_class(name: str) -> list[list[str]]:
    return [[*cells[:3], name] for cells in ROWS]


def table(rows: list[list[str]], names: list[str] | None = None, **options):
    return lambda path: write_table(path, rows, NAMES if names is None else names, **options)


def content(data: bytes):
    return lambda path: path.write_bytes(data)


FAULTS = {
    "1 ragged row": (
        table([*ROWS[:15], ROWS[15][:3], *ROWS[16:]]),
        r"data\.csv:17: 3 fields, expected 4",
    ),
    "2 missing cells": (
        table(changed(3, 0, "")[:20] + changed(30, 2, "NA")[20:]),
        r"data\.csv:5:1: 2 missing cells in 'age', 'colour', first at 5:1, 32:3 .*--missing mean",
    ),
    "2 a missing target": (
        table(changed(3, 3, "")),
        r"data\.csv:5:4: 1 missing cell in 'bought'.*--missing drop",
    ),
    "3 a cell that is no number": (
        table(changed(9, 0, "twelve" * 30)),
        r"data\.csv:11:1: column 'age': 'twelve.{1,40}\.\.\.' is not a number",
    ),
    "4 zero bytes": (content(b""), r"data\.csv: the file is empty \(0 bytes\)"),
    "5 header only": (table([]), r"data\.csv: 0 data rows"),
    "7 UTF-16": (
        content("a,b\n1,2\n".encode("utf-16")),
        r"data\.csv: is UTF-16 text \(its byte-order mark at byte offset 0\)",
    ),
    "7 bad UTF-8": (
        content(b"a,b\n1,x\n2,\xff\n"),
        r"data\.csv:3: byte 0xff at offset 10 is not UTF-8",
    ),
    "8 wrong delimiter": (table(ROWS, delimiter=";"), r"looks like ';': pass --delimiter ';'"),
    "10 names that repeat or are blank": (
        table(ROWS, ["age", "age", "", "bought"]),
        r"data\.csv:1: column names must be unique and not blank, found 'age' \(column 1, 2\), "
        r"blank \(column 3\)",
    ),
    "12 gzip": (content(gzip.compress(b"a,b\n1,2\n")), r"data\.csv: is gzip-compressed"),
    "12 NUL bytes": (content(b"a,b\n1,2\n3,\0\n"), r"data\.csv:3: a NUL byte"),
    "13 decimal comma": (
        table(changed(4, 1, "1,5")),
        r"data\.csv:6:2: column 'hours': '1,5' is not a number; a decimal comma",
    ),
    "13 out of range": (
        table(changed(4, 1, "1e400")),
        r"data\.csv:6:2: column 'hours': '1e400' is out of range",
    ),
    "13 nan as text": (
        table(changed(4, 1, "nan")),
        r"data\.csv:6:2: 1 missing cell in 'hours'",
    ),
    "14 terminal escapes": (
        table(changed(4, 0, "\x1b[31mred")),
        r"data\.csv:6:1: column 'age': '\\x1b\[31mred' is not a number",
    ),
    "15 a single class": (
        table(one_class("same")),
        r"data\.csv: target 'bought' has a single class, 'same'",
    ),
    "16 a class of one": (
        table(changed(5, 3, "maybe")),
        r"data\.csv: target 'bought': one row only of class 'maybe'.*--validation 0",
    ),
    "20 a directory": (Path.mkdir, r"data\.csv: is a directory"),
    "20 a FIFO": (os.mkfifo, r"data\.csv: is a pipe \(FIFO\)"),
}


def refused(result, message: str, code: int = 2) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert re.search(rf"^chainrule: error: .*{message}", lines[-1]), lines[-1]
    assert len([line for line in lines if "error" in line]) == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_table_is_named(run, name):
    make, message = FAULTS[name]
    make(Path("data.csv"))
    refused(run("train", "data.csv", "--json"), message)
    assert not Path("runs").exists()


def test_no_header_is_warned_about(run):
    write_table(Path("data.csv"), [row[:2] + row[3:] for row in ROWS])
    result = run("train", "data.csv", "--epochs", 1)
    assert "chainrule: warning: data.csv:1: the first line looks like data" in result.stderr
    assert "--no-header" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_line_ends_crlf_and_a_byte_order_mark_are_read(good, encoding, end):
    rows = [[*row[:2], f"{row[2]}\nor so, maybe", row[3]] for row in ROWS]
    write_table(Path("data.csv"), rows, NAMES, encoding=encoding, lineterminator=end)
    result = good("train", "data.csv", "--epochs", 1)
    assert result["rows"] + result["held_out_rows"] == 60
    assert '"age"' in Path(result["run"], "schema.json").read_text()


def test_an_absent_target_gets_the_nearest_name(run, people):
    refused(run("train", people, "--target", "bougth"), r"--target='bougth': .*'bought'")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(run, people):
    people.chmod(0)
    refused(run("train", people), r"people\.csv: cannot be read \(Permission denied\)")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digitz", r"'digitz': no such file, and no built-in data set .*did you mean 'digits'"),
        ("nowhere.csv", r"nowhere\.csv: no such file"),
        ("nowhere/data.csv", r"nowhere/data\.csv: no such file; the folder nowhere does not exist"),
        ("peple.csv", r"peple\.csv: no such file \(did you mean 'people\.csv'\?\)"),
        ("notes.docx", r"notes\.docx: is of unknown format"),
    ],
)
def test_a_data_set_or_file_that_is_not_there(run, people, source, message):
    Path("notes.docx").write_text("hello")
    refused(run("train", source), message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--batch-size", 0), r"--batch-size=0: expected a positive integer"),
        (("--batch-size", -3), r"--batch-size=-3: expected a positive integer"),
        (("--batch-size", 1.5), r"Invalid value for '--batch-size': '1\.5' is not a valid integer"),
        (("--epochs", 0), r"--epochs=0: expected a positive integer"),
        (("--lr", "nan"), r"lr=nan: expected a positive finite number"),
        (("--lr", -1), r"lr=-1\.0: expected a positive finite number"),
        (("--lr", "fast"), r"Invalid value for '--lr': 'fast' is not a valid float"),
        (("--optimizer", "adan"), r"--optimizer='adan' is unknown \(did you mean 'adam'\?\)"),
        (("--activation", "rleu"), r"--activation='rleu' is unknown \(did you mean 'relu'\?\)"),
        (("--backend", "nump"), r"backend='nump' is unknown \(did you mean 'numpy'\?\)"),
        (("--backend", "torch:cuda"), r"backend='torch:cuda': .*devices here: cpu"),
        (("--dtype", "float8"), r"--dtype='float8' is unknown \(did you mean 'float"),
        (("--task", "regresion"), r"--task='regresion' is unknown \(did you mean 'regression'"),
        (("--task", "regression"), r"--task regression: digits holds classes"),
        (("--missing", "men"), r"--missing='men' is unknown \(did you mean 'mean'\?\)"),
        (("--missing", "mean"), r"--missing mean: digits is no table"),
        (("--target", "x"), r"--target 'x': digits is a built-in data set; leave the option out"),
        (("--no-header",), r"--no-header: digits is a built-in data set"),
        (("--delimiter", ";"), r"--delimiter ';': digits is a built-in data set"),
        (("--hidden", "12,x"), r"--hidden='12,x': expected layer sizes separated by commas"),
        (("--hidden", "0"), r"--hidden='0': expected layer sizes separated by commas"),
        (("--dropout", 1), r"Dropout\(rate=1\.0\): expected a number in \[0, 1\)"),
        (("--validation", 1), r"--validation=1: expected a fraction of the rows below 1"),
        (("--validation", "nan"), r"--validation=nan: expected a fraction"),
        (("--weight-decay", -1), r"--weight-decay=-1: expected a finite number >= 0"),
        (("--clip-norm", 0), r"--clip-norm=0: expected a positive number"),
        (("--clip-norm", 1, "--optimizer", "lbfgs"), r"--clip-norm=1: lbfgs clips nothing"),
        (("--patience", 0), r"--patience=0: expected a positive integer"),
        (("--time-budget", "inf"), r"--time-budget=inf: expected a finite number >= 0"),
        (("--checkpoint-every", 0), r"--checkpoint-every=0: expected a positive integer"),
        (("--seed", -1), r"seed=-1: expected an integer from 0"),
        (("--hiden", 3), r"No such option"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(run, flags, message):
    refused(run("train", "digits", *flags, "--json", "--quiet"), message)
    assert not Path("runs").exists()


def test_a_batch_larger_than_the_data_is_warned_about(run):
    result = run("train", "iris", "--epochs", 1, "--batch-size", 500)
    assert result.exit_code == 0
    warning = "chainrule: warning: batch_size=500 is more than the 120 rows: one batch an epoch\n"
    assert warning in result.stderr


def test_an_out_that_cannot_be_made_is_named(run):
    Path("taken").write_text("a file")
    refused(run("train", "xor", "--out", "taken"), r"--out taken: is a file; expected a folder")
    refused(run("train", "xor", "--out", "taken/run"), r"taken/run: Not a directory")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((6, 2)), None, r"data\.npz: holds no y; expected an \.npz with X and y"),
        (np.ones(6), np.arange(6), r"data\.npz: X has shape \(6,\); expected \(rows, features\)"),
        (np.ones((6, 2)), np.ones((6, 3)), r"data\.npz: y has shape \(6, 3\); .* one target a row"),
        (
            np.asarray([[1, np.nan]] * 6),
            np.asarray([0, 1] * 3),
            r"data\.npz: X holds 6 NaN or infinite values, the first at X\[0, 1\]",
        ),
        (np.ones((4, 2)), np.zeros(4, int), r"data\.npz: target 'target' has a single class, '0'"),
        (np.ones((3, 2)), np.arange(4), r"data\.npz: X and y of shapes"),
    ],
)
def test_faulty_arrays_are_named(run, x, y, message):
    np.savez("data.npz", X=x, **({} if y is None else {"y": y}))
    refused(run("train", "data.npz"), message)
    refused(run("train", "data.npz", "--no-header"), r"--no-header: data\.npz holds arrays")
