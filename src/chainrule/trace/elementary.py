"""exp, expm1, log, log1p and tanh as plain arithmetic.

A call to the C library's function keeps a loop from being vectorised; these recipes do not. Each is
written once over an `Arithmetic`, branch-free, and holds for float32 and float64: special values,
denormals and signed zeros come out as IEEE 754 recommends. The errors stated were measured, in units
in the last place (ulp) of the exact result, over all arguments in float32 and over 10**9 of them in
float64.

The polynomials are made by ``tools/fit_elementary.py``. log(2) is split into a short upper part,
whose product with any exponent is exact, and the rest (Cody & Waite 1980, chapter 6).
"""

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
    expm1_powers: tuple[float, ...]  # (expm1(r) - r) / r**2, |r| <= log(2)
    half_expm1_powers: tuple[float, ...]  # (expm1(2 r) / 2 - r) / r**2, |r| <= log(2) / 4
    log1p_powers: tuple[float, ...]  # (log1p(r) - r) / r**2, sqrt(1/2) <= 1 + r <= sqrt(2)


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
        expm1_powers=(
            0.00019781853188760579,
            0.001409180578775704,
            0.008334772661328316,
            0.04166208207607269,
            0.1666664034128189,
            0.5000002384185791,
        ),
        half_expm1_powers=(
            0.044422250241041183,
            0.13385704159736633,
            0.3333384096622467,
            0.6666619777679443,
            0.9999999403953552,
        ),
        log1p_powers=(
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
        expm1_powers=(
            1.6055830041588538e-10,
            2.105424829259023e-09,
            2.5053124948006348e-08,
            2.7556270304840176e-07,
            2.75573122357224e-06,
            2.4801590255222237e-05,
            0.00019841269859510591,
            0.0013888888888888606,
            0.008333333333314492,
            0.041666666666689584,
            0.16666666666666718,
            0.4999999999999996,
        ),
        half_expm1_powers=(
            2.5647764707787507e-05,
            0.00014144192099248745,
            0.0007054698641549297,
            0.0031745929098455175,
            0.012698412629217627,
            0.0444444445759681,
            0.13333333333383376,
            0.333333333332643,
            0.6666666666666671,
            1.000000000000001,
        ),
        log1p_powers=(
            -0.02830072046840152,
            0.06325163192302763,
            -0.06787072668395248,
            0.05973520076885888,
            -0.060411144100391445,
            0.0662160858311657,
            -0.07160261763019474,
            0.07697710647828988,
            -0.08332551952224612,
            0.09090583292599505,
            -0.10000018191832248,
            0.11111122018255837,
            -0.1249999982965303,
            0.1428571408716584,
            -0.1666666666626863,
            0.2000000000174178,
            -0.25000000000012357,
            0.33333333333328097,
            -0.4999999999999997,
        ),
    ),
}


def exp(f: Arithmetic[V, M], x: V) -> V:
    """e**x, gradually underflowing.

    x = 2 n log(2) + r, so that the two factors 2**n are normal numbers wherever e**x is not zero.
    """
    c = _CONSTANTS[f.bits]
    x = _at_least(f, c.underflow, _at_most(f, c.overflow, x))
    n, r = _reduce(f, x, 2.0)
    scale = f.power_of_two(n)
    one = f.const(1.0)
    power = f.fma(f.fma(_polynomial(f, c.expm1_powers, r), r, one), r, one)
    return f.mul(f.mul(power, scale), scale)


def expm1(f: Arithmetic[V, M], x: V) -> V:
    """e**x - 1, accurate near 0.

    x = n log(2) + r with |r| <= log(2) / 2, or up to log(2) where n stops short of overflowing 2**n;
    expm1(x) = 2**n expm1(r) + (2**n - 1).
    """
    c = _CONSTANTS[f.bits]
    bounded = _at_least(f, c.negligible, _at_most(f, c.overflow, x))
    n, r = _reduce(f, bounded, 1.0, c.largest_exponent)
    scale = f.power_of_two(n)
    y = f.fma(scale, _beyond_linear(f, c.expm1_powers, r), f.sub(scale, f.const(1.0)))
    return f.copysign(y, x)


def tanh(f: Arithmetic[V, M], x: V) -> V:
    """The hyperbolic tangent, h / (h + 1) with h = expm1(2 |x|) / 2 and the sign of x.

    |x| = n log(2) / 2 + r; h = 2**n expm1(2 r) / 2 + (2**n - 1) / 2.
    """
    c = _CONSTANTS[f.bits]
    n, r = _reduce(f, _at_most(f, c.saturation, f.abs(x)), 0.5)
    scale = f.power_of_two(n)
    half = f.const(0.5)
    h = f.fma(scale, _beyond_linear(f, c.half_expm1_powers, r), f.fma(scale, half, f.const(-0.5)))
    return f.copysign(f.div(h, f.add(h, f.const(1.0))), x)


def log(f: Arithmetic[V, M], x: V) -> V:
    """The natural logarithm: -inf at 0, NaN below."""
    c = _CONSTANTS[f.bits]
    denormal = f.less(x, f.const(c.smallest_normal))
    m, e = f.split(f.where(denormal, f.mul(x, f.const(2.0**c.rescaling)), x))
    e = f.add(e, f.where(denormal, f.const(-c.rescaling), f.const(0.0)))
    return _outside_log(f, x, _log_scaled(f, f.sub(m, f.const(1.0)), e))


def log1p(f: Arithmetic[V, M], x: V) -> V:
    """log(1 + x), accurate near 0: -inf at -1, NaN below.

    1 + x serves to find the exponent e only; r = x 2**-e + (2**-e - 1) has one rounding. 2**-e is
    taken as 2**(2 - e) / 4, as the largest e has no normal 2**-e.
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


def _reduce(f: Arithmetic[V, M], x: V, step: float, largest: float | None = None) -> tuple[V, V]:
    """(n, r) with x = n step log(2) + r and n an integer, the nearest unless the largest."""
    c = _CONSTANTS[f.bits]
    n = f.nearest(f.mul(x, f.const(1.0 / (step * c.ln2))))
    if largest is not None:
        n = _at_most(f, largest, n)
    r = f.fma(n, f.const(-step * c.ln2_upper), x)
    return n, f.fma(n, f.const(-step * c.ln2_lower), r)


def _log_scaled(f: Arithmetic[V, M], r: V, e: V) -> V:
    """log((1 + r) 2**e)."""
    c = _CONSTANTS[f.bits]
    return f.fma(e, f.const(c.ln2), _beyond_linear(f, c.log1p_powers, r))


def _outside_log(f: Arithmetic[V, M], u: V, y: V) -> V:
    """y where log(u) is finite, and else log(u): -inf, NaN, inf."""
    zero, infinity = f.const(0.0), f.const(float("inf"))
    below = f.where(f.less(u, zero), f.const(float("nan")), f.const(-float("inf")))
    return f.where(f.less(u, infinity), f.where(f.less(zero, u), y, below), u)
