"""Every elementwise operation of a graph as an expression of C, which CUDA compiles as well.

Floats are computed as they stand, without contraction; what the C library would compute in its own
way on every machine (exp, tanh, ...) is written out by `chainrule.trace.elementary`. A float16 is
held as the float32 of its value and rounded after each operation, which gives the bits of
arithmetic in float16 (its 11 bits are less than half of float32's 24).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.trace import elementary
from chainrule.trace.array import TraceError
from chainrule.trace.graph import BOOL, COMPARISONS, DType

HALF = np.dtype(np.float16)
_SINGLE = np.dtype(np.float32)
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^"}
_TESTS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FUNCTIONS = {
    "abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "rint",
    "pow": "pow", "sin": "sin", "cos": "cos",
}  # fmt: skip
_RECIPES: dict[str, Callable[[Any, str], str]] = {
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "tanh": elementary.tanh,
}
FOLDS = {"sum": "SUM", "max": "MAX", "min": "MIN", "all": "ALL", "any": "ANY"}


def stored(dtype: DType) -> str:
    """Return the type of a value in memory."""
    return "u8" if dtype == BOOL else f"{dtype.kind}{8 * dtype.itemsize}"


def held(dtype: DType) -> str:
    """Return the type of a value in a register."""
    if dtype == BOOL:
        return "i32"
    return "f32" if dtype == HALF else stored(dtype)


def literal(value: Any, dtype: DType) -> str:
    """Return a number of `dtype`, exactly."""
    if dtype == BOOL:
        return "1" if value else "0"
    if dtype.kind != "f":
        number = int(value)
        suffix = ("u" if dtype.kind == "u" else "") + ("ll" if dtype.itemsize == 8 else "")
        if number == np.iinfo(dtype).min and number < 0:
            return f"({number + 1}{suffix} - 1)"
        return f"{number}{suffix}" if number >= 0 else f"({number}{suffix})"
    with np.errstate(over="ignore"):
        exact = np.asarray(value).astype(dtype)
    wide = exact if dtype == np.float64 else exact.astype(np.float32)
    if not np.isfinite(wide):
        if dtype == np.float64:
            return f"double_of_bits({int(wide.view(np.int64))}ll)"
        return f"float_of_bits({int(wide.view(np.int32))})"
    text = float(wide).hex() + ("" if dtype == np.float64 else "f")
    return f"({text})" if text.startswith("-") else text


class Lines:
    """Statements of one function while it is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.indent = "    "
        self._count = 0

    def do(self, statement: str) -> None:
        self.lines.append(f"{self.indent}{statement}")

    def open(self, head: str) -> None:
        self.do(f"{head} {{")
        self.indent += "    "

    def close(self) -> None:
        self.indent = self.indent[4:]
        self.do("}")

    def let(self, type_: str, expression: str) -> str:
        """Write a value with a name of its own; return the name."""
        self._count += 1
        name = f"v{self._count}"
        self.do(f"const {type_} {name} = {expression};")
        return name


def operation(f: Lines, op: str, args: Sequence[str], of: DType, dtype: DType) -> str:
    """Return ``op(args)``, the arguments of dtype `of`, as an expression."""
    if op == "copy":
        return args[0]
    if op == "cast":
        return cast(args[0], of, dtype)
    if op == "where":
        return f"{args[0]} ? {args[1]} : {args[2]}"
    if op in COMPARISONS:
        return f"{args[0]} {_TESTS[op]} {args[1]}"
    if of.kind == "f":
        return _float(f, op, args, of)
    return _integer(op, args, of)


def _float(f: Lines, op: str, args: Sequence[str], of: DType) -> str:
    if op == "isnan":
        return f"{args[0]} != {args[0]}"
    if op == "isfinite":
        return f"{_call('fabs', of)}({args[0]}) < {literal(np.inf, of)}"
    if op in ("maximum", "minimum"):
        return f"{FOLDS[op[:3]]}({args[0]}, {args[1]})"
    if op == "neg":
        return f"-{args[0]}"
    if op == "sign":
        (x,), zero = args, literal(0, of)
        ones = literal(1, of), literal(-1, of)
        return f"{x} > {zero} ? {ones[0]} : {x} < {zero} ? {ones[1]} : {x} == {zero} ? {zero} : {x}"
    if op in _INFIX:
        found = f"{args[0]} {_INFIX[op]} {args[1]}"
    elif op in _FUNCTIONS:
        found = f"{_call(_FUNCTIONS[op], of)}({', '.join(args)})"
    elif op in _RECIPES:
        found = _RECIPES[op](Arithmetic(f, _SINGLE if of == HALF else of), args[0])
    else:
        raise TraceError(f"{op} of {of.name}")
    return rounded(found) if of == HALF else found


def rounded(x: str) -> str:
    """Return a float32 rounded to the nearest float16."""
    return f"half_to_float(float_to_half({x}))"


def _call(function: str, dtype: DType) -> str:
    return function if dtype == np.float64 else f"{function}f"


