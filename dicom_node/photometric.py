"""From decoded samples to the two pictures of the product: RGB for people, luminance for the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_rescale, apply_windowing

from dicom_node.errors import InstanceRefused
from dicom_node.lookup import apply_palette, apply_voi_lut, is_big_endian
from inference.domain import Luminance, Reason

Samples = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, [rows, columns] or [rows, columns, 3]."""

Picture = NDArray[np.uint8]
"""RGB, uint8 [rows, columns, 3]."""

WINDOW_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
"""VOI LUT Function, PS3.3 C.11.2.1.3."""


def luminance(picture: Picture) -> Luminance:
    """The product's one definition of grey: ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded; exact for grey RGB."""
    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def to_picture(samples: Samples, header: Dataset, photometric: str, bits_stored: int) -> Picture:
    """Show samples as an ultrasound machine would.

    Samples of 8 bits and less are what the screen showed: modality and VOI transformations are ignored. MONOCHROME of
    more bits takes the VOI LUT or else the window (PS3.3 C.11.2), after the modality's slope (C.11.1); without one that
    can be used, the whole range of Bits Stored. Palettes and VOI LUTs: lookup.py.

    Raises:
        InstanceRefused: BAD_LOOKUP_TABLE.
    """
    if photometric == "PALETTE COLOR":
        return apply_palette(samples, header)
    _check_modality(header)
    if samples.ndim == 2 and bits_stored > 8:
        grey_or_rgb = _to_8_bits(*_values_of_interest(samples, header, bits_stored))
    else:
        grey_or_rgb = _to_8_bits(samples, bits_stored)
    if grey_or_rgb.ndim == 3:
        return grey_or_rgb
    if photometric == "MONOCHROME1":
        grey_or_rgb = 255 - grey_or_rgb
    return np.repeat(grey_or_rgb[:, :, None], 3, axis=2)


def stored_values(samples: Samples, bits_stored: int, high_bit: int, overlay_bits: int = 0) -> Samples:
    """The bits from High Bit downwards. Beside them may only lie overlays, in objects of old (`overlay_bits`).

    PS3.5 8.1.1 and its older text, where High Bit could be anywhere. Any other bit that is set there shows that Bits
    Stored or High Bit is not true, and the values would be cut.

    Raises:
        InstanceRefused: BAD_PIXEL_DESCRIPTION.
    """
    lowest = high_bit + 1 - bits_stored
    allocated = samples.dtype.itemsize * 8
    if lowest == 0 and bits_stored == allocated:
        return samples
    stored = (2**bits_stored - 1) << lowest
    nobodys = (2**allocated - 1) & ~stored & ~overlay_bits
    if (samples & nobodys).any():
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(bits are set beside the stored ones)")
    values: Samples = (samples >> lowest) & (2**bits_stored - 1)
    return values


def overlay_bits(header: Dataset) -> int:
    """The bits of a sample that overlays lie in: a mask. Overlay Bit Position (60xx,0102) names each (PS3.3 C.9.2)."""
    positions = (header.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    return sum({1 << p.value for p in positions if p is not None and isinstance(p.value, int) and 0 <= p.value < 16})


def _check_modality(header: Dataset) -> None:
    """No ultrasound IOD has a modality transformation. A rising slope changes nothing here; the others would."""
    slope = header.get("RescaleSlope")
    if header.get("ModalityLUTSequence"):
        raise InstanceRefused(Reason.BAD_LOOKUP_TABLE, "(a Modality LUT in an ultrasound image)")
    if slope not in (None, "") and not (_is_number(slope) and float(slope) > 0):
        raise InstanceRefused(Reason.BAD_LOOKUP_TABLE, "(Rescale Slope is not positive)")


def _values_of_interest(samples: Samples, header: Dataset, bits_stored: int) -> tuple[NDArray[Any], int]:
    """Values to be shown, 0 black, and in how many bits."""
    if items := header.get("VOILUTSequence"):
        return apply_voi_lut(_rescaled(samples, header), items[0], is_big_endian(header))
    if not has_window(header):
        return samples, bits_stored
    # not the header itself: an empty VOI LUT Function, which is common, is an error to the library
    window = Dataset()
    window.PhotometricInterpretation, window.PixelRepresentation = "MONOCHROME2", 0
    window.BitsStored, window.VOILUTFunction = bits_stored, header.get("VOILUTFunction") or "LINEAR"
    window.add(header["WindowCenter"])
    window.add(header["WindowWidth"])
    return apply_windowing(_rescaled(samples, header), window), bits_stored


def _rescaled(samples: Samples, header: Dataset) -> NDArray[Any]:
    if header.get("RescaleSlope") in (None, "") or header.get("RescaleIntercept") in (None, ""):
        return samples
    return apply_rescale(samples, header)


def has_window(header: Dataset) -> bool:
    """Whether Window Center and Window Width make a window that PS3.3 C.11.2.1.2 allows."""
    if header.get("VOILUTFunction") not in (None, "", *WINDOW_FUNCTIONS):
        return False
    try:
        center, width = (float(np.atleast_1d(header[k].value)[0]) for k in ("WindowCenter", "WindowWidth"))
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return bool(np.isfinite(center) and np.isfinite(width) and width > 1)


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _to_8_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if bits == 8 and values.dtype == np.uint8:
        return values
    white = float(2**bits - 1)
    scaled = values if bits == 8 else np.rint(values.astype(np.float32) * np.float32(255.0 / white))
    grey: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey
