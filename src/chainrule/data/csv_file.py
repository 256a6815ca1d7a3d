"""CSV and TSV by the standard library's reader: strict, streamed, every fault with its line."""

import codecs
import csv
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, TypeAlias
from warnings import warn

import numpy as np

from chainrule.data.escaping import escape, shown
from chainrule.data.files import HEAD, check_file, check_memory, describe, read_head, unreadable
from chainrule.data.table import TEXT, DataWarning, HostArray, Table, check_names
from chainrule.errors import DataError, InputError

Header: TypeAlias = bool | Literal["auto"]

_BLOCK = 8192
_DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'", " ": "a space"}
_LINE_END = re.compile(b"\r\n|\r|\n")


def read_csv(
    path: str | os.PathLike[str], *, delimiter: str | None = None, header: Header = "auto"
) -> Table:
    """Read a CSV or TSV file as a `Table` of raw text.

    delimiter: one character; by default a tab for ``.tsv`` and ``.tab``, else a comma.
    header: True, the first line holds the column names; False, it is data and the columns are
        called column1, column2, ...; "auto", as True, with a `DataWarning` when most of the first
        line's cells are numbers.

    The file is UTF-8, with or without a byte-order mark. Quotes are double quotes, doubled inside
    a quoted cell; quoted line ends, CRLF and CR are understood. Blank lines are skipped. Cells
    are kept exactly; names lose the blanks around them.

    Raises `DataError` with ``path:line`` for ragged rows, quotes that do not close, bytes that are
    not UTF-8 (with their offset), NUL bytes, names that repeat, no rows, or a file that is no text.
    """
    name = check_file(path)
    head = read_head(name)
    _refuse_binary(name, head)
    if delimiter is None:
        mark, given = ("\t" if name.lower().endswith((".tsv", ".tab")) else ","), False
    else:
        mark, given = _check_delimiter(delimiter), True
    check_memory(name, _memory_needed(name, head, mark))
    try:
        with open(name, encoding="utf-8-sig", newline="") as file:
            return _read(name, file, head, mark, given, header)
    except UnicodeDecodeError:
        raise _bad_utf8(name) from None
    except OSError as error:
        raise unreadable(name, error) from None


def _read(
    path: str, file: Iterable[str], head: bytes, delimiter: str, given: bool, header: Header
) -> Table:
    label = escape(path)
    records = _records(label, _without_nul(label, file), delimiter)
    beginning = next(records, None)
    if beginning is None:
        raise DataError(f"{label}: 0 data rows; the file holds only blank lines")
    first_line, first = beginning
    hint = _delimiter_hint(head, delimiter)
    if len(first) == 1 and hint and not given:
        raise DataError(f"{label}:{first_line}: 1 field, expected several{hint}")
    if header is False:
        names = tuple(f"column{i + 1}" for i in range(len(first)))
        records = chain([beginning], records)
    else:
        names = tuple(cell.strip() for cell in first)
        _check_header(f"{label}:{first_line}", names, header)

    columns, lines = _collect(label, records, len(names), first_line, hint)
    if not lines.size:
        raise DataError(
            f"{label}: 0 data rows after the column names on line {first_line}; expected at least "
            "one (if that line is data, pass --no-header, in Python header=False)"
        )
    return Table(names, columns, path, lines, first_line)


def _collect(
    label: str, records: Iterable[tuple[int, list[str]]], width: int, first_line: int, hint: str
) -> tuple[tuple[HostArray, ...], HostArray]:
    blocks: list[list[HostArray]] = [[] for _ in range(width)]
    rows: list[list[str]] = []
    lines: list[int] = []

    def flush() -> None:
        for block, cells in zip(blocks, zip(*rows, strict=True), strict=False):
            block.append(np.array(cells, dtype=TEXT))
        rows.clear()

    for line, row in records:
        if len(row) != width:
            way_out = hint or "; quote a cell that holds the delimiter or a quote"
            raise DataError(
                f"{label}:{line}: {_fields(len(row))}, expected {width} as on line {first_line}"
                f"{way_out}"
            )
        rows.append(row)
        lines.append(line)
        if len(rows) == _BLOCK:
            flush()
    flush()
    empty = np.array([], dtype=TEXT)
    columns = tuple(np.concatenate(block) if block else empty for block in blocks)
    return columns, np.array(lines, dtype=np.int64)


