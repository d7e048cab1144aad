"""Every code triple of our objects, in one place; a test holds each against the dictionaries of pydicom.

Meanings are those of PS3.16 2025, LOINC as DICOM prints it, and UCUM.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sr.coding import Code

from inference.domain import AgeSource, Reason
from sr_templates.uids import UID_ROOT

PRIVATE_SCHEME = "99FETALHC"
"""Our own coding scheme (PS3.16 8.2: private designators begin with 99)."""

PRIVATE_SCHEME_UID = f"{UID_ROOT}.2"

# Document
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")  # CID 7021
OB_GYN_ULTRASOUND_PROCEDURE_REPORT = Code("125000", "DCM", "OB-GYN Ultrasound Procedure Report")  # CID 12024
ULTRASOUND_OB_GYN_REPORT = Code("11525-3", "LN", "Ultrasound Obstetric and Gyn Report")  # CID 7000
OBSTETRIC_US_SCAN = Code("268445003", "SCT", "Obstetric US scan")  # CID 12024

# Sections of TID 5000
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
SUMMARY = Code("121111", "DCM", "Summary")
FETUS_SUMMARY = Code("125008", "DCM", "Fetus Summary")
FETAL_BIOMETRY_RATIOS = Code("125001", "DCM", "Fetal Biometry Ratios")
FETAL_BIOMETRY = Code("125002", "DCM", "Fetal Biometry")
BIOMETRY_GROUP = Code("125005", "DCM", "Biometry Group")
LMP = Code("8665-2", "LN", "LMP")  # CID 12003
EDD = Code("11778-8", "LN", "EDD")  # CID 12003

# Observer and subject
DEVICE = Code("121007", "DCM", "Device")  # CID 270
FETUS = Code("121026", "DCM", "Fetus")  # CID 271
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162

# Findings
HEAD = Code("69536005", "SCT", "Head")  # CID 4
OUTLINE = Code("111041", "DCM", "Outline")  # CID 219
SOURCE = Code("260753009", "SCT", "Source")  # TID 320
COMMENT = Code("121106", "DCM", "Comment")

# Measurements
HEAD_CIRCUMFERENCE = Code("11984-2", "LN", "Head Circumference")  # CID 12005
BIPARIETAL_DIAMETER = Code("11820-8", "LN", "Biparietal Diameter")  # CID 12005
OCCIPITAL_FRONTAL_DIAMETER = Code("11851-3", "LN", "Occipital-Frontal Diameter")  # CID 12005
CEPHALIC_INDEX = Code("11823-2", "LN", "Cephalic Index")  # CID 12004
GESTATIONAL_AGE = Code("18185-9", "LN", "Gestational Age")  # TID 5008 row 3
HC_DIFFERENCE = Code("HC-AI-OPERATOR", PRIVATE_SCHEME, "Head Circumference, AI minus operator")
GESTATIONAL_AGE_BY_EDD = Code("GA-BY-EDD", PRIVATE_SCHEME, "Gestational Age by EDD")
"""CID 12019 has the age by LMP, and one without a word on where it comes from, which is that by HC here."""
GESTATIONAL_AGE_BY_LMP = Code("11885-1", "LN", "Gestational Age by LMP")  # CID 12019
GROWTH_PERCENTILE_RANK = Code("125012", "DCM", "Growth Percentile Rank")  # CID 12017
GROWTH_Z_SCORE = Code("125013", "DCM", "Growth Z-score")  # CID 12017

# What qualifies a measurement
UPPER_UNCERTAINTY = Code("371886008", "SCT", "+, range of upper measurement uncertainty")  # CID 225
LOWER_UNCERTAINTY = Code("371885007", "SCT", "-, range of lower measurement uncertainty")  # CID 225
TWO_SIGMA_LOWER = Code("371918003", "SCT", "2 Sigma Lower Value of population")  # CID 226
TWO_SIGMA_UPPER = Code("371920000", "SCT", "2 Sigma Upper Value of population")  # CID 226
SELECTION_STATUS = Code("121404", "DCM", "Selection Status")  # TID 310
CHOSEN_BY_SOFTWARE = Code("SOFTWARE-CHOSEN", PRIVATE_SCHEME, "Value chosen by the software")
"""CID 224 knows a value that a user chose, the most recent one and the mean; a choice by software is none of them."""

OF_INTEREST = Code("113000", "DCM", "Of Interest")  # CID 7010

EQUATION = Code("121420", "DCM", "Equation")  # CID 228
EQUATION_CITATION = Code("121421", "DCM", "Equation Citation")  # CID 228
HC_HADLOCK_1984 = Code("11932-1", "LN", "HC, Hadlock 1984")  # CID 12013
HC_INTERGROWTH_2016 = Code("HC-GA-IG-2016", PRIVATE_SCHEME, "HC, INTERGROWTH-21st 2016")
HC_REFERENCE_SYSTEM = Code("HC-GA-REFERENCE", PRIVATE_SCHEME, "HC, polynomial of the reference system")

EQUATION_CODES: dict[str, Code] = {
    "hadlock-1984": HC_HADLOCK_1984,
    "intergrowth-2016": HC_INTERGROWTH_2016,
    "reference-system": HC_REFERENCE_SYSTEM,
}
"""Equation name of `inference.dating` to its code; only what CID 12013 lists may use a LOINC code."""

HC_BY_GA_HADLOCK_1984 = Code("33173-6", "LN", "HC by GA, Hadlock 1984")  # CID 12015
HC_BY_GA_INTERGROWTH_2014 = Code("HC-BY-GA-IG-2014", PRIVATE_SCHEME, "HC by GA, INTERGROWTH-21st 2014")

STANDARD_CODES: dict[str, Code] = {
    "hadlock-1984": HC_BY_GA_HADLOCK_1984,
    "intergrowth-2014": HC_BY_GA_INTERGROWTH_2014,
}
"""Standard's name of `inference.growth` to its code; only what CID 12015 lists may use a LOINC code."""

