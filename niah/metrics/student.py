"""Student's t from the normal distribution, for degrees of freedom that need not be whole.

Wallace's transformation (1959) takes a normal z to t and back, in closed form:

    z = (8 v + 1) / (8 v + 3) sqrt(v ln(1 + t^2 / v))

At the 97.5 % point it is exact to 0.1 % from 8 degrees of freedom v, to 1.2 % from 3 and to 4 % at 2; at 1 it is 38 %
too far out.
"""

from math import expm1, log1p, sqrt


def t_of_z(z: float, freedom: float) -> float:
    """Return the t that is as far out under `freedom` degrees of freedom as z >= 0 under the normal law."""
    scaled = z / _shrink(freedom)
    return sqrt(freedom * expm1(min(scaled * scaled / freedom, 700.0)))


def z_of_t(t: float, freedom: float) -> float:
    """Return the normal z that is as far out as t >= 0; the inverse of `t_of_z`."""
    return _shrink(freedom) * sqrt(freedom * log1p(t * t / freedom))


def _shrink(freedom: float) -> float:
    return (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
