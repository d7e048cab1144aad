"""The nouns of the measurement: frames with a scale, ellipses, and what can be said about a head.

Two coordinate systems, never mixed:

* pixels: column to the right, row downwards, the centre of the first pixel at (0, 0);
* millimetres: the same axes scaled by the pixel spacing, origin at the centre of the first pixel.

Angles run from +column toward +row, in degrees, in [0, 180).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Luminance = NDArray[np.uint8]
"""Grey image, uint8 [rows, columns]."""

Map = NDArray[np.float32]
"""One value a pixel, float32 [rows, columns]."""


@dataclass(frozen=True, slots=True)
class PixelSpacingMm:
    """Distance between the centres of neighbouring rows and of neighbouring columns, as in PS3.3 10.7.1.3."""

    row: float
    column: float

    def __post_init__(self) -> None:
        for name, value in (("row", self.row), ("column", self.column)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"pixel spacing ({name}) must be finite and positive, not {value!r}")


class CalibrationSource(StrEnum):
    """Which attribute gave the millimetres."""

    ULTRASOUND_REGION = "ultrasound_region"  # PS3.3 C.8.5.5.1, (0018,6011)
    PIXEL_SPACING = "pixel_spacing"  # (0028,0030)
    NOMINAL_SCANNED_PIXEL_SPACING = "nominal_scanned_pixel_spacing"  # (0018,2010), secondary captures only
    GIVEN = "given"  # by the user, for a file that is not DICOM
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RegionPx:
    """A rectangle of the frame, bounds inclusive, in pixels of the whole frame."""

    min_column: int
    min_row: int
    max_column: int
    max_row: int

    @property
    def columns(self) -> int:
        return self.max_column - self.min_column + 1

    @property
    def rows(self) -> int:
        return self.max_row - self.min_row + 1

    @property
    def area(self) -> int:
        return self.rows * self.columns

    def intersection(self, other: RegionPx) -> RegionPx | None:
        """The pixels of both, or None where they share none."""
        left, top = max(self.min_column, other.min_column), max(self.min_row, other.min_row)
        right, bottom = min(self.max_column, other.max_column), min(self.max_row, other.max_row)
        return RegionPx(left, top, right, bottom) if left <= right and top <= bottom else None


SQUARE_PIXELS = 1.0
"""Height over width."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the frame that shows one 2-D image, with its scale.

    `spacing_mm` is None where the scale is absent or not to be trusted; `reason` then says why, and `detail` in which
    way. `calibration_detail` is what the source says about itself (Pixel Spacing Calibration Type), `remarks` what must
    be said of every measurement at this scale. `pixel_aspect` is height over width of a pixel where there is no scale
    but a shape is known, else None.

    An outline may not enter `covered`, the parts of the box that show something else or at another scale, nor leave
    the box into `beside`, the pictures and traces around it that have another scale.
    """

    box: RegionPx
    spacing_mm: PixelSpacingMm | None
    calibration_source: CalibrationSource
    reason: Reason | None = None
    detail: str = ""
    calibration_detail: str = ""
    remarks: tuple[Remark, ...] = ()
    pixel_aspect: float | None = None
    covered: tuple[RegionPx, ...] = ()
    beside: tuple[RegionPx, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as the network sees it. `number` is 1-based; `luminance` is uint8 [rows, columns].

    `colour`, bool [rows, columns], is True where the picture shows colour flow or coloured graphics rather than grey or
    a tint; None where nothing is coloured.
    """

    number: int
    luminance: Luminance
    regions: tuple[Region, ...]
    colour: NDArray[np.bool_] | None = None

    def within(self, box: RegionPx) -> Luminance:
        """The pixels of a box, uint8 [box rows, box columns]."""
        return np.ascontiguousarray(self.luminance[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1])


@dataclass(frozen=True, slots=True)
class EllipsePx:
    """An ellipse in source pixels. Lengths in pixels are only meaningful where row and column spacing agree."""

    center_col_px: float
    center_row_px: float
    semi_major_px: float
    semi_minor_px: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class EllipseMm:
    """The same ellipse in millimetres; its axes are the ones that OFD, BPD and HC are read from."""

    center_x_mm: float
    center_y_mm: float
    semi_major_mm: float
    semi_minor_mm: float
    angle_deg: float


