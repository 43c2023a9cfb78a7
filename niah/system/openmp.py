"""Time that torch's OpenMP threads spin after a parallel operation, on the cores that threads of others wait for.

GNU's OpenMP lets them spin 300,000 times before they sleep. The jobs of `niah.system.threads` come
between torch's operations and need these cores: with 20,000 a pass of aum-nano over 100 s takes 46 ms instead of 55 on
two cores, and one of ast-sin-nano, which has no such jobs, as long as before.
"""

import os

SPINS = 20_000
_SET_BY_USERS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_briefly() -> None:
    """Set the number in the environment, where nobody has; it holds for a torch that is imported later."""
    if not any(name in os.environ for name in _SET_BY_USERS):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
