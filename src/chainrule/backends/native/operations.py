"""Every elementwise operation of a graph as LLVM instructions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.backends.native.writer import SUFFIXES, Function, literal, type_of
from chainrule.trace import elementary
from chainrule.trace.array import TraceError
from chainrule.trace.graph import BOOL, COMPARISONS, DType

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_WHOLE = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT_TESTS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INTRINSICS = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "roundeven"}
_RECIPES: dict[str, Callable[[Any, str], str]] = {
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "tanh": elementary.tanh,
}
_LIBRARY = ("pow", "sin", "cos")
_SINGLE = np.dtype(np.float32)


def operation(f: Function, op: str, args: Sequence[str], of: DType, dtype: DType) -> str:
    """Write ``op(args)``, the arguments of dtype `of`; return the result's name."""
    t = type_of(of)
    if op == "copy":
        return args[0]
    if op == "cast":
        return cast(f, args[0], of, dtype)
    if op == "where":
        return f.let(f"select i1 {args[0]}, {t} {args[1]}, {t} {args[2]}")
    if op in COMPARISONS:
        return _compare(f, op, args, of)
    if of.kind == "f":
        return _float(f, op, args, of, t)
    return _integer(f, op, args, of, t)


def _float(f: Function, op: str, args: Sequence[str], of: DType, t: str) -> str:
    if op in _FLOAT:
        return f.let(f"{_FLOAT[op]} {t} {args[0]}, {args[1]}")
    if op == "neg":
        return f.let(f"fneg {t} {args[0]}")
    if op == "abs":
        return f.intrinsic("fabs", t, args[0])
    if op in _INTRINSICS:
        return f.intrinsic(_INTRINSICS[op], t, args[0])
    if op in ("maximum", "minimum"):
        return _extreme(f, op, args, t)
    if op == "sign":
        zero, one, minus = (literal(number, of) for number in (0, 1, -1))
        below = f.let(f"fcmp olt {t} {args[0]}, {zero}")
        above = f.let(f"fcmp ogt {t} {args[0]}, {zero}")
        none = f.let(f"fcmp oeq {t} {args[0]}, {zero}")
        rest = f.let(f"select i1 {none}, {t} {zero}, {t} {args[0]}")
        rest = f.let(f"select i1 {below}, {t} {minus}, {t} {rest}")
        return f.let(f"select i1 {above}, {t} {one}, {t} {rest}")
    if op == "isnan":
        return f.let(f"fcmp uno {t} {args[0]}, {args[0]}")
    if op == "isfinite":
        size = f.intrinsic("fabs", t, args[0])
        return f.let(f"fcmp olt {t} {size}, {literal(np.inf, of)}")
    if op in _RECIPES or op in _LIBRARY:
        if of == np.float16:
            wide = [cast(f, arg, of, _SINGLE) for arg in args]
            return cast(f, _float(f, op, wide, _SINGLE, "float"), _SINGLE, of)
        if op in _LIBRARY:
            return f.intrinsic(op, t, *args)
        return _RECIPES[op](Arithmetic(f, of), args[0])
    raise TraceError(f"{op} of {of.name}")


_NANS = {literal(np.nan, np.dtype(f"float{bits}")) for bits in (16, 32, 64)}
"""The one NaN of each dtype that `literal` writes."""


def _extreme(f: Function, op: str, args: Sequence[str], t: str) -> str:
    """The larger or smaller; NaN if either is."""
    test = "ugt" if op == "maximum" else "ult"
    better = f.let(f"fcmp {test} {t} {args[0]}, {args[1]}")
    found = f.let(f"select i1 {better}, {t} {args[0]}, {t} {args[1]}")
    if not args[1].startswith("%") and args[1] not in _NANS:
        return found
    missing = f.let(f"fcmp uno {t} {args[1]}, {args[1]}")
    return f.let(f"select i1 {missing}, {t} {args[1]}, {t} {found}")