class Status(StrEnum):
    """What became of one look at one image."""

    MEASURED = "measured"
    ABSTAINED = "abstained"  # looked, and will not say
    REFUSED = "refused"  # cannot be looked at


class Reason(StrEnum):
    """Why there is no number (or no part of one). The only vocabulary of reasons in the product."""

    # cannot be looked at
    NOT_DICOM = "not_dicom"
    EMPTY_FILE = "empty_file"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    NO_PIXEL_DATA = "no_pixel_data"
    BAD_PIXEL_DESCRIPTION = "bad_pixel_description"
    UNSUPPORTED_SOP_CLASS = "unsupported_sop_class"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric"
    BAD_LOOKUP_TABLE = "bad_lookup_table"
    PIXELS_UNDECODABLE = "pixels_undecodable"
    OWN_RESULT = "own_result"
    # looked, and will not say
    OTHER_EXAMINATION = "other_examination"
    NOT_CALIBRATED = "not_calibrated"
    CALIBRATION_CONFLICT = "calibration_conflict"
    IMPLAUSIBLE_SPACING = "implausible_spacing"
    NO_TWO_DIMENSIONAL_REGION = "no_two_dimensional_region"
    OVERLAPPING_REGION = "overlapping_region"
    CROSSES_REGIONS = "crosses_regions"
    REGIONS_DISAGREE = "regions_disagree"
    NO_HEAD_FOUND = "no_head_found"
    HEAD_CUT_BY_BORDER = "head_cut_by_border"
    HEAD_OUTSIDE_SECTOR = "head_outside_sector"
    TWO_HEADS = "two_heads"
    TWO_SIZES = "two_sizes"
    POOR_ELLIPSE_FIT = "poor_ellipse_fit"
    UNEVEN_OUTLINE = "uneven_outline"
    HEAD_UNDER_COLOUR = "head_under_colour"
    IMAGE_TOO_DARK = "image_too_dark"
    IMAGE_SATURATED = "image_saturated"
    IMAGE_BLURRED = "image_blurred"
    SKULL_ECHO_WEAK = "skull_echo_weak"
    ECHO_TOO_EVEN = "echo_too_even"
    UNSURE_HEAD = "unsure_head"
    UNSURE_OUTLINE = "unsure_outline"
    SPREAD_TOO_LARGE = "spread_too_large"
    IMPLAUSIBLE_SIZE = "implausible_size"
    IMPLAUSIBLE_SHAPE = "implausible_shape"
    # no gestational age, no interval
    OUTSIDE_EQUATION_RANGE = "outside_equation_range"
    NOT_CALIBRATED_YET = "not_calibrated_yet"
    EQUATION_WITHOUT_SPREAD = "equation_without_spread"
    # no age but HC's, no percentile
    NO_INDEPENDENT_AGE = "no_independent_age"
    UNREADABLE_INDEPENDENT_AGE = "unreadable_independent_age"
    NO_ACQUISITION_DATE = "no_acquisition_date"
    DATES_DISAGREE = "dates_disagree"
    IMPLAUSIBLE_INDEPENDENT_AGE = "implausible_independent_age"
    OUTSIDE_STANDARD_RANGE = "outside_standard_range"
    # several images, no HC for the study
    NO_CANDIDATE = "no_candidate"
    FETUS_NOT_IDENTIFIED = "fetus_not_identified"
    PATIENTS_DISAGREE = "patients_disagree"


SEVERAL_HEADS = frozenset({Reason.TWO_HEADS, Reason.TWO_SIZES, Reason.REGIONS_DISAGREE})
"""Those by which one image shows more than one head."""


