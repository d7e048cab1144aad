"""What the header says was examined: some of it is never a fetus."""

from __future__ import annotations

from pydicom.dataset import Dataset

EXAMINATION = 2
"""Place of the examination in Image Type (0008,0008), PS3.3 C.8.5.6.1.1: its third value."""

NEVER_A_FETUS = frozenset({
    # defined terms of PS3.3 C.8.5.6.1.1
    "BREAST", "CHEST", "ENDORECTAL", "EPICARDIAL", "INTRACARDIAC", "INTRAVASCULAR", "MUSCULOSKELETAL", "NEONATAL HEAD",
    "OPHTHALMIC", "SCROTAL", "TEE", "THYROID", "TRANSCRANIAL", "TTE",
    # what machines write instead
    "CARDIAC", "CARDIOLOGY", "ADULT ECHO", "ECHOCARDIOGRAPHY", "ADULTHEAD", "ADULT HEAD",
})  # fmt: skip
"""Left out are those under which a fetus may be seen (ABDOMINAL, ENDOVAGINAL, FETAL HEART, GYNECOLOGY, PELVIC, ...) and
those that say nothing about it (SMALL PARTS, PEDIATRIC, VASCULAR, USBIOPSY)."""


def other_examination(header: Dataset) -> str | None:
    """The term by which Image Type names an examination that shows no fetus; None where it may be one. Never raises."""
    value = header.get("ImageType")
    parts = [value] if isinstance(value, str) else list(value or ()) if not isinstance(value, bytes) else []
    term = str(parts[EXAMINATION]).strip().upper() if len(parts) > EXAMINATION else ""
    return term if term in NEVER_A_FETUS else None
