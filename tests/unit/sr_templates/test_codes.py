"""Each code triple against pydicom's dictionaries: a typed code that means something else fails here."""

from __future__ import annotations

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from inference.dating import EQUATIONS
from inference.domain import HEAD_SEEN, SCALE_MISSING, AgeSource, Reason
from inference.growth import STANDARDS
from sr_templates import codes

ALL = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
REASONS = [*Reason]
ABSTAINING = REASONS[REASONS.index(Reason.OTHER_EXAMINATION) : REASONS.index(Reason.IMPLAUSIBLE_SHAPE) + 1]
"""Those under "looked, and will not say"."""

NOT_IN_DICTIONARY = {
    "HC_REFERENCE_SYSTEM",
    "HC_INTERGROWTH_2016",
    "HC_BY_GA_INTERGROWTH_2014",
    "CHOSEN_BY_SOFTWARE",
    "HC_DIFFERENCE",
    "GESTATIONAL_AGE_BY_EDD",
    "WHY_NOT_MEASURED",
}
"""Ours."""

MEANING_OF_CONTEXT_GROUP = {
    # CID 225 and CID 226 print other meanings than SNOMED CT; pydicom keeps the printed ones as keywords.
    "UPPER_UNCERTAINTY": (225, "RangeOfUpperMeasurementUncertainty"),
    "LOWER_UNCERTAINTY": (225, "RangeOfLowerMeasurementUncertainty"),
    "TWO_SIGMA_LOWER": (226, "_2SigmaLowerValueOfPopulation"),
    "TWO_SIGMA_UPPER": (226, "_2SigmaUpperValueOfPopulation"),
}

MEANING_OF_TEMPLATE = {
    "DAY": "days",  # TID 5008 row 3: UNITS = EV (d, UCUM, "days")
    "SOURCE": "Source",  # TID 320: EV (260753009, SCT, "Source"); SNOMED CT: "Source (attribute)"
}

CONTEXT_GROUPS = {
    "IMAGING_MEASUREMENT_REPORT": 7021,
    "OB_GYN_ULTRASOUND_PROCEDURE_REPORT": 12024,
    "ULTRASOUND_OB_GYN_REPORT": 7000,
    "OBSTETRIC_US_SCAN": 12024,
    "DEVICE": 270,
    "FETUS": 271,
    "ARTIFICIAL_INTELLIGENCE": 7162,
    "HEAD": 4,
    "OUTLINE": 219,
    "HEAD_CIRCUMFERENCE": 12005,
    "BIPARIETAL_DIAMETER": 12005,
    "OCCIPITAL_FRONTAL_DIAMETER": 12005,
    "CEPHALIC_INDEX": 12004,
    "LMP": 12003,
    "EDD": 12003,
    "EQUATION": 228,
    "EQUATION_CITATION": 228,
    "HC_HADLOCK_1984": 12013,
    "GESTATIONAL_AGE_BY_LMP": 12019,
    "GROWTH_PERCENTILE_RANK": 12017,
    "GROWTH_Z_SCORE": 12017,
    "HC_BY_GA_HADLOCK_1984": 12015,
    "ACQUISITION_EQUIPMENT": 7005,
    "SOURCE_IMAGE": 7202,
}


def keywords(code: Code) -> dict[str, str]:
    """Keyword to meaning of a value in pydicom's dictionary of its scheme."""
    scheme = concepts.get(code.scheme_designator, {})
    return {keyword: values[code.value][0] for keyword, values in scheme.items() if code.value in values}


@pytest.mark.parametrize("name", sorted(ALL.keys() - NOT_IN_DICTIONARY))
def test_value_and_meaning_are_the_dictionary_s(name: str) -> None:
    code = ALL[name]
    known = keywords(code)
    assert known, f"{code.scheme_designator} has no {code.value}"
    if name in MEANING_OF_CONTEXT_GROUP:
        group, keyword = MEANING_OF_CONTEXT_GROUP[name]
        assert keyword in known
        assert keyword in cid_concepts[group][code.scheme_designator]
        assert squeezed(code.meaning) == squeezed(keyword)
    elif name in MEANING_OF_TEMPLATE:
        assert code.meaning == MEANING_OF_TEMPLATE[name]
    else:
        assert code.meaning in known.values()


@pytest.mark.parametrize(("name", "group"), CONTEXT_GROUPS.items())
def test_code_belongs_to_the_context_group_that_the_template_asks_for(name: str, group: int) -> None:
    code = ALL[name]
    assert set(keywords(code)) & set(cid_concepts[group][code.scheme_designator])


def test_every_equation_has_a_code_and_only_published_ones_a_loinc_code() -> None:
    assert set(codes.EQUATION_CODES) == set(EQUATIONS)
    assert codes.EQUATION_CODES["hadlock-1984"].scheme_designator == "LN"
    assert {codes.EQUATION_CODES[name].scheme_designator for name in set(EQUATIONS) - {"hadlock-1984"}} == {
        codes.PRIVATE_SCHEME
    }


def test_every_standard_has_a_code_and_only_published_ones_a_loinc_code() -> None:
    assert set(codes.STANDARD_CODES) == set(STANDARDS)
    assert codes.STANDARD_CODES["hadlock-1984"].scheme_designator == "LN"
    assert codes.STANDARD_CODES["intergrowth-2014"].scheme_designator == codes.PRIVATE_SCHEME


def test_no_two_things_share_a_code() -> None:
    spoken = [*codes.EQUATION_CODES.values(), *codes.STANDARD_CODES.values()]
    assert len({(code.scheme_designator, code.value) for code in spoken}) == len(spoken)


def test_every_source_of_an_age_has_a_code() -> None:
    assert set(codes.AGE_SOURCE_CODES) == set(codes.AGE_DATE_CODES) == set(AgeSource)


@pytest.mark.parametrize("name", sorted(ALL))
def test_lengths_fit_their_value_representations(name: str) -> None:
    code = ALL[name]
    assert len(code.value) <= 16
    assert len(code.scheme_designator) <= 16
    assert len(code.meaning) <= 64


def squeezed(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def test_every_reason_to_abstain_has_a_code_of_its_own() -> None:
    made = codes.ABSTENTION_CODES
    assert list(made) == ABSTAINING
    assert len({code.value for code in made.values()}) == len({code.meaning for code in made.values()}) == len(made)
    for code in made.values():
        assert code.scheme_designator == codes.PRIVATE_SCHEME
        assert len(code.value) <= 16
        assert len(code.meaning) <= 64


def test_reasons_about_a_head_or_the_scale_are_reasons_to_abstain() -> None:
    assert set(ABSTAINING) >= HEAD_SEEN | SCALE_MISSING
