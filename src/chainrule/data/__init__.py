"""Data: files, tables and their schema, and built-in data sets. All on the host, in NumPy.

The names are imported when they are first used, so that `import chainrule.data` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.data.builtin import NAMES, Dataset, linear, load, xor
    from chainrule.data.csv_file import read_csv
    from chainrule.data.escaping import escape
    from chainrule.data.missing import complete_rows
    from chainrule.data.parquet import read_parquet
    from chainrule.data.sampler import Sampler
    from chainrule.data.schema import Schema
    from chainrule.data.sources import file_kind, load_arrays, open_table
    from chainrule.data.splitting import split
    from chainrule.data.table import DataWarning, Table
    from chainrule.data.target import ClassTarget, NumberTarget, class_counts, fit_target

__all__ = [
    "NAMES",
    "ClassTarget",
    "DataWarning",
    "Dataset",
    "NumberTarget",
    "Sampler",
    "Schema",
    "Table",
    "class_counts",
    "complete_rows",
    "escape",
    "file_kind",
    "fit_target",
    "linear",
    "load",
    "load_arrays",
    "open_table",
    "read_csv",
    "read_parquet",
    "split",
    "xor",
]

_HOMES = {
    "builtin": ("NAMES", "Dataset", "linear", "load", "xor"),
    "csv_file": ("read_csv",),
    "escaping": ("escape",),
    "missing": ("complete_rows",),
    "parquet": ("read_parquet",),
    "sampler": ("Sampler",),
    "schema": ("Schema",),
    "sources": ("file_kind", "load_arrays", "open_table"),
    "splitting": ("split",),
    "table": ("DataWarning", "Table"),
    "target": ("ClassTarget", "NumberTarget", "class_counts", "fit_target"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
