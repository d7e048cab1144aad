"""How much the C library may keep of the memory that Python has given back."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # mallopt(3)
MOST_ARENAS = 2


def bound_arenas() -> bool:
    """Let glibc keep free memory in two arenas, instead of up to eight for each core; False where it is not glibc.

    Each arena keeps what its threads have freed, and every association brings three new threads: the receiver grew by
    megabytes a minute under broken conversations although Python held nothing more. To be called before there are
    many threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, MOST_ARENAS))
