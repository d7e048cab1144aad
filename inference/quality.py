"""First refusals: what must hold before an outline may become a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inference.appearance import Appearance
from inference.domain import EllipseMm, EllipsePx, Reason, Region, RegionPx
from inference.measure import circumference_mm, inside_distance_px, outline_px, shift
from inference.uncertainty import Evidence

OUTLINE_POINTS = 256

NOTABLE_COLOUR_SHARE = 0.01
"""Share of the head's area from which colour is remarked (docs/decisions/0012): text and calipers stay below it, a
colour box that shows a vessel does not."""

ECHO_WEIGHT = 1.75
"""From a logistic regression of heads out of fold against pictures without a head (docs/decisions/0017)."""

LEAST_HESITATION = 1e-4
"""Below it the network is as sure as it ever is."""

NOTABLE_MARK_SHARE = 0.02
"""Share of the outline under calipers or letters from which they are remarked (docs/decisions/0017): they move HC by
less than its interval tells, so they refuse nothing."""

LARGEST_COLOUR_SHARE = 0.10
"""Share from which nothing is measured: the network knows grey images only, and its outline begins to follow the flow
by more than the interval tells (docs/decisions/0012)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits of one model, fixed beforehand and checked on validation exams; they travel in the manifest.

    `lowest_overlap` is the Dice overlap of mask and fitted ellipse, `highest_outside` the share of the outline beyond
    the image, `lowest_area` the mask's share of the region below which nothing was found.

    The rest came later; None refuses nothing, so that older manifests still mean what they meant. `highest_residual` is
    the root mean square distance of the outline's points from the ellipse as a share of its mean radius,
    `highest_second_part` the area of the second largest part of the mask over that of the largest, `highest_hesitation`
    what the probability lacks to 1 well inside the mask, `highest_strangeness` is about `strangeness`. The others are
    limits on `inference.appearance.Appearance` and `inference.uncertainty.Evidence`.
    """

    lowest_overlap: float
    highest_outside: float
    lowest_area: float
    lowest_hc_mm: float
    highest_hc_mm: float
    lowest_cephalic_index: float
    highest_cephalic_index: float
    highest_residual: float | None = None
    highest_second_part: float | None = None
    highest_hesitation: float | None = None
    highest_strangeness: float | None = None
    highest_outside_sector: float | None = None
    highest_weak_echo: float | None = None
    lowest_echo_variation: float | None = None
    lowest_bright_level: float | None = None
    highest_saturated: float | None = None
    lowest_sharpness: float | None = None
    highest_spread: float | None = None
    highest_level_spread: float | None = None
    highest_blur: float | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """What the mask says of itself, in the terms of `Gate`; shares, 0 where nothing is wrong."""

    residual: float = 0.0
    second_part: float = 0.0
    hesitation: float = 0.0


FAULTLESS = Mask()


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an outline does not become a number."""

    reason: Reason
    detail: str


def object_to_outline(gate: Gate, overlap: float, ellipse: EllipsePx, region: RegionPx) -> Objection | None:
    """Objections that need no scale: a bad fit, or a head that leaves the region. `ellipse` in region pixels."""
    outside = share_outside(ellipse, region)
    if _above(outside, gate.highest_outside):
        return Objection(Reason.HEAD_CUT_BY_BORDER, f"{outside:.0%} of the outline lies beyond the image.")
    if _below(overlap, gate.lowest_overlap):
        return Objection(Reason.POOR_ELLIPSE_FIT, f"Mask and ellipse overlap by {overlap:.1%}.")
    return None


def object_to_place(ellipse: EllipsePx, region: Region) -> Objection | None:
    """A head that something lies over, or that reaches into another scale. `ellipse` in frame pixels."""
    if any(_reaches(ellipse, box) for box in region.covered):
        return Objection(Reason.OVERLAPPING_REGION, "")
    if any(_reaches(ellipse, box, besides=region.box) for box in region.beside):
        return Objection(Reason.CROSSES_REGIONS, "")
    return None


def object_to_colour(share: float) -> Objection | None:
    """Colour over so much of the head that its outline is no longer the skull's; `share` of its area, 0..1."""
    if share < LARGEST_COLOUR_SHARE:
        return None
    return Objection(Reason.HEAD_UNDER_COLOUR, f"{share:.0%} of the outline's area is coloured.")


def object_to_mask(gate: Gate, mask: Mask) -> Objection | None:
    """Objections to the mask: a second head beside the first, one that may be none, an uneven border."""
    if _above(mask.second_part, gate.highest_second_part):
        return Objection(Reason.TWO_HEADS, f"The second is {mask.second_part:.0%} as large as the first.")
    if _above(mask.hesitation, gate.highest_hesitation):
        return Objection(Reason.UNSURE_HEAD, f"Its probability inside is {1.0 - mask.hesitation:.1%}.")
    if _above(mask.residual, gate.highest_residual):
        return Objection(Reason.UNEVEN_OUTLINE, f"It leaves the ellipse by {mask.residual:.1%} of its radius.")
    return None


