"""The text of one LLVM function while it is written: instructions, names and literals."""

import struct
from typing import Any

import numpy as np

from chainrule.trace.graph import BOOL, DType

_FLOATS = {"float16": "half", "float32": "float", "float64": "double"}
SUFFIXES = {"half": "f16", "float": "f32", "double": "f64"}


def type_of(dtype: DType) -> str:
    """Return the type of a value in a register; bools are ``i1`` there and bytes in memory."""
    if dtype == BOOL:
        return "i1"
    return _FLOATS.get(dtype.name) or f"i{8 * dtype.itemsize}"


def literal(value: Any, dtype: DType) -> str:
    """Return a number of `dtype`; floats by their bits."""
    if dtype == BOOL:
        return "true" if value else "false"
    if dtype.kind != "f":
        return str(int(value))
    with np.errstate(over="ignore"):
        held = np.asarray(np.nan if value != value else value).astype(dtype)
    if dtype == np.float16:
        return f"0xH{held.view(np.uint16)[()]:04X}"
    return f"0x{struct.unpack('>Q', struct.pack('>d', float(held)))[0]:016X}"


class Function:
    """Instructions in order. `declared` collects the intrinsics that the module must declare."""

    def __init__(self, declared: set[str]) -> None:
        self.declared = declared
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.block = "entry"
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def let(self, instruction: str) -> str:
        """Write an instruction that has a result; return the result's name."""
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def variable(self, type_: str) -> str:
        """Return a pointer to a local variable, which LLVM turns into registers."""
        name = f"%{self.fresh()}"
        self.entry.append(f"  {name} = alloca {type_}")
        return name

    def intrinsic(self, name: str, type_: str, *args: str) -> str:
        """Call ``llvm.<name>``, whose arguments and result have one type."""
        full = f"@llvm.{name}.{SUFFIXES.get(type_, type_)}"
        self.declared.add(f"declare {type_} {full}({', '.join([type_] * len(args))})")
        return self.let(f"call {type_} {full}({', '.join(f'{type_} {arg}' for arg in args)})")

    def text(self, head: str) -> str:
        return "\n".join([f"define {head} {{", "entry:", *self.entry, *self.lines, "}"])