def _integer(f: Function, op: str, args: Sequence[str], of: DType, t: str) -> str:
    signed = "s" if of.kind == "i" else "u"
    if op in _WHOLE and not (of == BOOL and op in ("sub", "mul", "add")):
        return f.let(f"{_WHOLE[op]} {t} {args[0]}, {args[1]}")
    if of == BOOL and op in ("add", "mul"):
        return f.let(f"{'or' if op == 'add' else 'and'} i1 {args[0]}, {args[1]}")
    if op in ("shl", "shr") and args[1].isdigit() and int(args[1]) < 8 * of.itemsize:
        kind = "shl" if op == "shl" else "ashr" if of.kind == "i" else "lshr"
        return f.let(f"{kind} {t} {args[0]}, {args[1]}")
    if op == "not":
        return f.let(f"xor {t} {args[0]}, {literal(1 if of == BOOL else -1, of)}")
    if op == "neg" and of != BOOL:
        return f.let(f"sub {t} 0, {args[0]}")
    if op in ("maximum", "minimum"):
        test = f"{signed}gt" if op == "maximum" else f"{signed}lt"
        better = f.let(f"icmp {test} {t} {args[0]}, {args[1]}")
        return f.let(f"select i1 {better}, {t} {args[0]}, {t} {args[1]}")
    if op == "abs" and of.kind != "i":
        return args[0]
    if op == "abs":
        minus = f.let(f"sub {t} 0, {args[0]}")
        below = f.let(f"icmp slt {t} {args[0]}, 0")
        return f.let(f"select i1 {below}, {t} {minus}, {t} {args[0]}")
    if op in ("isfinite", "isnan"):
        return "true" if op == "isfinite" else "false"
    raise TraceError(f"{op} of {of.name}")


def _compare(f: Function, op: str, args: Sequence[str], of: DType) -> str:
    t = type_of(of)
    if of.kind == "f":
        return f.let(f"fcmp {_FLOAT_TESTS[op]} {t} {args[0]}, {args[1]}")
    signed = "" if op in ("eq", "ne") else "s" if of.kind == "i" else "u"
    return f.let(f"icmp {signed}{op} {t} {args[0]}, {args[1]}")


def cast(f: Function, x: str, of: DType, to: DType) -> str:
    """Write a conversion; floats out of an integer's range go to its nearest end, NaN to 0."""
    a, b = type_of(of), type_of(to)
    if of == to:
        return x
    if to == BOOL:
        zero = literal(0, of)
        return f.let(f"fcmp une {a} {x}, {zero}" if of.kind == "f" else f"icmp ne {a} {x}, 0")
    if of == np.float64 and to == np.float16:
        return f.let(f"fptrunc float {_rounded_to_odd(f, x)} to half")
    if of.kind == "f" and to.kind == "f":
        return f.let(f"{'fpext' if to.itemsize > of.itemsize else 'fptrunc'} {a} {x} to {b}")
    if of.kind == "f":
        name = f"fpto{'s' if to.kind == 'i' else 'u'}i.sat"
        full = f"@llvm.{name}.{b}.{SUFFIXES[a]}"
        f.declared.add(f"declare {b} {full}({a})")
        return f.let(f"call {b} {full}({a} {x})")
    signed = of.kind == "i"
    if to.kind == "f":
        return f.let(f"{'sitofp' if signed else 'uitofp'} {a} {x} to {b}")
    if to.itemsize == of.itemsize and of != BOOL:
        return x
    wider = of == BOOL or to.itemsize > of.itemsize
    return f.let(f"{('sext' if signed else 'zext') if wider else 'trunc'} {a} {x} to {b}")


def _rounded_to_odd(f: Function, x: str) -> str:
    """A float64 as float32 from which rounding to float16 finds what it would find from float64.

    Processors have no direct conversion, and rounding twice errs at ties. Cut off instead of
    rounded, with the last bit set where something was cut off, no tie can arise (Boldo &
    Melquiond 2008).
    """
    near = f.let(f"fptrunc double {x} to float")
    back = f.let(f"fpext float {near} to double")
    size, given = f.intrinsic("fabs", "double", back), f.intrinsic("fabs", "double", x)
    above = f.let(f"zext i1 {f.let(f'fcmp ogt double {size}, {given}')} to i32")
    inexact = f.let(f"zext i1 {f.let(f'fcmp one double {back}, {x}')} to i32")
    bits = f.let(f"bitcast float {near} to i32")
    bits = f.let(f"or i32 {f.let(f'sub i32 {bits}, {above}')}, {inexact}")
    return f.let(f"bitcast i32 {bits} to float")


