"""Print the polynomial of ops/activations/erf.py: python tools/fit_erf.py (needs mpmath).

For x >= 0 and t = (x - 3) / (x + 3), (1 + 2 x) exp(x**2) erfc(x) is smooth on
-1 <= t <= 1 and has a short Chebyshev series (the variable of Shepherd & Laframboise 1981); the
series is cut where its terms fall below double precision and expanded in powers of t.
"""

from mpmath import cos, erfc, exp, mp, mpf, pi, sqrt

TERMS = 24
NODES = 96


def scaled(t: mpf) -> mpf:
    x = 3 * (1 + t) / (1 - t)
    if x > 1000:
        series = term = mpf(1)
        for n in range(1, 25):
            term *= -(2 * n - 1) / (2 * x * x)
            series += term
        return (1 + 2 * x) * series / (x * sqrt(pi))
    return (1 + 2 * x) * exp(x * x) * erfc(x)


def main() -> None:
    mp.dps = 50
    nodes = [cos(pi * (j + mpf(0.5)) / NODES) for j in range(NODES)]
    values = [scaled(t) for t in nodes]
    series = [
        2 / mpf(NODES) * sum(v * cos(pi * i * (j + mpf(0.5)) / NODES) for j, v in enumerate(values))
        for i in range(TERMS)
    ]
    series[0] /= 2
    chebyshev = [[mpf(1)], [mpf(0), mpf(1)]]
    while len(chebyshev) < TERMS:
        last, before = chebyshev[-1], chebyshev[-2]
        following = [mpf(0)] + [2 * c for c in last]
        for i, c in enumerate(before):
            following[i] -= c
        chebyshev.append(following)
    powers = [
        sum(s * poly[i] for s, poly in zip(series, chebyshev, strict=True) if i < len(poly))
        for i in range(TERMS)
    ]
    for power in reversed(powers):
        print(f"    {float(power)!r},")


if __name__ == "__main__":
    main()
