"""From decoded samples to the two pictures of the product: RGB for people, luminance for the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_windowing

from inference.domain import Luminance

Samples = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, [rows, columns] or [rows, columns, 3]."""

Picture = NDArray[np.uint8]
"""RGB, uint8 [rows, columns, 3]."""

WINDOW_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})


def luminance(picture: Picture) -> Luminance:
    """The product's one definition of grey: ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded; exact for grey RGB."""
    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def to_picture(samples: Samples, header: Dataset, photometric: str, bits_stored: int) -> Picture:
    """Show samples as an ultrasound machine would.

    MONOCHROME of more than 8 bits takes the window where the header has a usable one (PS3.3 C.11.2), else the whole
    range of Bits Stored; of 8 bits it is what the screen showed, and a window is ignored. Palettes: PS3.3 C.7.6.3.1.5.

    Raises:
        ValueError, KeyError, AttributeError: a malformed palette.
    """
    if photometric == "PALETTE COLOR":
        return apply_palette(samples, header)
    values: NDArray[Any] = samples
    if samples.ndim == 2 and bits_stored > 8 and has_window(header):
        values = apply_windowing(samples, header)
    grey_or_rgb = _to_8_bits(values, bits_stored)
    if grey_or_rgb.ndim == 3:
        return grey_or_rgb
    if photometric == "MONOCHROME1":
        grey_or_rgb = 255 - grey_or_rgb
    return np.repeat(grey_or_rgb[:, :, None], 3, axis=2)


def has_window(header: Dataset) -> bool:
    """Whether Window Center and Window Width make a window that PS3.3 C.11.2.1.2 allows."""
    if header.get("VOILUTFunction") not in (None, "", *WINDOW_FUNCTIONS):
        return False
    try:
        center, width = (float(np.atleast_1d(header[k].value)[0]) for k in ("WindowCenter", "WindowWidth"))
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return bool(np.isfinite(center) and np.isfinite(width) and width > 1)


def apply_palette(indices: Samples, header: Dataset) -> Picture:
    """Map stored values through the three lookup tables; values outside take the first or last entry."""
    entries, first, bits = (int(v) for v in header.RedPaletteColorLookupTableDescriptor)
    entries = entries or 65536
    table = _palette_table(header, entries, first)
    # 8-bit entries may lie in 16 bits, and some machines say 16 and fill 8
    if bits > 8 and table.max(initial=0) > 255:
        table = np.right_shift(table, 8, dtype=np.uint16)
    position = np.clip(indices.astype(np.int64) - first, 0, entries - 1)
    picture: Picture = table.astype(np.uint8)[position]
    return picture


def _palette_table(header: Dataset, entries: int, first: int) -> NDArray[np.uint16]:
    """uint16 [entries, 3] as stored."""
    keywords = [f"{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")]
    if keywords[0] not in header:  # segmented (PS3.3 C.7.9.2): let the library expand it over a ramp of all values
        ramp = np.arange(entries, dtype=np.int32) + first
        return apply_color_lut(ramp, header)[:, :3].astype(np.uint16)
    order = "<" if header.original_encoding[1] is not False else ">"
    channels = []
    for keyword in keywords:
        data = bytes(header[keyword].value)
        kind = f"{order}u2" if len(data) >= 2 * entries else "u1"
        channels.append(np.frombuffer(data, kind, count=entries).astype(np.uint16))
    return np.stack(channels, axis=1)


def _to_8_bits(values: NDArray[Any], bits_stored: int) -> NDArray[np.uint8]:
    white = float(2**bits_stored - 1)
    scaled = values if bits_stored == 8 else np.rint(values.astype(np.float32) * np.float32(255.0 / white))
    grey: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey
