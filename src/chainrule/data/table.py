"""A table read from a file: named columns, raw text or numbers, and where each cell stands."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.escaping import close_to, escape, listed, shown
from chainrule.errors import DataError, InputError

HostArray: TypeAlias = NDArray[Any]

TEXT = np.dtypes.StringDType()
"""The dtype of a column of text: variable-width UTF-8, 16 bytes a short cell."""

_LINE_END = re.compile("\r\n|\r|\n")


class DataWarning(UserWarning):
    """Something in the data that chainrule worked around and that the user should know."""


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length and the place of every row in its file.

    names: column names, unique and not blank.
    columns: one array (n,) a name: text (`TEXT`, an empty cell is ``""``), bool, integer, or float
        with NaN for a missing cell.
    path: the file, for messages.
    lines: (n,) int64, the physical line each row begins on, counted from 1 (Parquet: the row).
    first_line: the line of the column names, for messages.
    """

    names: tuple[str, ...]
    columns: tuple[HostArray, ...]
    path: str
    lines: NDArray[np.int64]
    first_line: int = 1

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns} | {len(self.lines)}
        if len(lengths) != 1 or len(self.names) != len(self.columns):
            raise InputError(
                f"Table: {len(self.names)} names, {len(self.columns)} columns and "
                f"{len(self.lines)} lines with lengths {sorted(lengths)}; expected one column a "
                "name, all of one length"
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)

    def column(self, name: str) -> HostArray:
        """Return the column called `name`; `InputError` names the closest when there is none."""
        return self.columns[self.index(name)]

    def index(self, name: str, argument: str = "column") -> int:
        """Return the position of `name`; `argument` is the setting that a message blames."""
        if name not in self.names:
            raise InputError(
                f"{argument}={shown(name)}: {escape(self.path)} has no such column"
                f"{close_to(name, self.names)}; it has {listed(self.names)}"
            )
        return self.names.index(name)

    def place(self, row: int, name: str) -> str:
        """Return ``path:line:column`` of a cell: its physical line, and its column from 1."""
        return f"{escape(self.path)}:{self.spot(row, name)}"

    def spot(self, row: int, name: str) -> str:
        """Return ``line:column`` of a cell. Line ends inside quoted cells before it are counted."""
        index = self.names.index(name)
        line = int(self.lines[row])
        for column in self.columns[:index]:
            if column.dtype == TEXT:
                line += len(_LINE_END.findall(column[row]))
        return f"{line}:{index + 1}"


def check_names(names: tuple[str, ...], where: str, hint: str = "") -> None:
    """Refuse blank and repeated column names, and list them with their positions from 1."""
    places: dict[str, list[int]] = {}
    for position, name in enumerate(names, 1):
        places.setdefault(name, []).append(position)
    faults = [
        f"{shown(name) if name else 'blank'} (column {', '.join(map(str, where_it_is))})"
        for name, where_it_is in places.items()
        if not name or len(where_it_is) > 1
    ]
    if faults:
        more = f" and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise DataError(
            f"{where}: column names must be unique and not blank, found "
            f"{', '.join(faults[:8])}{more}; rename them{hint}"
        )