REASON_TEXT: dict[Reason, str] = {
    Reason.NOT_DICOM: "The file is not a DICOM object.",
    Reason.EMPTY_FILE: "The file is empty.",
    Reason.TRUNCATED: "The object ends before its pixel data does; send it again.",
    Reason.UNREADABLE: "The object cannot be parsed; it is damaged or was written wrongly.",
    Reason.NO_PIXEL_DATA: "The object carries no pixel data.",
    Reason.BAD_PIXEL_DESCRIPTION: "Rows, columns, bits or samples do not describe a readable image.",
    Reason.UNSUPPORTED_SOP_CLASS: "Only ultrasound images are measured; secondary captures where a rule says so.",
    Reason.UNSUPPORTED_TRANSFER_SYNTAX: "The transfer syntax cannot be decoded here.",
    Reason.UNSUPPORTED_PHOTOMETRIC: "The photometric interpretation cannot be shown as grey.",
    Reason.BAD_LOOKUP_TABLE: "A lookup table (palette, VOI or modality) cannot be applied.",
    Reason.PIXELS_UNDECODABLE: "The pixel data could not be decoded.",
    Reason.OWN_RESULT: "The object is a result of this node; results are never measured.",
    Reason.OTHER_EXAMINATION: "The image was taken in an examination that shows no fetus.",
    Reason.NOT_CALIBRATED: "The image carries no millimetre scale; the outline is shown without HC and GA.",
    Reason.CALIBRATION_CONFLICT: "What the header says about the scale contradicts itself; none of it is used.",
    Reason.IMPLAUSIBLE_SPACING: "The pixel spacing is outside 0.02 to 1.0 mm.",
    Reason.NO_TWO_DIMENSIONAL_REGION: "The image shows no two-dimensional region (M-mode, Doppler or graphics only).",
    Reason.OVERLAPPING_REGION: "A trace, or a picture at another scale, lies over the head.",
    Reason.CROSSES_REGIONS: "The outline crosses into a neighbouring region that has another scale.",
    Reason.REGIONS_DISAGREE: "Two regions show heads of different size; nobody knows which is meant.",
    Reason.NO_HEAD_FOUND: "No fetal head was found.",
    Reason.HEAD_CUT_BY_BORDER: "The head is cut by the border of the image.",
    Reason.HEAD_OUTSIDE_SECTOR: "Part of the head lies where the picture shows nothing.",
    Reason.TWO_HEADS: "Two parts of the picture look like a head; nobody knows which is meant.",
    Reason.TWO_SIZES: "The frames of the cine show heads of two sizes; nobody knows which is meant.",
    Reason.POOR_ELLIPSE_FIT: "The outline that was found is not an ellipse.",
    Reason.UNEVEN_OUTLINE: "The outline that was found leaves its ellipse too often.",
    Reason.HEAD_UNDER_COLOUR: "Colour flow covers too much of the head.",
    Reason.IMAGE_TOO_DARK: "The head is too dark to be outlined.",
    Reason.IMAGE_SATURATED: "Too much of the head is at the top of the grey scale.",
    Reason.IMAGE_BLURRED: "The picture of the head is blurred.",
    Reason.SKULL_ECHO_WEAK: "Along too much of the outline no echo stands out as bone would.",
    Reason.ECHO_TOO_EVEN: "The outline is equally bright all round; a skull, met by the beam from one side, is not.",
    Reason.UNSURE_HEAD: "The network is not sure enough that it sees a head.",
    Reason.UNSURE_OUTLINE: "The network is not sure enough where the outline runs.",
    Reason.SPREAD_TOO_LARGE: "The network's repeated answers lie too far apart.",
    Reason.IMPLAUSIBLE_SIZE: "The outline is too small or too large for a fetal head.",
    Reason.IMPLAUSIBLE_SHAPE: "The cephalic index is outside the limits within which this model is used.",
    Reason.OUTSIDE_EQUATION_RANGE: "HC lies outside the range of the age equation; there is no age.",
    Reason.NOT_CALIBRATED_YET: "This model has no calibrated interval.",
    Reason.EQUATION_WITHOUT_SPREAD: "The spread of the age equation is not known here; the age has no interval.",
    Reason.NO_INDEPENDENT_AGE: "There is no gestational age besides the one by HC.",
    Reason.UNREADABLE_INDEPENDENT_AGE: (
        "What the image header or the machine's report says of the last menstruation or the delivery is not one date."
    ),
    Reason.NO_ACQUISITION_DATE: "The image header has no readable date of acquisition.",
    Reason.DATES_DISAGREE: "The date of acquisition and the study date in the image header disagree.",
    Reason.IMPLAUSIBLE_INDEPENDENT_AGE: (
        "The date in the image header or the machine's report gives an age outside 4 to 45 weeks at acquisition."
    ),
    Reason.OUTSIDE_STANDARD_RANGE: "The gestational age lies outside the range of the growth standard.",
    Reason.NO_CANDIDATE: "No image of the study carries an HC any more.",
    Reason.FETUS_NOT_IDENTIFIED: (
        "Fetus not identified: the images show more than one head, the values of HC do not fit together, or the "
        "machine's report is about more than one fetus."
    ),
    Reason.PATIENTS_DISAGREE: "The images of the study name different patients; nothing is said about the study.",
}