def _integer(op: str, args: Sequence[str], of: DType) -> str:
    t = held(of)
    if of == BOOL:
        signs = {"and": "&", "mul": "&", "or": "|", "add": "|", "xor": "^"}
        if op in signs:
            return f"{args[0]} {signs[op]} {args[1]}"
        if op in ("maximum", "minimum"):
            return f"{args[0]} {'|' if op == 'maximum' else '&'} {args[1]}"
        if op in ("not", "copy", "abs"):
            return f"!{args[0]}" if op == "not" else args[0]
    elif op in ("add", "sub", "mul"):  # that wrap around, as signed numbers of C may not
        return f"({t})((u64){args[0]} {_INFIX[op]} (u64){args[1]})"
    elif op in ("and", "or", "xor"):
        return f"({t})({args[0]} {_INFIX[op]} {args[1]})"
    elif op in ("shl", "shr") and args[1].rstrip("ul").isdigit():
        return f"({t})((u64){args[0]} << {args[1]})" if op == "shl" else f"{args[0]} >> {args[1]}"
    elif op == "not":
        return f"({t})~{args[0]}"
    elif op == "neg":
        return f"({t})(0 - (u64){args[0]})"
    elif op in ("maximum", "minimum"):
        return f"{FOLDS[op[:3]]}({args[0]}, {args[1]})"
    elif op == "abs":
        return f"{args[0]} < 0 ? ({t})(0 - (u64){args[0]}) : {args[0]}"
    if op in ("isfinite", "isnan"):
        return "1" if op == "isfinite" else "0"
    raise TraceError(f"{op} of {of.name}")


def cast(x: str, of: DType, to: DType) -> str:
    """Return a conversion; floats out of an integer's range go to its nearest end, NaN to 0."""
    if of == to:
        return x
    if to == BOOL:
        return f"{x} != 0"
    if to == HALF:
        if of == np.float64:
            return f"half_to_float(double_to_half({x}))"
        return rounded(x if of.kind == "f" else f"(f32){x}")
    if of.kind == "f" and to.kind != "f":
        ends = np.iinfo(to)
        low, high = (literal(np.float64(end), np.dtype(np.float64)) for end in (ends.min, ends.max))
        least, most = literal(ends.min, to), literal(ends.max, to)
        inside = f"(f64){x} <= {low} ? {least} : (f64){x} >= {high} ? {most} : ({held(to)}){x}"
        return f"{x} != {x} ? {literal(0, to)} : {inside}"
    return f"({held(to)}){x}"


class Arithmetic:
    """What `chainrule.trace.elementary` computes with."""

    def __init__(self, lines: Lines, dtype: DType) -> None:
        self._f = lines
        self._dtype = dtype
        self._t = held(dtype)
        self.bits = 8 * dtype.itemsize

    def _let(self, expression: str) -> str:
        return self._f.let(self._t, expression)

    def const(self, value: float) -> str:
        return literal(value, self._dtype)

    def add(self, a: str, b: str) -> str:
        return self._let(f"{a} + {b}")

    def sub(self, a: str, b: str) -> str:
        return self._let(f"{a} - {b}")

    def mul(self, a: str, b: str) -> str:
        return self._let(f"{a} * {b}")

    def div(self, a: str, b: str) -> str:
        return self._let(f"{a} / {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        return self._let(f"{_call('fma', self._dtype)}({a}, {b}, {c})")

    def abs(self, a: str) -> str:
        return self._let(f"{_call('fabs', self._dtype)}({a})")

    def nearest(self, a: str) -> str:
        return self._let(f"{_call('rint', self._dtype)}({a})")

    def copysign(self, a: str, b: str) -> str:
        return self._let(f"{_call('copysign', self._dtype)}({a}, {b})")

    def less(self, a: str, b: str) -> str:
        return self._f.let("i32", f"{a} < {b}")

    def where(self, mask: str, a: str, b: str) -> str:
        return self._let(f"{mask} ? {a} : {b}")

    def power_of_two(self, n: str) -> str:
        mantissa, bias = (23, 127) if self.bits == 32 else (52, 1023)
        whole = self._whole
        shifted = f"({whole})((u64)(({whole}){self._within(n)} + {bias}) << {mantissa})"
        return self._let(f"{self._of_bits}({shifted})")

    def split(self, a: str) -> tuple[str, str]:
        """m in [sqrt(1/2), sqrt(2)): the exponent is that of a / sqrt(1/2)."""
        mantissa = 23 if self.bits == 32 else 52
        float_, int_ = ("float32", "int32") if self.bits == 32 else ("float64", "int64")
        low = int(np.sqrt(0.5).astype(float_).view(int_))
        bits = self._f.let(self._whole, f"{self._bits_of}({a})")
        above = self._f.let(self._whole, f"({self._whole})((u64){bits} - {low})")
        exponent = self._f.let(self._whole, f"{above} >> {mantissa}")
        rest = f"({self._whole})((u64){bits} - ((u64){exponent} << {mantissa}))"
        return self._let(f"{self._of_bits}({rest})"), self._let(f"({self._t}){exponent}")

    def _within(self, n: str) -> str:
        """`n`, or anything else where it is no exponent: C may not convert NaN to a number."""
        limit = self.const(4096.0)
        inside = f"{_call('fabs', self._dtype)}({n}) < {limit}"
        return self._let(f"{inside} ? {n} : {self.const(0.0)}")

    @property
    def _whole(self) -> str:
        return f"i{self.bits}"

    @property
    def _bits_of(self) -> str:
        return "bits_of_float" if self.bits == 32 else "bits_of_double"

    @property
    def _of_bits(self) -> str:
        return "float_of_bits" if self.bits == 32 else "double_of_bits"
