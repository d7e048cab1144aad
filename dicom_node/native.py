"""Native samples whose layout the header gets wrong, told by the samples themselves where they can tell it.

An ultrasound picture is mostly grey: equal red, green and blue, chroma in the middle. Read in a wrong layout it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOSTLY = 0.6
"""Share of grey pixels from which on a picture is grey enough to tell its layout; colour flow may take the rest.

Only pixels that differ from the next count: a flat colour is grey in every layout, and speckle is in its own only."""


SPECKLE = 0.05
"""Share of pixels that have to differ from the next one before anything is told from them."""


def contradicts_planes(picture: NDArray[np.unsignedinteger[Any]], by_plane: bool) -> bool:
    """Whether RGB samples [rows, columns, 3] that were read by plane (or by pixel) are grey only the other way.

    A tinted or strongly coloured picture, and a flat one, contradict nothing: it cannot be told.
    """
    declared = picture.reshape(-1, 3)
    other = declared.T.reshape(-1, 3) if by_plane else declared.reshape(3, -1).T
    share = _grey(other)
    return share >= MOSTLY and _grey(declared) <= share / 2


def is_subsampled(start: bytes) -> bool:
    """Whether YBR samples of 8 bits are Y Y Cb Cr for two pixels rather than Y Cb Cr for each (PS3.3 C.7.6.3.1.2).

    `start`: the first bytes of the pixel data. Chroma lies around 128, luminance does not.
    """
    samples = np.frombuffer(start[: len(start) // 12 * 12], np.uint8).astype(np.int16)
    pairs, pixels = np.abs(samples - 128).reshape(-1, 4), np.abs(samples - 128).reshape(-1, 3)
    return bool(pairs[:, 2:].mean() < pixels[:, 1:].mean()) if samples.size else False


def _grey(pixels: NDArray[np.unsignedinteger[Any]]) -> float:
    """Share of grey pixels among those that differ from the next ones; 0 where hardly any do. `pixels`: [pixels, 3].

    From the third next too: there a flat colour that was stored by pixel comes again when it is read by plane.
    """
    if len(pixels) < 4:
        return 0.0
    red, green, blue = pixels[:-3].T
    changing = (pixels[:-3] != pixels[1:-2]).any(axis=1) & (pixels[:-3] != pixels[3:]).any(axis=1)
    grey = (red == green) & (green == blue) & changing
    enough = np.count_nonzero(changing) > SPECKLE * len(pixels)
    return float(np.count_nonzero(grey) / np.count_nonzero(changing)) if enough else 0.0