HEAD_SEEN = frozenset(
    {
        Reason.OVERLAPPING_REGION,
        Reason.CROSSES_REGIONS,
        Reason.REGIONS_DISAGREE,
        Reason.HEAD_CUT_BY_BORDER,
        Reason.HEAD_OUTSIDE_SECTOR,
        Reason.TWO_HEADS,
        Reason.TWO_SIZES,
        Reason.HEAD_UNDER_COLOUR,
        Reason.IMAGE_TOO_DARK,
        Reason.IMAGE_SATURATED,
        Reason.IMAGE_BLURRED,
        Reason.UNSURE_OUTLINE,
        Reason.SPREAD_TOO_LARGE,
    }
)
"""Those that are about a head. What is too odd in size or shape, or has no echo of bone, may be none."""

SCALE_MISSING = frozenset({Reason.NOT_CALIBRATED, Reason.CALIBRATION_CONFLICT, Reason.IMPLAUSIBLE_SPACING})
"""Those that are about the scale; with an outline there was a head."""


class Trimester(StrEnum):
    """GA < 14 weeks, 14 to < 28 weeks, 28 weeks and later."""

    FIRST = "first"
    SECOND = "second"
    THIRD = "third"


class Remark(StrEnum):
    """Remarks that travel with a measurement."""

    DO_NOT_REDATE = "do_not_redate_from_hc_alone"
    PLANE_NOT_VERIFIED = "standard_plane_not_verified"
    CRL_PREFERRED = "crl_preferred_before_14_weeks"
    INTERVAL_NOT_CALIBRATED = "interval_not_calibrated"
    REFERENCE_SYSTEM_EQUATION = "reference_system_equation_is_not_the_published_one"
    COLOUR_OVER_HEAD = "colour_over_head"
    MARKS_ON_SKULL = "marks_on_skull"
    SECONDARY_CAPTURE = "secondary_capture"
    SCALE_OF_SCANNED_MEDIUM = "scale_is_that_of_the_scanned_medium"
    OUTSIDE_TWO_SD = "independent_age_outside_2sd_of_the_equation"
    BEYOND_REDATING_THRESHOLD = "independent_age_beyond_redating_threshold"
    WEAK_AT_THIS_SIZE = "weak_at_this_size"


REMARK_TEXT: dict[Remark, str] = {
    Remark.DO_NOT_REDATE: "Do not redate a pregnancy from head circumference alone.",
    Remark.PLANE_NOT_VERIFIED: "The standard plane was not verified.",
    Remark.CRL_PREFERRED: "Below 14 weeks crown-rump length is preferred for dating.",
    Remark.INTERVAL_NOT_CALIBRATED: "This model has no calibrated interval.",
    Remark.REFERENCE_SYSTEM_EQUATION: "The age comes from the reference system's polynomial, not from Hadlock 1984.",
    Remark.MARKS_ON_SKULL: "Calipers or letters lie on the outline; check that it follows the skull and not them.",
    Remark.COLOUR_OVER_HEAD: "Colour (flow or graphics) lies over the head; check the outline against a grey image.",
    Remark.SECONDARY_CAPTURE: "The image is a secondary capture: nobody vouches that its scale survived the capture.",
    Remark.SCALE_OF_SCANNED_MEDIUM: (
        "The scale is that of the scanned film or paper; HC is right only if it was printed in life size."
    ),
    Remark.OUTSIDE_TWO_SD: "The independent age lies outside the 2 SD of the equation around the age by HC.",
    Remark.BEYOND_REDATING_THRESHOLD: (
        "The ages differ by more than the redating threshold of ACOG 700, which is not for HC alone."
    ),
    Remark.WEAK_AT_THIS_SIZE: (
        "Known weakness: on heads of this size the model's mean error is over 1.25 times its error on all heads "
        "(figures in its model card)."
    ),
}


