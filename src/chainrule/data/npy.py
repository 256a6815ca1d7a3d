"""NPY and NPZ: headers are checked before any data is read; objects (pickles) never are."""

import os
import zipfile
from math import prod
from tokenize import TokenError
from typing import IO

import numpy as np

from chainrule.data.escaping import escape, listed
from chainrule.data.files import check_file, check_memory, describe, read_head, unreadable
from chainrule.data.table import HostArray
from chainrule.errors import DataError

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_PAIRS = (("X", "y"), ("x", "y"))


def read_npy(path: str | os.PathLike[str]) -> HostArray:
    """Return the array of an NPY file, any shape, of booleans, integers or floats as stored.

    Raises `DataError` for another format, objects, complex, text or structured dtypes, a file
    shorter or longer than its header says, or more than fits in memory.
    """
    name = check_file(path)
    label = escape(name)
    head = read_head(name)
    if not head.startswith(b"\x93NUMPY"):
        raise DataError(f"{label}: is {describe(head) or 'no NPY file'}; expected an NPY array")
    size = os.path.getsize(name)
    try:
        with open(name, "rb") as file:
            dtype, need = _check_header(file, label, size)
            check_memory(name, need)
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise unreadable(name, error) from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_npz(path: str | os.PathLike[str]) -> tuple[HostArray, HostArray | None]:
    """Return X and y of an NPZ file: its arrays X and y, or x and y, or its only two arrays.

    Of two arrays with other names the one with more dimensions is X. A single array is X, and y
    is None. Raises `DataError` as `read_npy` does, for damaged archives, and for other contents.
    """
    name = check_file(path)
    label = escape(name)
    head = read_head(name)
    if not head.startswith(b"PK"):
        raise DataError(f"{label}: is {describe(head) or 'no NPZ file'}; expected an NPZ archive")
    try:
        with zipfile.ZipFile(name) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            check_memory(name, sum(info.file_size for info in members.values()))
            keys = _keys(label, list(members))
            arrays = [_read_member(archive, members[key], f"{label}: {key!r}") for key in keys]
    except OSError as error:
        raise unreadable(name, error) from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{label}: damaged NPZ archive ({escape(str(error))}); write it again with numpy.savez"
        ) from None
    if len(arrays) == 1:
        return arrays[0], None
    x, y = arrays
    if keys not in _PAIRS:
        if x.ndim == y.ndim:
            raise DataError(
                f"{label}: arrays {listed(keys)} of shapes {x.shape} and {y.shape}; which is X? "
                "name them X and y"
            )
        x, y = (x, y) if x.ndim > y.ndim else (y, x)
    return x, y


def _keys(label: str, keys: list[str]) -> tuple[str, ...]:
    for pair in _PAIRS:
        if set(pair) <= set(keys):
            return pair
    if len(keys) in (1, 2):
        return tuple(keys)
    raise DataError(
        f"{label}: holds {len(keys)} arrays ({listed(keys) or 'none'}); expected X and y, or two"
    )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> HostArray:
    with archive.open(info) as file:
        dtype, _ = _check_header(file, label, info.file_size)
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _check_header(file: IO[bytes], label: str, size: int) -> tuple[np.dtype, int]:
    """Return the dtype and the bytes of data the header promises, or refuse them unread."""
    try:
        version = np.lib.format.read_magic(file)
        read = _HEADERS.get(version)
        shape, _, dtype = read(file) if read else ((), False, np.dtype("O"))
        if any(type(side) is not int or side < 0 for side in shape):
            raise ValueError(shape)
    except (ValueError, TypeError, SyntaxError, TokenError):
        raise DataError(f"{label}: damaged NPY header; write it again with numpy.save") from None
    if not read:
        raise DataError(
            f"{label}: NPY version {version[0]}.{version[1]}; expected 1.0 or 2.0, written "
            "for arrays of numbers"
        )
    if dtype.hasobject:
        raise DataError(
            f"{label}: holds Python objects (dtype object), which are never unpickled; convert "
            "with array.astype(float) before numpy.save"
        )
    if dtype.kind not in "biuf":
        raise DataError(
            f"{label}: dtype {dtype}; expected booleans, integers or floats: convert the array "
            "before saving it"
        )
    need = prod(shape) * dtype.itemsize
    if need != size - file.tell():
        raise DataError(
            f"{label}: shape {shape} of {dtype} takes {need} bytes, the file holds "
            f"{size - file.tell()}; it is cut short or damaged: copy or write it again"
        )
    return dtype, need
