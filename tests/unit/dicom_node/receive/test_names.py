"""Addresses of host names."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_node.receive.names import FRESH_S, Names, ask_the_system


class Service:
    """A name service with a clock."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {"us1": ["10.0.0.1", "10.0.0.1"]}
        self.asked = 0
        self.now = 1000.0

    def ask(self, name: str) -> Sequence[str]:
        self.asked += 1
        if name not in self.addresses:
            raise OSError("not known")
        return self.addresses[name]


def names(service: Service) -> Names:
    return Names(service.ask, lambda: service.now)


def test_an_answer_is_believed_for_a_while() -> None:
    service = Service()
    known = names(service)
    assert [known.lookup("us1") for _ in range(3)] == [("10.0.0.1",)] * 3
    assert service.asked == 1

    service.addresses["us1"] = ["10.0.0.2"]
    service.now += FRESH_S
    assert known.lookup("us1") == ("10.0.0.2",)


def test_a_service_that_is_away_locks_nobody_out_who_was_known() -> None:
    service = Service()
    known = names(service)
    known.lookup("us1")
    service.addresses.clear()
    service.now += 10 * FRESH_S

    assert known.lookup("us1") == ("10.0.0.1",)
    assert known.lookup("never-known") == ()


def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in ask_the_system("localhost")
