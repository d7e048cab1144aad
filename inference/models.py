"""The manifest of weights: what each file is, how it must be used, and what it was measured to do. No torch here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.domain import ModelError, ModelIdentity
from inference.look import Look
from inference.preprocess import Grid, Normalisation
from inference.quality import Gate
from inference.uncertainty import ConformalInterval
from inference.weakness import WeakSize

MANIFEST = "manifest.json"
EVERY_EXAM = "every exam"
FIRST_SPLIT = "the training exams of the first split"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One weight file. `figures` are shown, never used.

    `probability` is the level of the outline, `slope_power` what its points are weighted by (inference.segment.trace),
    `look` how often the network is asked; `width`: the share of its architecture's channels that the network has;
    `weak_sizes` are remarked with every measurement that lies in one; `trained_on`: the exams that the weights learnt
    from, in words, which decide who may judge them.
    """

    name: str
    architecture: str
    file: str
    sha256: str
    parameters: int
    grid: Grid
    normalisation: Normalisation
    probability: float
    slope_power: float
    look: Look
    gate: Gate
    interval: ConformalInterval | None
    figures: dict[str, Any]
    data: str
    card: str
    width: float = 1.0
    weak_sizes: tuple[WeakSize, ...] = ()
    trained_on: str = FIRST_SPLIT

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(self.name, self.sha256)

    @property
    def calibration_sha256(self) -> str:
        """Hash of what decides a result besides the weights: grid, grey, gate, level, weighting, passes, interval."""
        interval = None if self.interval is None else self.interval.to_json()
        limits = {name: limit for name, limit in asdict(self.gate).items() if limit is not None}
        seen = [asdict(self.grid), asdict(self.normalisation)]
        facts = [*seen, limits, self.probability, self.slope_power, asdict(self.look), interval]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def verified(self, weights: Path) -> bool:
        """Whether the file is there and is the one that was measured."""
        path = weights / self.file
        return path.is_file() and sha256_of(path) == self.sha256

    def verify(self, weights: Path) -> None:
        """Raises ModelError unless the file is there and its sha256 is the manifest's."""
        if not (weights / self.file).is_file():
            raise ModelError(f"model {self.name}: {self.file} is missing from the weights folder")
        if not self.verified(weights):
            raise ModelError(f"model {self.name}: {self.file} is not the file that was measured (sha256 differs)")


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def read_manifest(weights: Path) -> tuple[ModelEntry, ...]:
    """All entries of `weights/manifest.json`.

    Raises:
        ModelError: the manifest is missing, is not JSON, or lacks something.
    """
    path = weights / MANIFEST
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_entry(row) for row in raw["models"])
    except OSError as error:
        raise ModelError(f"{MANIFEST} is missing from the weights folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{MANIFEST} is not a valid manifest ({type(error).__name__}: {error})") from error


def find_model(weights: Path, name: str) -> ModelEntry:
    """The entry called `name`; raises ModelError that lists the known names."""
    entries = read_manifest(weights)
    for entry in entries:
        if entry.name == name:
            return entry
    raise ModelError(f"no model {name!r} in {MANIFEST}; known: {', '.join(e.name for e in entries) or 'none'}")


def _entry(row: dict[str, Any]) -> ModelEntry:
    interval = row["interval"]
    return ModelEntry(
        name=row["name"],
        architecture=row["architecture"],
        file=row["file"],
        sha256=row["sha256"],
        parameters=int(row["parameters"]),
        grid=Grid(**row["grid"]),
        normalisation=Normalisation(**row["normalisation"]),
        probability=float(row["probability"]),
        slope_power=float(row["slope_power"]),
        look=Look(**row["look"]),
        gate=Gate(**row["gate"]),
        interval=None if interval is None else ConformalInterval.from_json(interval),
        figures=dict(row["figures"]),
        data=str(row["data"]),
        card=str(row["card"]),
        width=float(row.get("width", 1.0)),
        weak_sizes=tuple(WeakSize(**size) for size in row.get("weak_sizes", ())),
        trained_on=str(row.get("trained_on", FIRST_SPLIT)),
    )
