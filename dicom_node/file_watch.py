"""Noticing that files were changed: by asking for their time and size, which works on every file system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Signature = tuple[int, int, int] | None


class FileWatch:
    """Files that may be changed, replaced, deleted and made again."""

    def __init__(self, files: Iterable[Path | None]) -> None:
        self._files = [file for file in files if file is not None]
        self._seen = self._look()

    def changed(self) -> bool:
        """Whether any is another than at the last call, or when the watch began."""
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> list[Signature]:
        return [_signature(file) for file in self._files]


def _signature(file: Path) -> Signature:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
