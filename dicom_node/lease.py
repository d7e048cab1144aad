"""A lease that is renewed in the background for as long as work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RENEWALS_PER_LEASE = 3


@contextmanager
def renewed(renew: Callable[[], bool], lease_s: float) -> Iterator[None]:
    """Call `renew` several times per lease until the block ends or `renew` says False: there is nothing left to hold.

    `renew` runs in a thread of its own and must not raise.
    """
    done = threading.Event()

    def keep() -> None:
        while not done.wait(lease_s / RENEWALS_PER_LEASE):
            if not renew():
                return

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
