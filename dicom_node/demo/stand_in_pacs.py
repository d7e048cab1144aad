"""A PACS for the demonstration: takes every object and writes it to a folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

AE_TITLE = "STANDINPACS"
CANNOT_WRITE = 0xA700  # PS3.4 Table B.2-1, out of resources
_MOST_CONTEXTS = 120


@contextmanager
def stand_in_pacs(folder: Path, port: int) -> Iterator[None]:
    """Listen on 127.0.0.1 for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    entity = AE(AE_TITLE)
    entity.supported_contexts = AllStoragePresentationContexts[:_MOST_CONTEXTS]
    entity.add_supported_context(Verification)
    numbers = itertools.count(1)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, _store, [folder, numbers])]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _store(event: evt.Event, folder: Path, numbers: Iterator[int]) -> int:
    """File name: order of arrival and Modality; an identifier from the network never becomes a path."""
    part = folder / f"{next(numbers):04d}.part"
    try:
        part.write_bytes(event.encoded_dataset())
        modality = str(dcmread(part, specific_tags=["Modality"]).get("Modality", ""))
        known = modality if modality in ("SR", "DOC", "OT", "US", "SC") else "object"
        part.rename(part.with_name(f"{part.stem}-{known}.dcm"))
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
