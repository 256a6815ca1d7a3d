"""exp, expm1, log, log1p and tanh as plain arithmetic.

A call to the C library's function keeps a loop from being vectorised; these recipes do not. Each
is written once over an `Arithmetic`, without branches, for float32 and float64; special values,
denormals and signed zeros come out as C's Annex F asks.

Errors are the largest measured, in units in the last place (ulp) of the exact result, with fused
and with separately rounded `fma`: in float32 over all arguments, in float64 over 6e7 of them.

The polynomials are made by ``tools/fit_elementary.py``. log(2) is split into a short upper part,
whose product with any exponent is exact, and the rest (Cody & Waite 1980, chapter 6).
"""

from math import log2
from typing import NamedTuple, Protocol, TypeVar

V = TypeVar("V")
"""A floating-point value or vector."""
M = TypeVar("M")
"""The outcome of a comparison."""


class Arithmetic(Protocol[V, M]):
    """IEEE 754 arithmetic of one float width, rounded to nearest, without traps."""

    @property
    def bits(self) -> int:
        """32 or 64."""
        ...

    def const(self, value: float, /) -> V: ...
    def add(self, a: V, b: V, /) -> V: ...
    def sub(self, a: V, b: V, /) -> V: ...
    def mul(self, a: V, b: V, /) -> V: ...
    def div(self, a: V, b: V, /) -> V: ...
    def abs(self, a: V, /) -> V: ...

    def fma(self, a: V, b: V, c: V, /) -> V:
        """a * b + c, rounded once or twice."""
        ...

    def less(self, a: V, b: V, /) -> M:
        """a < b; false where either is NaN."""
        ...

    def where(self, mask: M, a: V, b: V, /) -> V: ...

    def nearest(self, a: V, /) -> V:
        """The nearest integer, ties to even."""
        ...

    def power_of_two(self, n: V, /) -> V:
        """2**n for an integer n of the normal exponents; anything elsewhere."""
        ...

    def split(self, a: V, /) -> tuple[V, V]:
        """(m, e) with a = m 2**e and sqrt(1/2) <= m < sqrt(2), to within rounding of the bounds.

        For normal a > 0; anything elsewhere.
        """
        ...

    def copysign(self, a: V, b: V, /) -> V:
        """The magnitude of a with the sign of b."""
        ...


class _Constants(NamedTuple):
    ln2: float
    ln2_upper: float
    ln2_lower: float
    underflow: float  # exp is 0 at and below
    overflow: float  # exp and expm1 are infinite at and above
    largest_exponent: float
    negligible: float  # expm1 is -1 at and below
    saturation: float  # tanh is 1 at and above
    smallest_normal: float
    rescaling: float  # the exponent that makes denormals normal
    exp_powers: tuple[float, ...]  # (expm1(r) - r) / r**2, -127/128 log(2) <= r <= 129/128 log(2)
    expm1_powers: tuple[float, ...]  # the same, log(3/4) <= r <= log(2)
    tanh_powers: tuple[float, ...]  # (tanh(r) - r) / r**3 of r**2, 0 <= r <= log(2) / 2
    log_powers: tuple[float, ...]  # (log1p(r) - r) / r**2, sqrt(1/2) <= 1 + r <= sqrt(2)


