"""What a benchmark says: one number, its unit, and the same number of a peer where there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One row of results.json. `n` is the number of repetitions or images behind `value`.

    `peer` names what it is compared with and `peer_value` is in the same unit, measured in the same run; both are None
    where there is nothing to compare with.
    """

    name: str
    value: float
    unit: str
    n: int
    peer: str | None = None
    peer_value: float | None = None

    def __post_init__(self) -> None:
        if (self.peer is None) != (self.peer_value is None):
            raise ValueError(f"{self.name}: peer and peer_value come together")

    @property
    def ratio(self) -> float | None:
        """Our value over the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    def row(self, command: str) -> dict[str, str | float | int | None]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": self.peer_value,
            "ratio": self.ratio,
            "n": self.n,
            "command": command,
        }
