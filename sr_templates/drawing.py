"""How the outline and its axes look, the same on the page and on the overlay."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import to_millimetres

Color = tuple[int, int, int]
Point = tuple[float, float]
"""(column, row) in source pixels, the first pixel's centre at (0, 0)."""

OUTLINE_POINTS = 240

# Okabe & Ito 2008, "Color Universal Design": told apart with any common kind of colour vision, and lighter than tissue.
OUTLINE_COLOR: Color = (230, 159, 0)
BPD_COLOR: Color = (86, 180, 233)
OFD_COLOR: Color = (240, 228, 66)
UNMEASURED_COLOR: Color = (204, 121, 167)

# The axes also differ by their stroke, for prints in grey: dash and gap in multiples of the line width.
BPD_DASH = (5.0, 3.0)
OFD_DASH = (1.5, 2.5)


@dataclass(frozen=True, slots=True)
class Axes:
    """End points of the two diameters as they are measured in millimetres, in source pixels."""

    ofd: tuple[Point, Point]
    bpd: tuple[Point, Point]


def axes_px(ellipse: EllipsePx, spacing: PixelSpacingMm) -> Axes:
    """The millimetre axes of an ellipse that is given in pixels.

    With unequal row and column spacing these are not the axes of the ellipse in pixels: perpendicular there is not
    perpendicular in the head.
    """
    head = to_millimetres(ellipse, spacing)
    turn = math.radians(head.angle_deg)
    along, across = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
    scale = np.array([spacing.column, spacing.row])
    centre = np.array([ellipse.center_col_px, ellipse.center_row_px])
    ofd, bpd = head.semi_major_mm * along / scale, head.semi_minor_mm * across / scale
    return Axes(_ends(centre, ofd), _ends(centre, bpd))


def _ends(centre: NDArray[np.float64], half: NDArray[np.float64]) -> tuple[Point, Point]:
    """Both ends, the left one (on a vertical axis the upper one) first."""
    first, last = sorted((tuple(map(float, centre - half)), tuple(map(float, centre + half))))
    return (first[0], first[1]), (last[0], last[1])
