"""Where what was tried out lies: for its owner alone, not for long and not many at a time, unless its owner keeps it.

What is kept lies in a folder of its own with what the page shows of it, survives the process, and goes when its owner
says so. It is nobody's record either: no study, no backup and no retention knows of it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dicom_node.errors import DiskFull, Refused
from dicom_node.storage.files import make_folder, named_disk_errors

FOLDER = "trials"
"""Of the data folder. What lies there is nobody's record: it is emptied at every start."""

KEPT = "kept-trials"
"""Of the data folder: what somebody asked to keep, one folder each."""

KEPT_S = 1800.0
MOST = 20
MOST_KEPT = 50
_TOLD = "trial.json"


class TooManyKept(Refused):
    """As many as may be kept are kept already: forget one of them first."""


class Forgotten(Refused):
    """What was tried out is kept for half an hour, and this was longer ago, or is somebody else's."""


@dataclass(frozen=True)
class Trial:
    """`told`: what the desk answered; `kept`: until its owner forgets it."""

    key: str
    owner: str
    folder: Path
    began_s: float
    told: dict[str, Any] = field(default_factory=dict, repr=False)
    kept: bool = False

    def file(self, name: str) -> Path:
        """One of the files that the looks wrote, `<look>/<name>` or the source object. Raises Forgotten."""
        looks = enumerate(self.told["looks"])
        known = {f"{number}/{file}" for number, look in looks for file in look["files"]} | {SOURCE}
        path = self.folder / name
        if name not in known or not path.is_file():
            raise Forgotten
        return path


SOURCE = "source.dcm"


class Shelf:
    """Threads may share it."""

    def __init__(self, data_dir: Path, clock_s: Callable[[], float] = time.monotonic, *, spare_bytes: int = 0) -> None:
        """`spare_bytes`: with less free space nothing is tried out, since received objects need it."""
        self._folder, self._kept, self._clock_s = data_dir / FOLDER, data_dir / KEPT, clock_s
        self._spare_bytes = spare_bytes
        self._trials: dict[str, Trial] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget what an earlier process left behind, and find what it kept; before anything is put here."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with self._lock:
            self._trials = {trial.key: trial for trial in map(_read, sorted(self._kept.glob("*"))) if trial is not None}

    def open(self) -> Path:
        """A folder for a new one. Raises DiskFull, StorageUnavailable."""
        folder = self._folder / secrets.token_hex(8)
        with named_disk_errors():
            if shutil.disk_usage(self._folder.parent).free < self._spare_bytes:
                raise DiskFull
        make_folder(folder)
        return folder

    def put(self, folder: Path, owner: str, told: dict[str, Any]) -> Trial:
        """Keep what came of it; the oldest goes where there are too many."""
        trial = Trial(secrets.token_urlsafe(16), owner, folder, self._clock_s(), told)
        with self._lock:
            self._trials[trial.key] = trial
            self._forget()
        timer = threading.Timer(KEPT_S + 1.0, self._remove, (trial,))  # also where nobody comes by again
        timer.daemon = True
        timer.start()
        return trial

    def get(self, key: str, owner: str) -> Trial:
        """Raises Forgotten."""
        with self._lock:
            self._forget()
            trial = self._trials.get(key)
        if trial is None or trial.owner != owner:
            raise Forgotten
        return trial

    def of(self, owner: str) -> tuple[Trial, ...]:
        """Newest first."""
        with self._lock:
            self._forget()
            return tuple(trial for trial in reversed(self._trials.values()) if trial.owner == owner)

    def drop(self, key: str, owner: str) -> None:
        """Forget it now. Raises Forgotten."""
        trial = self.get(key, owner)
        with self._lock:
            self._remove(trial)

    def keep(self, key: str, owner: str) -> None:
        """Until its owner forgets it.

        Raises:
            Forgotten: it is gone already.
            TooManyKept: all of its owner's places are taken.
            DiskFull, StorageUnavailable: it cannot be written.
        """
        trial = self.get(key, owner)
        if trial.kept:
            return
        with self._lock:
            if sum(other.kept and other.owner == owner for other in self._trials.values()) >= MOST_KEPT:
                raise TooManyKept
            kept = replace(trial, folder=self._kept / key, kept=True)
            with named_disk_errors():
                document = {"key": key, "owner": owner, "told": trial.told}
                (trial.folder / _TOLD).write_text(json.dumps(document), encoding="utf-8")
                make_folder(self._kept)
                trial.folder.rename(kept.folder)
            self._trials[key] = kept

    def _forget(self) -> None:
        oldest_s = self._clock_s() - KEPT_S
        passing = [trial for trial in self._trials.values() if not trial.kept]
        for place, trial in enumerate(reversed(passing)):
            if trial.began_s < oldest_s or place >= MOST:
                self._remove(trial)

    def _remove(self, trial: Trial) -> None:
        """A timer of what was kept meanwhile finds nothing to remove."""
        if self._trials.get(trial.key, trial).folder != trial.folder:
            return
        self._trials.pop(trial.key, None)
        shutil.rmtree(trial.folder, ignore_errors=True)


def _read(folder: Path) -> Trial | None:
    """What was kept there; None where the folder is not one of ours."""
    try:
        document = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
        return Trial(folder.name, str(document["owner"]), folder, 0.0, dict(document["told"]), kept=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None