_CONSTANTS = {
    32: _Constants(
        ln2=0.6931471824645996,
        ln2_upper=0.693145751953125,
        ln2_lower=1.428606765330187e-06,
        underflow=-104.0,
        overflow=89.0,
        largest_exponent=127.0,
        negligible=-18.0,
        saturation=10.0,
        smallest_normal=2.0**-126,
        rescaling=24.0,
        exp_powers=(
            0.00019683157734107226,
            0.001410476048476994,
            0.008335624821484089,
            0.04166124761104584,
            0.16666622459888458,
            0.5000003576278687,
        ),
        expm1_powers=(
            0.00023584868176840246,
            0.0013785396004095674,
            0.008329194970428944,
            0.04166810214519501,
            0.16666679084300995,
            0.4999999701976776,
        ),
        tanh_powers=(
            -0.04923439398407936,
            0.1330103576183319,
            -0.3333269953727722,
        ),
        log_powers=(
            0.0870840847492218,
            -0.14289554953575134,
            0.14919298887252808,
            -0.16573365032672882,
            0.19962376356124878,
            -0.2500165104866028,
            0.33333930373191833,
            -0.49999991059303284,
        ),
    ),
    64: _Constants(
        ln2=0.6931471805599453,
        ln2_upper=0.6931471805592082,
        ln2_lower=7.371002565167799e-13,
        underflow=-746.0,
        overflow=710.0,
        largest_exponent=1023.0,
        negligible=-40.0,
        saturation=22.0,
        smallest_normal=2.0**-1022,
        rescaling=54.0,
        exp_powers=(
            1.6013161668828344e-10,
            2.106404295059002e-09,
            2.5053989160128604e-08,
            2.7556136297357097e-07,
            2.7557305889563075e-06,
            2.4801590930106655e-05,
            0.000198412698807332,
            0.0013888888883374709,
            0.00833333333328244,
            0.04166666666670382,
            0.16666666666666888,
            0.4999999999999992,
        ),
        expm1_powers=(
            2.5132355152638188e-09,
            2.4706892937822186e-08,
            2.756268488488971e-07,
            2.755789315008857e-06,
            2.48015656793269e-05,
            0.00019841269589123515,
            0.0013888888906319933,
            0.008333333333348817,
            0.04166666666661543,
            0.16666666666666693,
            0.5000000000000004,
        ),
        tanh_powers=(
            0.0004766118791037069,
            -0.0014315830211371187,
            0.003589280082907871,
            -0.008863039846512008,
            0.021869480666828766,
            -0.05396825379273145,
            0.13333333333143682,
            -0.3333333333333263,
        ),
        log_powers=(
            0.02600725089301163,
            -0.05988172151211516,
            0.06531922880004098,
            -0.056865172212733385,
            0.05660180632178009,
            -0.06192771237196135,
            0.06685527294583374,
            -0.07150094056129823,
            0.07691486578070415,
            -0.08332855775580375,
            0.09090923686794325,
            -0.10000018149756415,
            0.11111111248952918,
            -0.12499999603983208,
            0.1428571427633839,
            -0.16666666671267397,
            0.20000000000119317,
            -0.24999999999976408,
            0.3333333333333292,
            -0.5000000000000003,
        ),
    ),
}


def exp(f: Arithmetic[V, M], x: V) -> V:
    """e**x, with gradual underflow.

    x = 2 n log(2) + r, so that in e**r 2**n 2**n every factor is a normal number; r lies between
    -127/128 log(2) and 129/128 log(2), which keeps e**r above 1/2 however n was rounded.
    Errors: float32 1.61 ulp fused, 1.94 separate; float64 1.46 and 1.80.
    """
    c = _CONSTANTS[f.bits]
    x = _at_least(f, c.underflow, _at_most(f, c.overflow, x))
    n = f.nearest(f.fma(x, f.const(0.5 / c.ln2), f.const(-1.0 / 256.0)))
    r = _remainder(f, x, n, 2.0)
    scale, one = f.power_of_two(n), f.const(1.0)
    power = f.fma(f.fma(_polynomial(f, c.exp_powers, r), r, one), r, one)
    return f.mul(f.mul(power, scale), scale)


def expm1(f: Arithmetic[V, M], x: V) -> V:
    """e**x - 1, accurate near 0.

    x = n log(2) + r and expm1(x) = 2**n expm1(r) + (2**n - 1), with 3/4 <= e**r <= 3/2 so that the
    sum cancels least; r goes up to log(2) where 2**n would overflow.
    Errors: float32 1.33 ulp fused, 1.35 separate; float64 1.27 and 1.22.
    """
    c = _CONSTANTS[f.bits]
    bounded = _at_least(f, c.negligible, _at_most(f, c.overflow, x))
    nearest = f.nearest(f.fma(bounded, f.const(1.0 / c.ln2), f.const(0.5 - log2(1.5))))
    n = _at_most(f, c.largest_exponent, nearest)
    r = _remainder(f, bounded, n, 1.0)
    scale = f.power_of_two(n)
    rest = f.sub(scale, f.const(1.0))
    return f.copysign(f.fma(scale, _beyond_linear(f, c.expm1_powers, r), rest), x)