def folded(f: Function, kind: str, total: str, x: str, dtype: DType, *, free: bool = False) -> str:
    """Write ``total (kind) x``; with `free`, sums may be taken in any order."""
    t = type_of(dtype)
    if kind in ("all", "any"):
        return f.let(f"{'and' if kind == 'all' else 'or'} i1 {total}, {x}")
    if dtype.kind != "f":
        name = {"sum": "add", "max": "maximum", "min": "minimum"}[kind]
        return _integer(f, name, [total, x], dtype, t)
    if kind == "sum":
        return f.let(f"fadd {'reassoc ' if free else ''}{t} {total}, {x}")
    return f.intrinsic("maximum" if kind == "max" else "minimum", t, total, x)


class Arithmetic:
    """What `chainrule.trace.elementary` computes with."""

    def __init__(self, function: Function, dtype: DType) -> None:
        self._f = function
        self._dtype = dtype
        self._t = type_of(dtype)
        self.bits = 8 * dtype.itemsize

    def const(self, value: float) -> str:
        return literal(value, self._dtype)

    def add(self, a: str, b: str) -> str:
        return self._f.let(f"fadd {self._t} {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        return self._f.let(f"fsub {self._t} {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        return self._f.let(f"fmul {self._t} {a}, {b}")

    def div(self, a: str, b: str) -> str:
        return self._f.let(f"fdiv {self._t} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        return self._f.intrinsic("fmuladd", self._t, a, b, c)

    def abs(self, a: str) -> str:
        return self._f.intrinsic("fabs", self._t, a)

    def nearest(self, a: str) -> str:
        return self._f.intrinsic("roundeven", self._t, a)

    def copysign(self, a: str, b: str) -> str:
        return self._f.intrinsic("copysign", self._t, a, b)

    def less(self, a: str, b: str) -> str:
        return self._f.let(f"fcmp olt {self._t} {a}, {b}")

    def where(self, mask: str, a: str, b: str) -> str:
        return self._f.let(f"select i1 {mask}, {self._t} {a}, {self._t} {b}")

    @property
    def _layout(self) -> tuple[str, int, int]:
        """The integer type, the bits of the mantissa, and the exponent's bias."""
        return ("i32", 23, 127) if self.bits == 32 else ("i64", 52, 1023)

    def power_of_two(self, n: str) -> str:
        i, mantissa, bias = self._layout
        held = self.add(n, self.const(1.5 * 2.0**mantissa + bias))
        bits = self._f.let(f"shl {i} {self._f.let(f'bitcast {self._t} {held} to {i}')}, {mantissa}")
        return self._f.let(f"bitcast {i} {bits} to {self._t}")

    def split(self, a: str) -> tuple[str, str]:
        """m in [sqrt(1/2), sqrt(2)): the exponent is that of a / sqrt(1/2)."""
        i, mantissa, _ = self._layout
        half = np.dtype("float32" if self.bits == 32 else "float64").type(np.sqrt(0.5))
        low = int(half.view(np.int32 if self.bits == 32 else np.int64))
        bits = self._f.let(f"bitcast {self._t} {a} to {i}")
        above = self._f.let(f"sub {i} {bits}, {low}")
        exponent = self._f.let(f"ashr {i} {above}, {mantissa}")
        shifted = self._f.let(f"shl {i} {exponent}, {mantissa}")
        rest = self._f.let(f"sub {i} {bits}, {shifted}")
        m = self._f.let(f"bitcast {i} {rest} to {self._t}")
        if self.bits == 32:
            return m, self._f.let(f"sitofp i32 {exponent} to float")
        # Few processors convert 64-bit integers in vectors: let the mantissa of 2**52 hold it.
        low = self._f.let(f"lshr i64 {above}, 52")
        held = self._f.let(f"or i64 {self._f.let(f'xor i64 {low}, 2048')}, {0x433 << 52}")
        held = self._f.let(f"bitcast i64 {held} to double")
        return m, self.sub(held, self.const(2.0**52 + 2048.0))
