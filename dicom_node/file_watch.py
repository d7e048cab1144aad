"""Noticing that files were changed: by asking for their time and size, which works on every file system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Signature = tuple[int, int, int] | None


class FileWatch:
    """Files that may be changed, replaced, deleted and made again.

    A change counts at the second look that finds the files so: editors and copying programs write a file in pieces, and
    half of one may be as valid as the whole.
    """

    def __init__(self, files: Iterable[Path | None]) -> None:
        self._files = [file for file in files if file is not None]
        self._known = self._seen = self._look()

    def changed(self) -> bool:
        """Whether any is another than when this was last true (or the watch began), and as it was at the last call."""
        before, self._seen = self._seen, self._look()
        if self._seen != before or self._seen == self._known:
            return False
        self._known = self._seen
        return True

    def _look(self) -> list[Signature]:
        return [_signature(file) for file in self._files]


def _signature(file: Path) -> Signature:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