def tanh(f: Arithmetic[V, M], x: V) -> V:
    """The hyperbolic tangent.

    |x| = n log(2) / 2 + r with 0 <= r <= log(2) / 2, so that nothing cancels. With t = tanh(r), the
    addition theorem gives tanh |x| = p / (p + (1 - t)), p = (2**n + 1) / 2 t + (2**n - 1) / 2. As
    the denominator is taken from p, the rounding of p cancels where tanh nears 1.
    Errors: float32 1.83 ulp fused, 1.75 separate; float64 1.88 and 1.81.
    """
    c = _CONSTANTS[f.bits]
    size = _at_most(f, c.saturation, f.abs(x))
    half, minus_half = f.const(0.5), f.const(-0.5)
    n = f.nearest(f.fma(size, f.const(2.0 / c.ln2), minus_half))
    r = _remainder(f, size, n, 0.5)
    square = f.mul(r, r)
    t = f.fma(f.mul(square, r), _polynomial(f, c.tanh_powers, square), r)
    scale = f.power_of_two(n)
    p = f.fma(f.fma(scale, half, half), t, f.fma(scale, half, minus_half))
    return f.copysign(f.div(p, f.add(p, f.sub(f.const(1.0), t))), x)


def log(f: Arithmetic[V, M], x: V) -> V:
    """The natural logarithm: -inf at 0, NaN below.

    x = (1 + r) 2**e and log(x) = log1p(r) + e log(2); denormals are scaled up first.
    Errors: float32 1.20 ulp fused, 1.27 separate; float64 1.28 and 1.50.
    """
    c = _CONSTANTS[f.bits]
    denormal = f.less(x, f.const(c.smallest_normal))
    m, e = f.split(f.where(denormal, f.mul(x, f.const(2.0**c.rescaling)), x))
    e = f.add(e, f.where(denormal, f.const(-c.rescaling), f.const(0.0)))
    return _outside_log(f, x, _log_scaled(f, f.sub(m, f.const(1.0)), e))


def log1p(f: Arithmetic[V, M], x: V) -> V:
    """log(1 + x), accurate near 0: -inf at -1, NaN below.

    1 + x serves to find the exponent e only; r = x 2**-e + (2**-e - 1) is rounded once. 2**-e is
    2**(2 - e) / 4, as the largest e has no normal 2**-e.
    Errors: float32 1.76 ulp fused, 1.83 separate; float64 1.82 and 1.90.
    """
    u = f.add(f.const(1.0), x)
    _, e = f.split(u)
    scale = f.mul(f.const(0.25), f.power_of_two(f.sub(f.const(2.0), e)))
    r = f.fma(x, scale, f.sub(scale, f.const(1.0)))
    return f.copysign(_outside_log(f, u, _log_scaled(f, r, e)), x)


def _at_most(f: Arithmetic[V, M], bound: float, x: V) -> V:
    """The lesser of the two, or NaN for NaN: one instruction, x86's minimum."""
    limit = f.const(bound)
    return f.where(f.less(limit, x), limit, x)


def _at_least(f: Arithmetic[V, M], bound: float, x: V) -> V:
    limit = f.const(bound)
    return f.where(f.less(x, limit), limit, x)


def _polynomial(f: Arithmetic[V, M], powers: tuple[float, ...], r: V) -> V:
    """By Horner's rule; the highest power is first."""
    total = f.const(powers[0])
    for power in powers[1:]:
        total = f.fma(total, r, f.const(power))
    return total


def _beyond_linear(f: Arithmetic[V, M], powers: tuple[float, ...], r: V) -> V:
    """r + r**2 polynomial(r)."""
    return f.fma(f.mul(r, r), _polynomial(f, powers, r), r)


def _remainder(f: Arithmetic[V, M], x: V, n: V, step: float) -> V:
    """x - n step log(2)."""
    c = _CONSTANTS[f.bits]
    r = f.fma(n, f.const(-step * c.ln2_upper), x)
    return f.fma(n, f.const(-step * c.ln2_lower), r)


def _log_scaled(f: Arithmetic[V, M], r: V, e: V) -> V:
    """log((1 + r) 2**e)."""
    c = _CONSTANTS[f.bits]
    return f.fma(e, f.const(c.ln2), _beyond_linear(f, c.log_powers, r))


def _outside_log(f: Arithmetic[V, M], u: V, y: V) -> V:
    """y where log(u) is finite, and else log(u): -inf, NaN, inf."""
    zero, infinity = f.const(0.0), f.const(float("inf"))
    below = f.where(f.less(u, zero), f.const(float("nan")), f.const(-float("inf")))
    return f.where(f.less(u, infinity), f.where(f.less(zero, u), y, below), u)
