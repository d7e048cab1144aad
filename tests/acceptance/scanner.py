"""An ultrasound machine: images with a known head, and a sender that keeps what was not acknowledged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from inference.phantom import PhantomImage
from tests.phantoms import head_phantom
from tests.receiving import OUR_AE, SCANNER
from tests.ultrasound import save, us_image, us_region

SUCCESS = 0x0000
JOIN_S = 5.0
SMALL = (216, 320)
"""Rows and columns of images for tests in which speed matters."""

MEASURED_HEADS = tuple(seed for seed in range(1, 21) if seed not in (8, 14, 18))
"""Drawn heads that the network that ships is sure of; it hesitates inside the others, and says no number."""


@cache
def _phantom(seed: int, shape: tuple[int, int]) -> PhantomImage:
    return head_phantom(seed, shape=shape)


def head_image(seed: int, shape: tuple[int, int] = SMALL, **attributes: Any) -> FileDataset:
    """A calibrated grey US Image of one head, with a SOP Instance UID of its own at each call."""
    phantom = _phantom(seed, shape)
    rows, columns = shape
    spacing = phantom.spacing_mm
    region = us_region((0, 0, columns - 1, rows - 1), (spacing.column / 10.0, spacing.row / 10.0))
    return us_image(phantom.luminance, [region], **attributes)


def exam(folder: Path, count: int, *, heads: Sequence[int] = MEASURED_HEADS[:10], per_study: int = 20) -> list[Path]:
    """Files of `count` images that show these heads in turn, `per_study` of them in each study."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    study: dict[str, str] = {}
    for number in range(count):
        image = head_image(heads[number % len(heads)], InstanceNumber=number + 1, **study)
        if number % per_study == 0:
            study = {"StudyInstanceUID": image.StudyInstanceUID, "SeriesInstanceUID": image.SeriesInstanceUID}
        image.update(study)
        files.append(save(image, folder / f"{number:04}.dcm"))
    return files


def uid_of(path: Path) -> str:
    return str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)


@dataclass
class Scanner:
    """Sends files; `answers` holds the last status of each SOP Instance UID, `acknowledged` those with Success.

    `patience_s`: how long it waits for an answer. `others`: where it knocks, in turn, when an association fails.
    """

    port: int
    ae_title: str = SCANNER
    host: str = "127.0.0.1"
    patience_s: float = 30.0
    others: Sequence[tuple[str, int]] = ()
    answers: dict[str, int] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    sent_at: dict[str, float] = field(default_factory=dict)

    def send(self, *paths: Path) -> list[int]:
        """One association for all; the status of each.

        Raises:
            ConnectionError: the association was not established, or broke.
        """
        with self._association(_contexts(paths)) as association:
            return [self._store(association, path) for path in paths]

    def push(self, paths: Iterable[Path], *, seconds: float, pause_s: float = 0.0) -> None:
        """Send all, again and again what was not acknowledged, as a machine does. Raises TimeoutError."""
        waiting = list(paths)
        contexts = _contexts(waiting)
        deadline = time.monotonic() + seconds
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting)} objects were not acknowledged")
            try:
                with self._association(contexts) as association:
                    while waiting and self._store(association, waiting[0]) == SUCCESS:
                        waiting.pop(0)
                        time.sleep(pause_s)
            except ConnectionError:
                time.sleep(0.1)
                (self.host, self.port), *self.others = *self.others, (self.host, self.port)

    @contextmanager
    def _association(self, contexts: list[PresentationContext]) -> Iterator[Association]:
        """Raises ConnectionError where none comes about."""
        entity = _Entity(self.ae_title)
        entity.dimse_timeout = self.patience_s
        association = entity.associate(self.host, self.port, contexts=contexts, ae_title=OUR_AE)
        try:
            if not association.is_established:
                raise ConnectionError("no association")
            yield association
        finally:
            if association.is_established:
                association.release()
            if association.is_alive():
                association.join(JOIN_S)
            entity.close()

    def _store(self, association: Association, path: Path) -> int:
        uid = uid_of(path)
        try:
            answer = association.send_c_store(path)
        except (RuntimeError, ValueError) as error:  # the association ended, or the context was refused
            if association.is_established:
                raise
            raise ConnectionError("the association ended") from error
        if "Status" not in answer:
            raise ConnectionError("no answer")
        self.sent_at[uid] = time.monotonic()
        self.answers[uid] = int(answer.Status)
        if answer.Status == SUCCESS:
            self.acknowledged.add(uid)
        return int(answer.Status)


class _Entity(AE):
    """pynetdicom leaves the socket of a connection that failed or broke to the garbage collector."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(ae_title)
        self.connection_timeout = self.acse_timeout = 10
        self._sockets: list[Any] = []

    def _create_socket(self, *arguments: Any) -> Any:
        wrapped = super()._create_socket(*arguments)
        self._sockets.append(wrapped.socket)
        return wrapped

    def close(self) -> None:
        for raw in self._sockets:
            raw.close()


def _contexts(paths: Sequence[Path]) -> list[PresentationContext]:
    pairs = sorted({_syntax(path) for path in paths})
    return [build_context(sop_class, syntax) for sop_class, syntax in pairs]


def _syntax(path: Path) -> tuple[str, str]:
    meta = dcmread(path, specific_tags=[], stop_before_pixels=True).file_meta
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
