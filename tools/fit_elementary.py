"""Print the polynomials of trace/elementary.py: python tools/fit_elementary.py (mpmath, NumPy).

Each is the polynomial of least largest relative error in the function it serves (the exchange of
Remez 1934, on a fine grid), with the coefficients rounded to the float width. Where that is better,
the lowest power is rounded first and the others are fitted again to what the rounding took.
"""

from collections.abc import Callable

import numpy as np
from mpmath import cos, exp, expm1, log, log1p, lu_solve, matrix, mp, mpf, nstr, pi, sqrt, tanh

INTERVALS = 1201
EXCHANGES = 20

Function = Callable[[mpf], mpf]


def evaluate(powers: list[mpf], x: mpf) -> mpf:
    total = mpf(0)
    for power in reversed(powers):
        total = total * x + power
    return total


def best(target: list[mpf], weight: list[mpf], grid: list[mpf], count: int) -> list[mpf]:
    """The powers x**0 … x**(count - 1) of least largest weighted error on the grid."""
    chosen = [
        round((1 - cos(pi * (2 * i + 1) / (2 * count + 2))) / 2 * INTERVALS)
        for i in range(count + 1)
    ]
    found, least = [], mpf("inf")
    for _ in range(EXCHANGES):
        system, right = matrix(count + 1), matrix(count + 1, 1)
        for row, i in enumerate(chosen):
            for column in range(count):
                system[row, column] = weight[i] * grid[i] ** column
            system[row, count] = (-1) ** row
            right[row] = weight[i] * target[i]
        powers = list(lu_solve(system, right))[:count]
        errors = [
            w * (evaluate(powers, x) - t) for x, w, t in zip(grid, weight, target, strict=True)
        ]
        largest = max(abs(error) for error in errors)
        if largest < least:
            found, least = powers, largest
        peaks: list[int] = []
        for i, error in enumerate(errors):
            if not peaks or (error > 0) != (errors[peaks[-1]] > 0):
                peaks.append(i)
            elif abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        while len(peaks) > count + 1:
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        if len(peaks) <= count:
            break
        chosen = peaks
    return found


def fit(
    name: str,
    target_at: Function,
    weight_at: Function,
    ends: tuple[mpf, mpf],
    degree: int,
    bits: int,
) -> None:
    """Print the polynomial closest to the target between the ends, highest power first."""
    width, digits = (np.float32, 24) if bits == 32 else (np.float64, 53)
    low, high = ends
    grid = [
        (low + high) / 2 - (high - low) / 2 * cos(pi * (i + mpf(0.5)) / (INTERVALS + 1))
        for i in range(INTERVALS + 1)
    ]
    weight = [weight_at(x) for x in grid]
    target = [target_at(x) for x in grid]

    def rounded(powers: list[mpf]) -> list[float]:
        return [float(width(str(power))) for power in powers]

    def error(powers: list[float]) -> mpf:
        exact = [mpf(power) for power in powers]
        return max(
            w * abs(evaluate(exact, x) - t) for x, w, t in zip(grid, weight, target, strict=True)
        )

    once = rounded(best(target, weight, grid, degree + 1))
    others = best(
        [(t - mpf(once[0])) / x for x, t in zip(grid, target, strict=True)],
        [w * abs(x) for x, w in zip(grid, weight, strict=True)],
        grid,
        degree,
    )
    chosen = min(once, [once[0], *rounded(others)], key=error)
    scaled = nstr(error(chosen) * mpf(2) ** digits, 2)
    print(f"float{bits}, {name}: largest relative error {scaled} * 2**-{digits}")
    for power in reversed(chosen):
        print(f"    {power!r},")


def main() -> None:
    mp.dps = 60
    ln2 = log(mpf(2))
    root = sqrt(mpf(2))
    degrees = ((32, 5, 5, 2, 7), (64, 11, 10, 7, 19))
    for bits, exp_degree, expm1_degree, tanh_degree, log_degree in degrees:
        fit(
            "exp: (expm1(r) - r) / r**2",
            lambda r: (expm1(r) - r) / r**2,
            lambda r: r**2 / exp(r),
            (-ln2 * mpf(127) / 128, ln2 * mpf(129) / 128),
            exp_degree,
            bits,
        )
        fit(
            "expm1: (expm1(r) - r) / r**2",
            lambda r: (expm1(r) - r) / r**2,
            lambda r: abs(r**2 / expm1(r)),
            (log(mpf(3) / 4), ln2),
            expm1_degree,
            bits,
        )
        fit(
            "tanh: (tanh(r) - r) / r**3 in z = r**2",
            lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z,
            lambda z: z * sqrt(z) / tanh(sqrt(z)),
            (mpf(0), (ln2 / 2) ** 2),
            tanh_degree,
            bits,
        )
        fit(
            "log: (log1p(r) - r) / r**2",
            lambda r: (log1p(r) - r) / r**2,
            lambda r: abs(r**2 / log1p(r)),
            (1 / root - 1, root - 1),
            log_degree,
            bits,
        )


if __name__ == "__main__":
    main()
