"""Lanes of the courier, step by step: clocks that are set, and destinations that take an association and no object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.clocks import TRUSTED_AFTER_S, Clocks
from dicom_node.deliver import courier
from dicom_node.deliver.courier import Lane
from dicom_node.deliver.scu import Cause, Failure, Outgoing, Step, Unknown, classify_status
from dicom_node.domain import DeliveryState
from dicom_node.queue import utc_now
from tests.outbox import Node, node, pacs, wait_until
from tests.scripted_scp import free_port

PENDING, SENT, DEAD = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DEAD
_NEVER = threading.Event()


def lane_of(made: Node, destination: str = "pacs") -> Lane:
    return next(lane for lane in courier.lanes_of(made.config, made.repository) if lane.destination == destination)


def work(lane: Lane, until: Callable[[], bool]) -> None:
    """Serve until that is so; how often does not matter."""

    def served() -> bool:
        lane.serve_once(_NEVER)
        return until()

    wait_until(served, lambda: lane.destination)


class Mute:
    """Lets everybody in, answers C-ECHO, and says nothing about objects until it is `well`."""

    def __init__(self, well: bool = False) -> None:
        self.well = well
        self.asked = 0
        self.batches: list[int] = []

    def send(self, objects: Sequence[Outgoing]) -> Generator[Step, None, None]:
        self.batches.append(len(objects))
        for item in objects:
            yield (
                item,
                classify_status(0x0000) if self.well else Unknown(Cause.NO_ANSWER, "no valid response came back"),
            )

    def ask(self) -> Failure | None:
        self.asked += 1
        return None


def test_a_clock_that_is_ahead_for_a_moment_gives_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, steady_s = timedelta(0), 0.0

    def wall() -> datetime:
        return utc_now() + ahead

    monkeypatch.setattr(courier, "utc_now", wall)
    with node(tmp_path, pacs=free_port()) as made:
        for _ in range(2):
            made.add_result()
        lane = lane_of(made)
        lane._clocks = Clocks(lambda: utc_now() + ahead, lambda: steady_s)
        ahead = timedelta(hours=2 * made.config.delivery.deadline_h)
        work(lane, lambda: lane._own.breaker.is_shut)
        assert {delivery.state for delivery in made.deliveries()} == {PENDING}
        steady_s += TRUSTED_AFTER_S
        ahead += timedelta(seconds=TRUSTED_AFTER_S)
        work(lane, lambda: {delivery.state for delivery in made.deliveries()} == {DEAD})


def test_a_destination_that_answers_nothing_about_objects_is_left_alone(tmp_path: Path) -> None:
    with node(tmp_path, pacs=free_port()) as made:
        for _ in range(4):
            made.add_result()
        lane, mute = lane_of(made), Mute()
        lane._own = replace(lane._own, way=mute)
        work(lane, lambda: lane._own.breaker.is_shut)
        mute.batches.clear()
        work(lane, lambda: len(mute.batches) >= 3)
        assert set(mute.batches) == {1}, "an echo alone opens nothing: it has to take an object"
        assert lane._own.breaker.is_shut
        mute.well = True
        work(lane, lambda: {delivery.state for delivery in made.deliveries()} == {SENT})
        assert not lane._own.breaker.is_shut


def test_the_alternate_of_a_destination_that_answers_nothing_takes_its_objects(tmp_path: Path) -> None:
    entries = pacs("pacs", free_port(), alternate="spare"), {**pacs("spare", free_port()), "objects": []}
    with node(tmp_path, *entries, delivery={"alternate_after_s": 0.0}) as made:
        made.add_result()
        lane, mute = lane_of(made), Mute()
        assert lane._alternate is not None
        lane._own, lane._alternate = replace(lane._own, way=mute), replace(lane._alternate, way=Mute(well=True))
        work(lane, lambda: made.deliveries()[0].state is SENT)
        assert made.deliveries()[0].via == "spare"
        asked = mute.asked
        work(lane, lambda: mute.asked >= asked + 3)
        assert lane._own.breaker.is_shut, "nothing was due that it could have taken"