@dataclass(frozen=True, slots=True)
class IntervalMm:
    """Closed interval in millimetres, rounded outward to 0.1 mm."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class IntervalDays:
    """Closed interval in whole days."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class GestationalAge:
    """Age in whole days by one equation, or `reason` and no days.

    `equation_band` is the equation's own +/- 2 SD; `interval` joins it with HC's interval (root sum square) and is None
    where either is missing.
    """

    equation: str
    days: int | None
    equation_band: IntervalDays | None
    interval: IntervalDays | None
    trimester: Trimester | None
    reason: Reason | None

    @property
    def interval_reason(self) -> Reason | None:
        """Why there is no interval; None where there is one."""
        if self.interval is not None:
            return None
        return self.reason or (
            Reason.EQUATION_WITHOUT_SPREAD if self.equation_band is None else Reason.NOT_CALIBRATED_YET
        )


class AgeSource(StrEnum):
    """Where an age that does not come from the measured head was found."""

    LAST_MENSTRUAL_DATE = "last_menstrual_date"  # (0010,21D0)
    REPORTED_LMP = "reported_lmp"  # the machine's own report: LMP, EDD from LMP, or the age by LMP
    REPORTED_EDD = "reported_edd"  # the machine's own report: EDD, whatever it was made from


@dataclass(frozen=True, slots=True)
class IndependentAge:
    """Gestational age at the acquisition, in whole days, that does not come from the measured head.

    `stated`: the date that the machine's own report says (of the last menstruation, or of delivery), where it says one.
    """

    days: int
    source: AgeSource
    stated: date | None = None


