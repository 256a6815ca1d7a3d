"""What can be read, what it is, and whether it fits in memory."""

import os
import socket
from pathlib import Path

import pytest

from chainrule.data import files
from chainrule.data.files import (
    available_memory,
    check_file,
    check_memory,
    describe,
    read_head,
    unreadable,
)
from chainrule.errors import DataError


def test_a_regular_file_passes(write):
    path = write("data.csv", "a")
    assert check_file(path) == "data.csv"
    assert check_file("data.csv") == "data.csv"
    assert read_head("data.csv") == b"a"


def test_absent(write):
    write("data.csv", "a")
    with pytest.raises(DataError, match=r"^dat\.csv: no such file \(did you mean 'data\.csv'\?\)$"):
        check_file("dat.csv")
    with pytest.raises(DataError, match=r"^quite_other: no such file$"):
        check_file("quite_other")
    with pytest.raises(DataError, match=r"no such file; the folder nowhere does not exist"):
        check_file("nowhere/data.csv")


def test_directory(tmp_path):
    with pytest.raises(DataError, match=r": is a directory; expected a file"):
        check_file(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_and_device_do_not_hang(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match=r"pipe\.csv: is a pipe \(FIFO\); expected a regular file"):
        check_file(pipe)
    with pytest.raises(DataError, match=r"^/dev/null: is a device or socket; expected a regular"):
        check_file("/dev/null")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets here")
def test_socket(write):
    write("x", "")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.csv")
        with pytest.raises(DataError, match=r"^s\.csv: is a device or socket"):
            check_file("s.csv")


def test_unreadable(write, monkeypatch):
    path = write("data.csv", "a")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(DataError, match=r"^data\.csv: cannot be read \(Permission denied\)"):
        read_head(str(path))
    monkeypatch.setattr(files.os, "stat", refuse)
    with pytest.raises(DataError, match=r"^data\.csv: cannot be read \(Permission denied\)"):
        check_file("data.csv")


def test_file_in_place_of_a_folder(write):
    write("data.csv", "a")
    with pytest.raises(DataError, match=r"^data\.csv/x\.csv: cannot be read \(Not a directory\)"):
        check_file("data.csv/x.csv")


def test_paths_are_escaped():
    with pytest.raises(DataError, match=r"^\\x1b\[31m\\n: no such file$") as caught:
        check_file("\x1b[31m\n")
    assert "\x1b" not in str(caught.value)
    with pytest.raises(DataError, match=r"^a\\x00b: a path cannot hold a NUL"):
        check_file("a\0b")


def test_error_without_a_reason():
    assert str(unreadable("f", OSError())).startswith("f: cannot be read (OSError)")


def test_zero_bytes(write):
    with pytest.raises(DataError, match=r"^data\.csv: the file is empty \(0 bytes\)"):
        read_head(str(write("data.csv", "")))


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x1f\x8b\x08\0", "gzip-compressed"),
        (b"BZh9", "bzip2-compressed"),
        (b"\xfd7zXZ\0", "xz-compressed"),
        (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
        (b"PAR1", "a Parquet file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Excel"),
        (b"PK\x03\x04...xl/workbook.xml", "an Excel workbook (xlsx)"),
        (b"PK\x03\x04data.csv", "a zip archive"),
        (b"\x80\x04\x95", "a Python pickle, which is never loaded"),
        (b"\n<!DOCTYPE html>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (b"%PDF-1.7", "a PDF document"),
    ],
)
def test_describe(head, what):
    said = describe(head)
    assert said is not None
    assert said.startswith(what)


def test_text_is_not_described():
    assert describe(b"a,b\n1,2\n") is None


def test_memory(monkeypatch):
    monkeypatch.setattr(files, "available_memory", lambda: 3 * 1024**3)
    check_memory("t.csv", 3 * 1024**3)
    with pytest.raises(
        DataError, match=r"^t\.csv: needs about 5\.5 TiB of memory, 3\.0 GiB is available; .*mmap"
    ):
        check_memory("t.csv", 11 * 1024**4 // 2)
    monkeypatch.setattr(files, "available_memory", lambda: 100)
    with pytest.raises(DataError, match=r"needs about 1000 bytes of memory, 100 bytes is"):
        check_memory("t.csv", 1000)
    monkeypatch.setattr(files, "available_memory", lambda: None)
    check_memory("t.csv", 1 << 80)


def test_available_memory(monkeypatch):
    monkeypatch.setattr(files, "_host_memory", lambda: 500)
    monkeypatch.setattr(files, "_group_memory", lambda: None)
    assert available_memory() == 500
    monkeypatch.setattr(files, "_group_memory", lambda: 20)
    assert available_memory() == 20


def test_memory_of_this_machine():
    free = available_memory()
    assert free is None or 1 << 20 < free < 1 << 50


def test_group_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "Path", lambda _: tmp_path)
    assert files._group_memory() is None
    Path(tmp_path, "memory.max").write_text("1000\n")
    Path(tmp_path, "memory.current").write_text("700\n")
    Path(tmp_path, "memory.stat").write_text("anon 10\ninactive_file 150\n")
    assert files._group_memory() == 450
    Path(tmp_path, "memory.max").write_text("max\n")
    assert files._group_memory() is None


def test_host_memory_without_proc(monkeypatch):
    def absent(*_args, **_kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(files, "open", absent, raising=False)
    free = files._host_memory()
    assert free is None or free > 1 << 20
    monkeypatch.setattr(files.os, "sysconf", absent)
    assert files._host_memory() is None


def test_nearest_file_in_an_unreadable_folder(write, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    write("data.csv", "a")
    monkeypatch.setattr(files.os, "listdir", refuse)
    with pytest.raises(DataError, match=r"^dat\.csv: no such file$"):
        check_file("dat.csv")
