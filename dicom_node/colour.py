"""Which pixels are coloured for themselves (colour flow, graphics) rather than by a tint laid over the whole image."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_node.photometric import Picture
from inference.domain import RegionPx

Mask = NDArray[np.bool_]
"""bool [rows, columns]."""

Chroma = NDArray[np.float32]
"""Cb and Cr (ITU-R BT.601) around 0: float32 [rows, columns, 2]."""

LOWEST_CHROMA = 24.0
"""Distance in the Cb-Cr plane (0 to about 136) from which a pixel counts. Chroma noise of JPEG at quality 85 stays
below 10 on grey images; the darkest flow that this sees is a red of 50 of 255."""

GREY_CHROMA = 8.0
"""Up to here an image is grey, chroma noise allowed for."""

DARKEST_LUMINANCE = 12
"""Below, a pixel carries no tint that could be measured: it is background."""

LUMINANCE_STEP = 8
"""Width of the classes of luminance in which a tint is measured."""

LARGEST_TINT_STEP = 14.0
"""Change of a tint's chroma from one class of luminance to the next. The steepest maps (black, dark red, orange, white)
change by 13."""

FEWEST_IN_CLASS = 50


def coloured(picture: Picture, boxes: Iterable[RegionPx]) -> Mask | None:
    """Where the image itself is grey (or tinted) and the pixel is not: colour flow, and thick coloured graphics.

    Only the 2-D regions `boxes` are looked at; the mask is False elsewhere. Strokes of a pixel or two (text, calipers,
    dotted outlines) do not count. None: nothing is coloured.
    """
    mask = np.zeros(picture.shape[:2], np.bool_)
    for box in boxes:
        part = np.s_[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1]
        mask[part] |= _coloured_in_image(picture[part])
    return mask if mask.any() else None


def _coloured_in_image(picture: Picture) -> Mask:
    """One 2-D image, RGB uint8 [rows, columns, 3]."""
    y_cr_cb: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2YCrCb).astype(
        np.uint8, copy=False
    )
    luminance = y_cr_cb[:, :, 0]
    if _is_grey(y_cr_cb[:, :, 1:]):
        return np.zeros(luminance.shape, np.bool_)
    chroma: Chroma = y_cr_cb[:, :, :0:-1].astype(np.float32) - np.float32(128.0)
    if _length(chroma).max() < LOWEST_CHROMA:
        return np.zeros(luminance.shape, np.bool_)
    lit = luminance >= DARKEST_LUMINANCE
    of_tint = tint(luminance[lit], chroma[lit])
    untinted: Chroma = chroma - of_tint[luminance]
    if _length(of_tint).max() > GREY_CHROMA:
        # JPEG's coarse chroma strays from the tint of single speckles in both directions, so the mean does not
        untinted = cv2.blur(untinted, (5, 5)).astype(np.float32, copy=False)
    strength = _length(untinted)
    return _majority(strength >= LOWEST_CHROMA)


def tint(luminance: NDArray[np.uint8], chroma: Chroma) -> Chroma:
    """The chroma that a tint (chroma map) gives to each of the 256 grey levels: float32 [256, 2].

    A tint is a function of luminance, so the median chroma of each class of luminance is the tint's, as long as flow
    does not fill the class. It does in classes that tissue hardly reaches; there the median leaps, and the last
    believed value is kept. `luminance` [n] and `chroma` [n, 2] of lit pixels.
    """
    classes = luminance // LUMINANCE_STEP
    counts = np.bincount(classes, minlength=256 // LUMINANCE_STEP)
    if not counts.any():
        return np.zeros((256, 2), np.float32)
    start = int(counts.argmax())
    believed = {start: np.median(chroma[classes == start], axis=0)}
    for order in (range(start + 1, counts.size), range(start - 1, -1, -1)):
        last = start
        for number in (n for n in order if counts[n] >= FEWEST_IN_CLASS):
            median = np.median(chroma[classes == number], axis=0)
            if _length(median - believed[last]) <= LARGEST_TINT_STEP * min(2, abs(number - last)):
                believed[number], last = median, number
    places = [0.0, *((number + 0.5) * LUMINANCE_STEP for number in sorted(believed))]  # black is never tinted
    values = np.array([(0.0, 0.0), *(believed[number] for number in sorted(believed))])
    return np.stack([np.interp(np.arange(256), places, values[:, i]) for i in range(2)], axis=1).astype(np.float32)


def _is_grey(cr_cb: NDArray[np.uint8]) -> bool:
    """No pixel can reach `LOWEST_CHROMA`: told from the bytes, so that a grey cine costs no float planes."""
    farthest = max(int(cr_cb.max(initial=128)) - 128, 128 - int(cr_cb.min(initial=128)))
    return math.hypot(farthest, farthest) < LOWEST_CHROMA


def _length(chroma: Chroma) -> NDArray[np.float32]:
    length: NDArray[np.float32] = np.hypot(chroma[..., 0], chroma[..., 1])
    return length


def _majority(mask: Mask) -> Mask:
    """Pixels with three fifths of their neighbourhood True: thin strokes and single pixels vanish, areas stay."""
    size = _neighbourhood(mask.shape[0])
    share = cv2.blur(mask.astype(np.float32), (size, size), borderType=cv2.BORDER_REPLICATE)
    majority: Mask = share > 0.6
    return majority


def _neighbourhood(rows: int) -> int:
    """Odd size in pixels, from the height of the image: text and lines are drawn thicker on larger screens."""
    return 3 + 2 * (rows // 270)
