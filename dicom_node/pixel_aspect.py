"""Which shape a pixel has: what Pixel Aspect Ratio (0028,0034) and the samples of a video say, height over width.

1:1 is no evidence. By PS3.3 C.7.6.3.1.7 the attribute stands only where the ratio is another and no spacing is given,
but toolkits and encoders write 1:1 without looking, also beside deltas that differ by axis. Any other ratio was meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.spacing import AGREEMENT, spacing_in, told
from inference.domain import SQUARE_PIXELS, PixelSpacingMm

PLAUSIBLE_ASPECT = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class AspectClaim:
    """A ratio other than 1:1, and who names it."""

    named_by: str
    height_over_width: float


def aspect_claims(header: Dataset, sample_aspect: float | None) -> tuple[AspectClaim, ...]:
    """Who says that pixels are not square; `sample_aspect` is what a video says, None where it is silent."""
    pair = spacing_in(header, "PixelAspectRatio")  # of no unit; the vertical size first, as in a spacing
    said = {
        "Pixel Aspect Ratio": None if pair is None else pair.row / pair.column,
        "the sample aspect ratio of the video": sample_aspect,
    }
    return tuple(AspectClaim(by, ratio) for by, ratio in said.items() if ratio is not None and ratio != SQUARE_PIXELS)


def pixel_aspect(header: Dataset, sample_aspect: float | None) -> float | None:
    """The shape of pixels that have no scale: square where nobody says otherwise, None where it is nonsense."""
    if header.get("PixelAspectRatio") and spacing_in(header, "PixelAspectRatio") is None:
        return None
    ratios = [claim.height_over_width for claim in aspect_claims(header, sample_aspect)] or [SQUARE_PIXELS]
    low, high = PLAUSIBLE_ASPECT
    if not math.isclose(min(ratios), max(ratios), rel_tol=AGREEMENT) or not low <= ratios[0] <= high:
        return None
    return ratios[0]


def contradiction(spacing: PixelSpacingMm, claims: tuple[AspectClaim, ...]) -> str:
    """What names another shape than the scale does, in words; "" where all agree within 2 %."""
    shape = spacing.row / spacing.column
    others = [claim for claim in claims if not math.isclose(shape, claim.height_over_width, rel_tol=AGREEMENT)]
    said = " and ".join(f"{claim.named_by} is {claim.height_over_width:.4g}" for claim in others)
    return f"The scale is {told(spacing)} per pixel (row x column), but {said} (height over width)." if said else ""
