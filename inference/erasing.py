"""A picture without its head: where the plane of a sweep has left it, and where a network must find nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipsePx, Luminance
from inference.measure import inside_distance_px


def erased(image: Luminance, head: EllipsePx, seed: int) -> Luminance:
    """The image with its head covered by patches of its own other tissue, overlapping with soft edges."""
    rng = np.random.default_rng(seed)
    depth = inside_distance_px(head, *image.shape)
    covered = depth > -0.15 * head.semi_minor_px
    side = int(rng.integers(36, 73))
    sources = _tissue_patches(image, covered, side)
    if not len(sources):
        return np.where(covered, np.uint8(0), image)
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1]).astype(np.float32)
    total = np.zeros((image.shape[0] + side, image.shape[1] + side), np.float32)
    weight = np.full_like(total, 1e-6)
    for top in range(0, image.shape[0], side // 2):
        for left in range(0, image.shape[1], side // 2):
            row, column = sources[int(rng.integers(len(sources)))]
            patch = image[row : row + side, column : column + side][:, :: int(rng.choice([-1, 1]))]
            total[top : top + side, left : left + side] += patch * window
            weight[top : top + side, left : left + side] += window
    quilt = (total / weight)[: image.shape[0], : image.shape[1]]
    soft = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 4.0)
    out: Luminance = np.clip(image * (1.0 - soft) + quilt * soft, 0, 255).astype(np.uint8)
    return out


def _tissue_patches(image: Luminance, covered: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Top left corners (row, column) of squares that show tissue and nothing of the head, [n, 2]."""
    usable = ((image > 8) & ~covered).astype(np.float32)
    share = cv2.boxFilter(usable, -1, (side, side), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    clear = cv2.boxFilter(
        (~covered).astype(np.float32), -1, (side, side), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT
    )
    corners = np.argwhere((share > 0.5) & (clear > 0.999))
    fits = (corners[:, 0] <= image.shape[0] - side) & (corners[:, 1] <= image.shape[1] - side)
    inside: NDArray[np.intp] = corners[fits]
    return inside
