"""Where what was tried out lies until it is forgotten: for its owner alone, not for long, and not many at a time."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_node.errors import Refused
from dicom_node.storage.files import make_folder

FOLDER = "trials"
"""Of the data folder. What lies there is nobody's record: it is emptied at every start."""

KEPT_S = 1800.0
MOST = 20


class Forgotten(Refused):
    """What was tried out is kept for half an hour, and this was longer ago, or is somebody else's."""


@dataclass(frozen=True)
class Trial:
    """`told`: what the desk answered; `settings`: what was asked, for the page."""

    key: str
    owner: str
    folder: Path
    began_s: float
    told: dict[str, Any] = field(default_factory=dict, repr=False)

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

    def __init__(self, data_dir: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock_s = data_dir / FOLDER, clock_s
        self._trials: dict[str, Trial] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """What an earlier process left behind; before anything is put here."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self) -> Path:
        """A folder for a new one. Raises DiskFull, StorageUnavailable."""
        folder = self._folder / secrets.token_hex(8)
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

    def _forget(self) -> None:
        oldest_s = self._clock_s() - KEPT_S
        for trial in [trial for trial in self._trials.values() if trial.began_s < oldest_s]:
            self._remove(trial)
        while len(self._trials) > MOST:
            self._remove(next(iter(self._trials.values())))

    def _remove(self, trial: Trial) -> None:
        self._trials.pop(trial.key, None)
        shutil.rmtree(trial.folder, ignore_errors=True)