def _records(label: str, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not a blank line with the physical line it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        text = str(error)
        if "unexpected end" in text or "field larger" in text:
            reason = "a quote opened in this row never closes, or a cell passes 131072 characters"
        elif "expected after" in text:
            reason = "text after a closing quote; double the quotes inside a quoted cell"
        else:
            reason = escape(text)
        raise DataError(f"{label}:{start}: {reason}") from None


def _without_nul(label: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise DataError(
                f"{label}:{number}: a NUL byte (character {line.index(chr(0)) + 1} of the line); "
                "this is not text, or the file is damaged: write it again as UTF-8 text"
            )
        yield line


def _check_header(where: str, names: tuple[str, ...], header: Header) -> None:
    numbers = [name for name in names if _is_number(name)]
    counted = numbers == [str(i) for i in range(len(numbers))]
    like_data = header == "auto" and 2 * len(numbers) > len(names) and not counted
    hint = ", or pass --no-header (header=False) if this line is data" if like_data else ""
    check_names(names, where, hint)
    if like_data:
        warn(
            f"{where}: the first line looks like data ({shown(numbers[0])}, ...) and is taken as "
            "column names; pass --no-header (header=False) if it is data, header=True if not",
            DataWarning,
            stacklevel=5,
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_delimiter(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(
            f"delimiter={delimiter!r}: expected one character such as ',' ';' or a tab, "
            "not a quote or a line end"
        )
    return delimiter


def _delimiter_hint(head: bytes, delimiter: str) -> str:
    """Return words that name a likelier delimiter, or nothing when there is none.

    Likely is one that splits each of the first ten lines into equally many fields, two or more,
    when the present one does not.
    """
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    if len(head) == HEAD:
        lines = lines[:-1]
    lines = [line for line in lines[:10] if line]
    if _even(lines, delimiter):
        return ""
    for candidate, name in _DELIMITERS.items():
        if candidate != delimiter and _even(lines, candidate):
            option = r"'\t'" if candidate == "\t" else f"'{candidate}'"
            return f"; the delimiter looks like {name}: pass --delimiter {option}"
    return ""


def _even(lines: list[str], delimiter: str) -> bool:
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
    except csv.Error:
        return False
    return len(widths) == 1 and widths.pop() > 1


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _refuse_binary(path: str, head: bytes) -> None:
    label = escape(path)
    what = describe(head)
    if what:
        raise DataError(f"{label}: is {what}")
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if head.startswith(mark):
            raise DataError(_utf16(label, encoding, "its byte-order mark at byte offset 0"))
    odd = head[1::2]
    if 3 * head.count(0) > len(head) and odd.count(0) in (0, len(odd)):
        raise DataError(_utf16(label, "UTF-16", f"a NUL byte at offset {head.index(0)}"))


def _utf16(label: str, encoding: str, sign: str) -> str:
    return (
        f"{label}: is {encoding} text ({sign}), expected UTF-8; convert it: "
        f"iconv -f {encoding} -t UTF-8"
    )


def _bad_utf8(path: str) -> DataError:
    """Read again from the start and name the first byte that is not UTF-8, its offset and line."""
    offset, line = 0, 1
    with open(path, "rb") as file:
        for raw in file:
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                line += len(_LINE_END.findall(raw[: error.start]))
                return DataError(
                    f"{escape(path)}:{line}: byte 0x{raw[error.start]:02x} at offset "
                    f"{offset + error.start} is not UTF-8; convert the file, for example: "
                    "iconv -f LATIN1 -t UTF-8"
                )
            line += len(_LINE_END.findall(raw))
            offset += len(raw)
    return DataError(f"{escape(path)}: changed while it was read; read it again")


def _memory_needed(path: str, head: bytes, delimiter: str) -> int:
    """Estimate the bytes a table and its float64 features take, from the density of cells."""
    cells = head.count(delimiter.encode()) + head.count(b"\n") + 1
    size = os.path.getsize(path)
    return size * cells * 48 // len(head) + size