AGE_SOURCE_CODES: dict[AgeSource, Code] = {
    AgeSource.LAST_MENSTRUAL_DATE: GESTATIONAL_AGE_BY_LMP,
    AgeSource.REPORTED_LMP: GESTATIONAL_AGE_BY_LMP,
    AgeSource.REPORTED_EDD: GESTATIONAL_AGE_BY_EDD,
}
"""What an age from each source is called."""

AGE_DATE_CODES: dict[AgeSource, Code] = {
    AgeSource.LAST_MENSTRUAL_DATE: LMP,
    AgeSource.REPORTED_LMP: LMP,
    AgeSource.REPORTED_EDD: EDD,
}
"""What the date behind it is called."""

# Why there is no measurement
WHY_NOT_MEASURED = Code("WHY-NO-HC", PRIVATE_SCHEME, "Why the head circumference was not measured")


def _why(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


ABSTENTION_CODES: dict[Reason, Code] = {
    Reason.OTHER_EXAMINATION: _why("OTHER-EXAM", "Examination that shows no fetus"),
    Reason.NOT_CALIBRATED: _why("NO-SCALE", "Image without millimetre scale"),
    Reason.CALIBRATION_CONFLICT: _why("SCALE-CONFLICT", "Scale contradicts itself"),
    Reason.IMPLAUSIBLE_SPACING: _why("SCALE-RANGE", "Implausible pixel spacing"),
    Reason.NO_TWO_DIMENSIONAL_REGION: _why("NO-2D-REGION", "No two-dimensional region"),
    Reason.OVERLAPPING_REGION: _why("OVERLAPPED", "Trace or other picture over the head"),
    Reason.CROSSES_REGIONS: _why("CROSSES-REGIONS", "Outline crosses into another scale"),
    Reason.REGIONS_DISAGREE: _why("HEADS-DISAGREE", "Regions show heads of different size"),
    Reason.NO_HEAD_FOUND: _why("NO-HEAD", "No fetal head found"),
    Reason.HEAD_CUT_BY_BORDER: _why("HEAD-CUT", "Head cut by the border"),
    Reason.HEAD_OUTSIDE_SECTOR: _why("HEAD-OUTSIDE", "Head partly outside the sector"),
    Reason.TWO_HEADS: _why("TWO-HEADS", "Two parts look like a head"),
    Reason.TWO_SIZES: _why("TWO-SIZES", "Frames show heads of two sizes"),
    Reason.POOR_ELLIPSE_FIT: _why("NO-ELLIPSE", "Outline is not an ellipse"),
    Reason.UNEVEN_OUTLINE: _why("UNEVEN", "Outline leaves its ellipse too often"),
    Reason.HEAD_UNDER_COLOUR: _why("COLOUR", "Colour flow over the head"),
    Reason.IMAGE_TOO_DARK: _why("TOO-DARK", "Head too dark"),
    Reason.IMAGE_SATURATED: _why("SATURATED", "Head too white"),
    Reason.IMAGE_BLURRED: _why("BLURRED", "Head blurred"),
    Reason.SKULL_ECHO_WEAK: _why("WEAK-ECHO", "Too little echo of bone along the outline"),
    Reason.ECHO_TOO_EVEN: _why("EVEN-ECHO", "Outline equally bright all round"),
    Reason.UNSURE_HEAD: _why("UNSURE-HEAD", "Network unsure whether it sees a head"),
    Reason.UNSURE_OUTLINE: _why("UNSURE-OUTLINE", "Network unsure where the outline runs"),
    Reason.SPREAD_TOO_LARGE: _why("SPREAD", "Repeated answers too far apart"),
    Reason.IMPLAUSIBLE_SIZE: _why("SIZE", "Outline too small or too large for a fetal head"),
    Reason.IMPLAUSIBLE_SHAPE: _why("SHAPE", "Cephalic index outside the limits of the model"),
}
"""Every reason that an `Abstention` may have."""

# Units, UCUM
MILLIMETRE = Code("mm", "UCUM", "mm")
DAY = Code("d", "UCUM", "days")
PERCENT = Code("%", "UCUM", "Percent")
NO_UNITS = Code("1", "UCUM", "no units")

# Purposes of reference
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")  # CID 7005
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202


def code_item(code: Code) -> Dataset:
    """Code Sequence Macro (PS3.3 8.8) without optional attributes."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def private_scheme_item() -> Dataset:
    """Item of Coding Scheme Identification Sequence (0008,0110) for our own scheme (PS3.3 C.12.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    item.CodingSchemeName = "Fetal HC Node private codes"
    return item
