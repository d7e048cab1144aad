"""Frames of stored objects as PNG files."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from dicom_node.decode import DecodedInstance, read_instance

_OPEN = 4
"""Objects that stay open: a cine is asked for frame by frame."""


class FrameShelf:
    """Decodes one frame at a time: a page of pictures must not take the processor from the worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, DecodedInstance] = OrderedDict()

    def png(self, path: Path, frame: int) -> bytes:
        """Frame `frame` (1-based) as the machine showed it.

        Raises:
            InstanceRefused: the object cannot be decoded.
            OSError: the file cannot be read.
            ValueError: there is no such frame.
        """
        with self._lock:
            picture = self._opened(path).display(frame)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def count(self, path: Path) -> int:
        """How many frames there are. Raises as `png` does."""
        with self._lock:
            return self._opened(path).frame_count

    def _opened(self, path: Path) -> DecodedInstance:
        if path not in self._open:
            self._open[path] = read_instance(path, secondary_captures=True)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return self._open[path]