@dataclass(frozen=True, slots=True)
class OperatorHc:
    """HC as the sonographer measured it and the report of the machine (a SOP Instance UID) says it, in mm to 0.1."""

    hc_mm: float
    report_uid: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A place in a growth standard: z-score to 0.01, percentile (0..100) to 0.1."""

    z_score: float
    percentile: float


@dataclass(frozen=True, slots=True)
class SizeForAge:
    """HC against one standard at an independent age, or `reason` and nothing.

    `low` and `high` are where the ends of HC's interval stand; None without one. They say nothing about the age.
    """

    standard: str
    at: Standing | None
    low: Standing | None
    high: Standing | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Growth:
    """What an independent age says about a measured head.

    `difference_days` is the age by HC minus the independent one; `outside_two_sd` whether that one lies outside the
    equation's own band around the age by HC; both None where there is no age or no band. `redating_threshold_days` is
    None where no cited threshold applies.
    """

    independent: IndependentAge
    sizes: tuple[SizeForAge, ...]
    difference_days: int | None
    outside_two_sd: bool | None
    redating_threshold_days: int | None

    @property
    def beyond_redating_threshold(self) -> bool | None:
        """Whether the ages differ by more than the threshold; None where there is none to compare."""
        if self.difference_days is None or self.redating_threshold_days is None:
            return None
        return abs(self.difference_days) > self.redating_threshold_days


class ModelError(ValueError):
    """The manifest or a weight file is missing, altered or of another kind."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights spoke."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that SR, PDF, overlay and JSON say about one head; rounded here and nowhere else.

    Lengths in mm to 0.1, the cephalic index in percent to 0.1, `quality` in 0..1 (overlap of mask and ellipse, Dice),
    `colour_share` in 0..1 (share of the ellipse's area that is coloured). `growth` is a reason where there is no age
    but the one by HC: a percentile of HC at the age of the same HC would always be near 50.
    """

    frame: int
    region: RegionPx
    spacing_mm: PixelSpacingMm
    calibration_source: CalibrationSource
    ellipse: EllipsePx
    hc_mm: float
    hc_interval: IntervalMm | None
    bpd_mm: float
    ofd_mm: float
    cephalic_index_percent: float
    age: GestationalAge
    quality: float
    warnings: tuple[Remark, ...]
    colour_share: float = 0.0
    calibration_detail: str = ""
    growth: Growth | Reason = Reason.NO_INDEPENDENT_AGE
    operator: OperatorHc | None = None

    @property
    def difference_mm(self) -> float | None:
        """HC minus the operator's, to 0.1 mm; None where no operator's is known."""
        return None if self.operator is None else round(self.hc_mm - self.operator.hc_mm, 1) + 0.0

    @property
    def difference_percent(self) -> float | None:
        """The same in percent of the operator's, to 0.1."""
        difference, operator = self.difference_mm, self.operator
        return None if difference is None or operator is None else round(100.0 * difference / operator.hc_mm, 1) + 0.0


@dataclass(frozen=True, slots=True)
class Abstention:
    """A look without a number: the reason, what was seen, and the outline if there was one.

    `cephalic_index_percent` is there where only the scale is missing: shape needs none.
    """

    frame: int
    region: RegionPx | None
    spacing_mm: PixelSpacingMm | None
    calibration_source: CalibrationSource
    reason: Reason
    detail: str
    ellipse: EllipsePx | None
    quality: float | None
    colour_share: float | None = None
    cephalic_index_percent: float | None = None
    calibration_detail: str = ""

    @property
    def saw_head(self) -> bool:
        """Whether the reason is about a head that is there, rather than about none being there."""
        return self.reason in HEAD_SEEN or (self.reason in SCALE_MISSING and self.ellipse is not None)


Finding = Measurement | Abstention


class Advice(StrEnum):
    """Why a sweep should be taken again, in the order of what matters."""

    FEW_FRAMES_MEASURED = "few_frames_measured"
    PLANE_NOT_HELD = "plane_not_held"
    FRAMES_DISAGREE = "frames_disagree"


ADVICE_TEXT: dict[Advice, str] = {
    Advice.FEW_FRAMES_MEASURED: "Fewer than half of the frames could be measured; take the sweep again if possible.",
    Advice.PLANE_NOT_HELD: "The head's cross-section changes over the sweep; hold the plane and take it again.",
    Advice.FRAMES_DISAGREE: "Fewer than half of the frames agree on HC; take the sweep again if possible.",
}


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the examined frames of one region say together; frame numbers are 1-based.

    `hc_mm` is where they agree and `deviation_mm` the weighted standard deviation of HC around it, both to 0.1 mm;
    `weights` has a share for each finding in their order, 0 for one that takes no part. `reliability` is the share of
    the examined frames that have a number whose interval holds `hc_mm`: 1 where any frame would have done as well, 0
    where nobody would find this HC again. `why` is the commonest reason of the frames without a number, where advice
    is given for them.
    """

    hc_mm: float
    deviation_mm: float
    weights: tuple[float, ...]
    reliability: float
    freeze_frame: int
    frames_used: tuple[int, ...]
    advice: Advice | None
    why: Reason | None


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings of one object, one per examined region and frame; `chosen` indexes the one that speaks for it.

    Where the findings contradict one another, `objection` speaks instead. `consensus` is that of the frames of the
    chosen finding's region; None where fewer than two were examined there, or none has a number.
    """

    findings: tuple[Finding, ...]
    chosen: int
    frames_used: tuple[int, ...]
    model: ModelIdentity
    seconds: float
    objection: Abstention | None = None
    consensus: Consensus | None = None

    @property
    def finding(self) -> Finding:
        return self.objection or self.findings[self.chosen]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `inference.explain` tells of an outline: two maps of `region`, float32 [region rows, region columns].

    `attention`: GradCAM++ of the head, 0..1 of its own largest value; it has no unit. `deviation`: standard deviation
    of the head probability over so many `answers`: to the picture, to its mirror image and with dropout, 0..0.5. Of a
    cine it is that over the so many `frames` that agree, each laid on the one that speaks; 0: of one frame alone.
    """

    region: RegionPx
    attention: Map
    deviation: Map
    answers: int
    frames: int = 0

    def __post_init__(self) -> None:
        shape = (self.region.rows, self.region.columns)
        if self.attention.shape != shape or self.deviation.shape != shape:
            raise ValueError(f"the maps of this region have {shape[0]} rows and {shape[1]} columns")
