"""IDX, the format of MNIST: a big-endian header, then the array; plain or gzip-compressed.

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", file formats.
"""

import gzip
import os
import re
import zlib
from math import prod
from typing import IO, cast

import numpy as np

from chainrule.data.escaping import escape
from chainrule.data.files import check_file, check_memory, describe, read_head, unreadable
from chainrule.data.table import HostArray
from chainrule.errors import DataError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> HostArray:
    """Return the array of an IDX file, gzip-compressed or not, in native byte order.

    Types: unsigned and signed bytes, int16, int32, float32, float64. Raises `DataError` for
    another format, a file shorter or longer than its header says, or more than fits in memory.
    """
    name = check_file(path)
    head = read_head(name)
    packed = head.startswith(b"\x1f\x8b")
    try:
        with open(name, "rb") as raw:
            if not packed:
                return _read(raw, name, os.path.getsize(name))
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(cast(IO[bytes], unpacked), name, None)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(
            f"{escape(name)}: damaged or cut short gzip data; copy or download it again"
        ) from None
    except OSError as error:
        raise unreadable(name, error) from None


def read_idx_pair(
    images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> tuple[HostArray, HostArray]:
    """Return X (n, ...) and y (n,) of an IDX file of images and one of labels.

    labels: by default the file whose name has "labels" for "images" and "idx1" for "idx3".
    Raises `DataError` as `read_idx` does, or when the two do not fit.
    """
    if labels is None:
        labels = labels_path(images)
    x, y = read_idx(images), read_idx(labels)
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
        raise DataError(
            f"{escape(os.fspath(labels))}: labels of shape {y.shape} for images of shape "
            f"{x.shape}; expected one label an image, (n,) and (n, ...)"
        )
    return x, y


def labels_path(images: str | os.PathLike[str]) -> str:
    """Return the path of the labels that belong to a file of images, by MNIST's naming."""
    path = os.fspath(images)
    folder, base = os.path.dirname(path), os.path.basename(path)
    name = re.sub(r"idx\d", "idx1", base.replace("images", "labels"))
    if "images" not in base:
        raise DataError(
            f"{escape(path)}: the labels' file cannot be told from this name; "
            "expected 'images' in it, or pass labels="
        )
    return os.path.join(folder, name)


def _read(file: IO[bytes], path: str, size: int | None) -> HostArray:
    label = escape(path)
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not magic[3]:
        what = describe(magic)
        raise DataError(
            f"{label}: is {what or 'no IDX file'} (first bytes {magic.hex(' ')}); expected 00 00, "
            "a type (08 for bytes) and the number of dimensions"
        )
    dtype = np.dtype(_DTYPES[magic[2]])
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{label}: cut short in its header; copy or download it again")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    need = prod(shape) * dtype.itemsize
    start = len(magic) + len(sizes)
    if size is not None and need != size - start:
        raise DataError(_wrong_size(label, shape, dtype, need, str(size - start)))
    check_memory(path, 2 * need)
    data = file.read(need)
    if len(data) < need or file.read(1):
        found = str(len(data)) if len(data) < need else "more"
        raise DataError(_wrong_size(label, shape, dtype, need, found))
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _wrong_size(label: str, shape: tuple[int, ...], dtype: np.dtype, need: int, found: str) -> str:
    return (
        f"{label}: shape {shape} of {dtype} takes {need} bytes, the file holds {found}; it is cut "
        "short or damaged: copy or download it again"
    )
