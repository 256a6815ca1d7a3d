"""exp, expm1, log, log1p and tanh against references of more digits, with and without fused fma."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.trace import elementary

RECIPES = {name: getattr(elementary, name) for name in ("exp", "expm1", "log", "log1p", "tanh")}
ULPS = 2.0
EXTENDED = np.finfo(np.longdouble).nmant >= 63


@dataclass(frozen=True)
class Double:
    """The arithmetic in NumPy; where it may give anything it gives `garbage`."""

    bits: int
    fused: bool
    garbage: float = np.nan

    @property
    def dtype(self) -> type:
        return np.float32 if self.bits == 32 else np.float64

    @property
    def wide(self) -> type:
        return np.float64 if self.bits == 32 else np.longdouble

    def const(self, value: float) -> Any:
        return self.dtype(value)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def sub(self, a: Any, b: Any) -> Any:
        return a - b

    def mul(self, a: Any, b: Any) -> Any:
        return a * b

    def div(self, a: Any, b: Any) -> Any:
        return a / b

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        if self.fused:
            return (self.wide(a) * self.wide(b) + self.wide(c)).astype(self.dtype)
        return a * b + c

    def abs(self, a: Any) -> Any:
        return np.abs(a)

    def less(self, a: Any, b: Any) -> Any:
        return a < b

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return np.where(mask, a, b)

    def nearest(self, a: Any) -> Any:
        return np.rint(a)

    def copysign(self, a: Any, b: Any) -> Any:
        return np.copysign(a, b)

    def power_of_two(self, n: Any) -> Any:
        lowest, highest = (-126, 127) if self.bits == 32 else (-1022, 1023)
        inside = (n >= lowest) & (n <= highest)
        power = np.ldexp(self.dtype(1), np.where(inside, n, 0).astype(np.int32))
        return np.where(inside, power, self.dtype(self.garbage))

    def split(self, a: Any) -> tuple[Any, Any]:
        m, e = np.frexp(a)
        low = m < np.sqrt(self.dtype(0.5))
        m, e = np.where(low, m + m, m), np.where(low, e - 1, e).astype(self.dtype)
        normal = (a >= np.finfo(self.dtype).smallest_normal) & (a < np.inf)
        garbage = self.dtype(self.garbage)
        return np.where(normal, m, garbage), np.where(normal, e, garbage)


def evaluate(name: str, f: Double, x: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        y = RECIPES[name](f, np.asarray(x, dtype=f.dtype))
    assert y.dtype == f.dtype
    return y


def reference(name: str, f: Double, x: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return getattr(np, name)(np.asarray(x, dtype=f.dtype).astype(f.wide))


def ulps(name: str, f: Double, x: np.ndarray) -> np.ndarray:
    """The errors in units in the last place of the exact result; inf where the kind is wrong."""
    y, exact = evaluate(name, f, x), reference(name, f, x)
    info = np.finfo(f.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(f.dtype)
        _, exponent = np.frexp(exact)
        ulp = np.ldexp(f.wide(1), np.maximum(exponent, info.minexp + 1) - info.nmant - 1)
        error = np.abs(y.astype(f.wide) - exact) / ulp
    finite = np.isfinite(y) & np.isfinite(rounded)
    same = (np.isnan(y) & np.isnan(rounded)) | (y == rounded)
    error = np.where(finite, error, np.where(same, 0.0, np.inf))
    wrong_sign = (np.signbit(y) != np.signbit(rounded)) & ~np.isnan(y)
    return np.where(wrong_sign, np.inf, error)


def sample(bits: int, ends: tuple[float, ...]) -> np.ndarray:
    """Bit patterns of every kind, and points evenly between neighbouring ends."""
    if bits == 32:
        x = np.arange(0, 2**32, 16411, dtype=np.uint64).astype(np.uint32).view(np.float32)
    else:
        random = np.random.default_rng(5)
        x = random.integers(0, 2**64, 60_000, dtype=np.uint64).view(np.float64)
    between = [np.linspace(a, b, 40_000, dtype=x.dtype) for a, b in pairwise(ends)]
    return np.concatenate([x, *between])


ENDS = {
    "exp": (-746.0, -708.0, -104.0, -87.0, -2.0, 2.0, 88.8, 709.8),
    "expm1": (-40.0, -1.5, 1.5, 88.8, 709.8),
    "log": (0.0, 0.7, 1.5, 100.0),
    "log1p": (-1.0, -0.5, 0.35, 0.5, 10.0),
    "tanh": (-22.0, -1.0, 0.3, 1.0, 10.0),
}


def _doubles() -> list[Any]:
    extended = pytest.mark.skipif(not EXTENDED, reason="long double is double here")
    return [
        pytest.param(
            Double(bits, fused),
            id=f"float{bits}-{'fused' if fused else 'unfused'}",
            marks=[extended] if bits == 64 else [],
        )
        for bits in (32, 64)
        for fused in (False, True)
    ]


@pytest.mark.parametrize("f", _doubles())
@pytest.mark.parametrize("name", RECIPES)
def test_within_two_ulps(name: str, f: Double) -> None:
    x = sample(f.bits, ENDS[name])
    error = ulps(name, f, x)
    worst = np.argmax(error)
    assert error[worst] <= ULPS, f"{name}({x[worst]!r}) is off by {error[worst]} ulps"


inf, nan = np.inf, np.nan
SPECIAL: dict[str, list[tuple[float, float]]] = {
    "exp": [
        (0.0, 1.0),
        (-0.0, 1.0),
        (inf, inf),
        (-inf, 0.0),
        (nan, nan),
        (1e30, inf),
        (-1e30, 0.0),
    ],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (nan, nan), (-1e30, -1.0)],
    "log": [
        (0.0, -inf),
        (-0.0, -inf),
        (1.0, 0.0),
        (-1.0, nan),
        (-inf, nan),
        (inf, inf),
        (nan, nan),
    ],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -inf), (-1.5, nan), (-inf, nan), (inf, inf)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (nan, nan), (1e30, 1.0)],
}


@pytest.mark.parametrize("name", RECIPES)
def test_nan_stays_nan(name: str) -> None:
    assert np.isnan(evaluate(name, Double(32, fused=True), nan))
    assert np.isnan(evaluate(name, Double(64, fused=False), -nan))


@pytest.mark.parametrize("garbage", [nan, 3.0, -inf])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", RECIPES)
def test_special_values(name: str, bits: int, fused: bool, garbage: float) -> None:
    f = Double(bits, fused, garbage)
    x, expected = np.array(SPECIAL[name]).T
    y = evaluate(name, f, x)
    np.testing.assert_array_equal(y, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("name", ["exp", "expm1"])
@pytest.mark.parametrize(("bits", "largest"), [(32, 88.72283), (64, 709.782712893384)])
def test_overflows_where_the_exact_function_does(name: str, bits: int, largest: float) -> None:
    f = Double(bits, fused=False)
    x = f.dtype(largest)
    assert np.isfinite(evaluate(name, f, x))
    assert evaluate(name, f, np.nextafter(x, f.dtype(inf))) == inf


@pytest.mark.parametrize(
    ("bits", "lowest", "smallest"),
    [(32, -103.97208, 2.0**-149), (64, -745.1332191019411, 2.0**-1074)],
)
def test_exp_underflows_gradually(bits: int, lowest: float, smallest: float) -> None:
    f = Double(bits, fused=False)
    assert evaluate("exp", f, lowest) == smallest
    assert evaluate("exp", f, np.nextafter(f.dtype(lowest), f.dtype(-inf))) == 0.0


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_denormals_are_their_own_image(name: str, bits: int) -> None:
    f = Double(bits, fused=False)
    tiny = np.finfo(f.dtype)
    x = np.array([tiny.smallest_subnormal, 7 * tiny.smallest_subnormal, tiny.smallest_normal])
    x = np.concatenate([x, -x])
    np.testing.assert_array_equal(evaluate(name, f, x), x)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", RECIPES)
def test_any_float(name: str, bits: int) -> None:
    if bits == 64 and not EXTENDED:
        pytest.skip("long double is double here")
    doubles = [Double(bits, fused) for fused in (False, True)]

    @given(x=st.lists(st.floats(width=bits), min_size=1, max_size=30))
    def holds(x: list[float]) -> None:
        for f in doubles:
            assert np.max(ulps(name, f, np.array(x, dtype=f.dtype))) <= ULPS

    holds()


BOUNDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": lambda y: y >= 0,
    "expm1": lambda y: y >= -1,
    "tanh": lambda y: np.abs(y) <= 1,
}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", BOUNDS)
def test_keeps_to_its_range(name: str, bits: int) -> None:
    x = np.linspace(-50.0, 50.0, 100_001)
    for fused in (False, True):
        assert np.all(BOUNDS[name](evaluate(name, Double(bits, fused), x)))


@pytest.mark.parametrize("bits", [32, 64])
def test_tanh_is_odd(bits: int) -> None:
    f = Double(bits, fused=False)
    x = np.linspace(0.0, 25.0, 50_001)
    np.testing.assert_array_equal(evaluate("tanh", f, -x), -evaluate("tanh", f, x))
