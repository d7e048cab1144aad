"""Threads that each want something committed share a transaction: whoever comes first commits for all that wait.

A commit waits for the disk; what comes meanwhile need not wait for as many. Nobody is told before the commit that has
its wish is done, so what one thread may say afterwards is as true as if it had committed alone. Nobody waits for others
to come, either: one thread alone commits at once. Where a row that one of them needs is locked by somebody else, each
goes on alone, and whoever comes meanwhile does not wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from dicom_node.errors import Contended, NodeError

Wanted = TypeVar("Wanted")
Outcome = TypeVar("Outcome")


@dataclass(slots=True, eq=False)
class _Wish(Generic[Wanted, Outcome]):
    wanted: Wanted
    is_settled: bool = False
    goes_alone: bool = False
    outcome: Outcome | None = None
    error: BaseException | None = None

    def settle(self, outcome: Outcome | None, error: BaseException | None = None) -> None:
        self.outcome, self.error, self.is_settled = outcome, error, True


class Together(Generic[Wanted, Outcome]):
    """Threads may share it. `commit_all` commits a number of wishes in one and returns their outcomes in order.

    It raises Contended where a row is not to be had soon; `commit_alone` commits one and waits as long as it takes.
    """

    def __init__(
        self,
        commit_all: Callable[[Sequence[Wanted]], Sequence[Outcome]],
        commit_alone: Callable[[Wanted], Outcome],
    ) -> None:
        self._commit_all, self._commit_alone = commit_all, commit_alone
        self._waiting: list[_Wish[Wanted, Outcome]] = []
        self._is_committing = False
        self._turn = threading.Condition()

    def commit(self, wanted: Wanted) -> Outcome:
        """Return when it is committed. Raises what its commit raised; trouble of the database meets all who share it.

        An error of any other kind may be due to one of them, so then each is committed alone.
        """
        wish = _Wish[Wanted, Outcome](wanted)
        with self._turn:
            self._waiting.append(wish)
            while self._is_committing and not wish.is_settled:
                self._turn.wait()
            mine: list[_Wish[Wanted, Outcome]] = []
            if not wish.is_settled:
                mine, self._waiting, self._is_committing = self._waiting, [], True
        if mine:
            self._lead(mine)
        if wish.goes_alone:
            return self._commit_alone(wanted)
        if wish.error is not None:
            raise copy(wish.error) from wish.error
        return cast(Outcome, wish.outcome)

    def _lead(self, wishes: Sequence[_Wish[Wanted, Outcome]]) -> None:
        try:
            self._settle(wishes)
        except BaseException as error:
            for wish in wishes:
                if not wish.is_settled:
                    wish.settle(None, error)
            raise
        finally:
            with self._turn:
                self._is_committing = False
                self._turn.notify_all()

    def _settle(self, wishes: Sequence[_Wish[Wanted, Outcome]]) -> None:
        try:
            outcomes = self._commit_all([wish.wanted for wish in wishes])
        except Contended:
            for wish in wishes:
                wish.is_settled = wish.goes_alone = True
        except NodeError as error:
            for wish in wishes:
                wish.settle(None, error)
        except Exception as error:  # noqa: BLE001  goes to whoever asked for it
            if len(wishes) == 1:
                wishes[0].settle(None, error)
                return
            for wish in wishes:
                self._settle([wish])
        else:
            for wish, outcome in zip(wishes, outcomes, strict=True):
                wish.settle(outcome)
