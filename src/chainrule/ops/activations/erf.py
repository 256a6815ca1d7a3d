"""The error function, which the Array API standard lacks."""

from chainrule.typing import Array, Namespace

_POWERS = (
    9.862533510345587e-10,
    -3.1813541434969274e-09,
    -1.3312919661038687e-08,
    2.7843881265502222e-08,
    1.0183620603842736e-07,
    -1.205414228648938e-07,
    -6.166011460398726e-07,
    3.3669790806407595e-07,
    3.472370944977168e-06,
    -7.187883834404266e-07,
    -2.0100542268525612e-05,
    4.94412434222366e-06,
    0.0001250993424583729,
    -0.00010515831297813128,
    -0.0007798322696543306,
    0.0018886900977441495,
    0.0025293918156939696,
    -0.023770514891530075,
    0.0683080273440099,
    -0.11927366341676002,
    0.1296451587027594,
    -0.04756229435342038,
    -0.13562110612458117,
    1.2530080582697296,
)
"""Of t**23 … t**0; made by ``tools/fit_erf.py``."""


def erf(xp: Namespace, x: Array) -> Array:
    """erf(x), any shape; largest absolute error 5e-16 in float64, 4e-7 in float32.

    erfc(|x|) = exp(-x**2) p(t) / (1 + 2 |x|) with t = (|x| - 3) / (|x| + 3), the variable of
    Shepherd & Laframboise 1981; |x| is bounded at 10, where erfc is 2e-45.
    """
    distance = xp.minimum(xp.abs(x), 10.0)
    t = (distance - 3.0) / (distance + 3.0)
    polynomial = t * _POWERS[0] + _POWERS[1]
    for coefficient in _POWERS[2:]:
        polynomial = polynomial * t + coefficient
    complement = xp.exp(-distance * distance) * polynomial / (1.0 + 2.0 * distance)
    return xp.where(x < 0, complement - 1.0, 1.0 - complement)
