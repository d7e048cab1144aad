"""A PACS for the demonstration: takes every object and writes it to a folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
    Verification,
)

AE_TITLE = "STANDINPACS"
_NAMES = {ComprehensiveSRStorage: "report", EncapsulatedPDFStorage: "page", SecondaryCaptureImageStorage: "overlay"}
CANNOT_WRITE = 0xA700  # PS3.4 Table B.2-1, out of resources
TAKEN = (Verification, ComprehensiveSRStorage, EncapsulatedPDFStorage, SecondaryCaptureImageStorage)


@contextmanager
def stand_in_pacs(folder: Path, port: int) -> Iterator[None]:
    """Listen on 127.0.0.1 for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    entity = AE(AE_TITLE)
    for sop_class in TAKEN:
        entity.add_supported_context(sop_class)
    numbers = itertools.count(1)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, _store, [folder, numbers])]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _store(event: evt.Event, folder: Path, numbers: Iterator[int]) -> int:
    """The file is named by order of arrival and kind; an identifier from the network never becomes a path."""
    part = folder / f"{next(numbers):04d}.part"
    try:
        part.write_bytes(event.encoded_dataset())
        kind = _NAMES.get(str(event.request.AffectedSOPClassUID), "object")
        part.rename(part.with_name(f"{part.stem}-{kind}.dcm"))
    except OSError:
        part.unlink(missing_ok=True)
        return CANNOT_WRITE
    return 0x0000


def unpack(folder: Path) -> None:
    """Beside each report page its PDF, beside each overlay a PNG, so that no DICOM viewer is needed to look."""
    from PIL import Image  # noqa: PLC0415

    for path in sorted(folder.glob("*.dcm")):
        dataset = dcmread(path)
        if "EncapsulatedDocument" in dataset:
            path.with_suffix(".pdf").write_bytes(dataset.EncapsulatedDocument)
        elif "PixelData" in dataset:
            Image.fromarray(dataset.pixel_array).save(path.with_suffix(".png"))
