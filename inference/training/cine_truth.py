"""The truth of a synthetic clip as a file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inference.domain import Luminance
from inference.synthetic_cine import CineFrame, Still, Sweep, hc_deviation_mm, reference_hc_mm, synthesise


@dataclass(frozen=True, slots=True)
class Recorded:
    """A clip that is drawn once, frame by frame; what is kept of a frame is its truth, not its picture."""

    still: Still
    sweep: Sweep
    seed: int
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _hc_mm: list[float] = field(default_factory=list)

    def pictures(self) -> Iterator[Luminance]:
        """The frames, uint8 [rows, columns] each."""
        for frame in synthesise(self.still, self.sweep, self.seed):
            self._rows.append(_row(frame))
            if frame.hc_mm is not None:
                self._hc_mm.append(frame.hc_mm)
            yield frame.luminance

    def facts(self) -> dict[str, Any]:
        """Number of frames, HC of the reference and the deviation of the true HC in time, in mm."""
        return {
            "frames": len(self._rows),
            "reference_hc_mm": round(reference_hc_mm(self.still), 3),
            "hc_deviation_mm": _rounded(hc_deviation_mm(self._hc_mm)),
        }

    def write(self, path: Path, sop_instance_uid: str) -> None:
        """All of it as JSON; lengths in mm and pixels as the names say, frame numbers 1-based."""
        document = {**self.facts(), "sop_instance_uid": sop_instance_uid, "seed": self.seed}
        document |= {"sweep": asdict(self.sweep), "frames": self._rows}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _row(frame: CineFrame) -> dict[str, Any]:
    return {
        "frame": frame.number,
        "condition": str(frame.condition),
        "hc_mm": _rounded(frame.hc_mm),
        "ellipse": None if frame.ellipse is None else asdict(frame.ellipse),
    }


def _rounded(millimetres: float | None) -> float | None:
    return None if millimetres is None else round(millimetres, 3)