def object_to_picture(gate: Gate, seen: Appearance) -> Objection | None:
    """Objections to what the picture shows where the outline runs and inside it."""
    if _above(seen.outside_sector, gate.highest_outside_sector):
        return Objection(Reason.HEAD_OUTSIDE_SECTOR, f"{seen.outside_sector:.0%} of the outline lies in the dark.")
    if _below(seen.bright_level, gate.lowest_bright_level):
        return Objection(Reason.IMAGE_TOO_DARK, f"A tenth of it is above grey level {seen.bright_level:.0f} of 255.")
    if _above(seen.saturated, gate.highest_saturated):
        return Objection(Reason.IMAGE_SATURATED, f"{seen.saturated:.0%} of the head is white.")
    if _below(seen.sharpness, gate.lowest_sharpness):
        return Objection(Reason.IMAGE_BLURRED, f"Its sharpness is {seen.sharpness:.2f}.")
    if _above(seen.weak_echo, gate.highest_weak_echo):
        return Objection(Reason.SKULL_ECHO_WEAK, f"{seen.weak_echo:.0%} of the outline has none.")
    if _below(seen.echo_variation, gate.lowest_echo_variation):
        return Objection(Reason.ECHO_TOO_EVEN, f"It varies by {seen.echo_variation:.1%} along the outline.")
    return None


def strangeness(mask: Mask, seen: Appearance) -> float:
    """The network's hesitation, weighted up where the picture shows no bone: neither alone tells a head from an oval.

    A faint head has little echo and a sure network; an oval of other tissue has neither echo nor a sure network.
    """
    return (mask.hesitation + LEAST_HESITATION) * math.exp(ECHO_WEIGHT * seen.weak_echo)


def object_to_strangeness(gate: Gate, mask: Mask, seen: Appearance) -> Objection | None:
    """What the network is not sure of and the picture does not bear out."""
    if _above(strangeness(mask, seen), gate.highest_strangeness):
        told = f"Its probability inside is {1.0 - mask.hesitation:.1%}, and {seen.weak_echo:.0%} of it has no echo."
        return Objection(Reason.UNSURE_HEAD, told)
    return None


def object_to_doubt(gate: Gate, evidence: Evidence) -> Objection | None:
    """Objections to how sure the network was, by its repeated answers and by its one answer."""
    if _above(evidence.relative_spread, gate.highest_spread):
        return Objection(Reason.SPREAD_TOO_LARGE, f"HC differs by {evidence.relative_spread:.1%} (one SD).")
    if _above(evidence.relative_level_spread, gate.highest_level_spread):
        return Objection(Reason.UNSURE_OUTLINE, f"HC depends on the level by {evidence.relative_level_spread:.1%}.")
    if _above(evidence.relative_blur, gate.highest_blur):
        return Objection(Reason.UNSURE_OUTLINE, f"The outline is {evidence.relative_blur:.1%} of its length wide.")
    return None


def _above(value: float, limit: float | None) -> bool:
    """Also where the value is not a number: what cannot be judged is refused."""
    return limit is not None and not value <= limit


def _below(value: float, limit: float | None) -> bool:
    """Also where the value is not a number."""
    return limit is not None and not value >= limit


def object_to_size(gate: Gate, ellipse: EllipseMm) -> Objection | None:
    """Objections that need millimetres."""
    hc = circumference_mm(ellipse)
    if not gate.lowest_hc_mm <= hc <= gate.highest_hc_mm:
        return Objection(Reason.IMPLAUSIBLE_SIZE, f"The outline measures {hc:.0f} mm around.")
    return object_to_shape(gate, ellipse)


def object_to_shape(gate: Gate, ellipse: EllipseMm) -> Objection | None:
    """Objections that need the shape of the pixels, and no scale."""
    index = 100.0 * ellipse.semi_minor_mm / ellipse.semi_major_mm
    if not gate.lowest_cephalic_index <= index <= gate.highest_cephalic_index:
        return Objection(Reason.IMPLAUSIBLE_SHAPE, f"The cephalic index would be {index:.0f} %.")
    return None


def _reaches(ellipse: EllipsePx, box: RegionPx, besides: RegionPx | None = None) -> bool:
    """Whether a pixel of `box` (those in `besides` not counted) has its centre inside the ellipse."""
    reach = math.ceil(ellipse.semi_major_px) + 1
    column, row = round(ellipse.center_col_px), round(ellipse.center_row_px)
    near = box.intersection(RegionPx(column - reach, row - reach, column + reach, row + reach))
    if near is None:
        return False
    inside = inside_distance_px(shift(ellipse, -near.min_column, -near.min_row), near.rows, near.columns) > 0
    own = None if besides is None else near.intersection(besides)
    if own is not None:
        top, left = own.min_row - near.min_row, own.min_column - near.min_column
        inside[top : top + own.rows, left : left + own.columns] = False
    return bool(inside.any())


def share_outside(ellipse: EllipsePx, region: RegionPx) -> float:
    """Share of the outline that lies beyond the region's pixels; `ellipse` in region pixels."""
    column, row = outline_px(ellipse, OUTLINE_POINTS).T
    inside = (column >= -0.5) & (column <= region.columns - 0.5) & (row >= -0.5) & (row <= region.rows - 0.5)
    return float(1.0 - np.mean(inside))
