"""A machine's own report: what it says is taken, what it says in two ways is not, and no bytes make the node trip."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sr._concepts_dict import concepts
from pydicom.tag import Tag

from dicom_node import operator_values as operator_module
from dicom_node.errors import InstanceRefused
from dicom_node.operator_values import (
    MAXIMUM_ITEMS,
    NOTHING_SAID,
    SUMMARISING,
    OperatorValues,
    operator_values,
    same_patient,
)
from dicom_node.part10 import read_part10
from inference.domain import OperatorHc, Reason
from sr_templates.tid5000 import build_tid5000
from tests import machine_report as machine
from tests.machine_report import biometry, chosen, day, derived, fetus, hc, machine_report, number
from tests.reports import measurement, report, with_lmp, written

UID = "1.2.3.70.1"


def hc_of(*numbers: Dataset) -> float | None:
    found = operator_values([machine_report((), biometry(*numbers))]).hc
    return None if found is None else found.hc_mm


def test_dates_and_ages_of_the_summary() -> None:
    summary = [
        day(machine.LMP, "20250815"),
        day(machine.EDD, "20260522"),
        day(machine.EDD_FROM_LMP, "20260521"),
        number(machine.AGE_BY_LMP, "20.0", "wk"),
    ]
    said = operator_values([machine_report(summary)])
    assert (said.lmp, said.edd, said.edd_from_lmp) == (date(2025, 8, 15), date(2026, 5, 22), date(2026, 5, 21))
    assert (said.age_by_lmp_days, said.exam_date) == (140, date(2026, 1, 2))
    assert said.hc is None


@pytest.mark.parametrize("name", [machine.LMP, machine.OLD_LMP])
def test_machines_of_earlier_editions_have_another_code_for_the_last_menstrual_date(name: tuple[str, str]) -> None:
    assert operator_values([machine_report([day(name, "20250815")])]).lmp == date(2025, 8, 15)


@pytest.mark.parametrize("dates", [["20250231"], ["unknown"], ["20250815", "20250816"]])
def test_what_is_not_one_date_is_told_apart_from_none(dates: list[str]) -> None:
    made = machine_report([day(machine.LMP, "20250815") for _ in dates])
    for content, text in zip(made.ContentSequence[0].ContentSequence, dates, strict=True):
        content["Date"] = RawDataElement(Tag("Date"), "DA", len(text), text.encode(), 0, False, True, True)
    assert operator_values([made]).lmp is Reason.UNREADABLE_INDEPENDENT_AGE


def test_the_same_date_twice_is_one_date() -> None:
    said = operator_values([machine_report([day(machine.LMP, "20250815"), day(machine.OLD_LMP, "20250815")])])
    assert said.lmp == date(2025, 8, 15)


@pytest.mark.parametrize(
    ("value", "unit", "days"), [("143", "d", 143), ("20.43", "wk", 143), ("5", "mo", Reason.UNREADABLE_INDEPENDENT_AGE)]
)
def test_an_age_is_in_days_or_weeks(value: str, unit: str, days: int | Reason) -> None:
    assert operator_values([machine_report([number(machine.AGE_BY_LMP, value, unit)])]).age_by_lmp_days == days


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param([hc("195.04")], 195.0, id="the only one"),
        pytest.param([hc("19.5", "cm")], 195.0, id="in cm"),
        pytest.param([hc("195"), hc("195.0")], 195.0, id="the same twice"),
        pytest.param([hc("190"), hc("200"), hc("195", "mm", derived())], 195.0, id="the mean of several"),
        pytest.param([hc("190"), hc("195", "mm", derived(machine.OLD_MEAN))], 195.0, id="the mean in SNOMED RT"),
        pytest.param([hc("190", "mm", chosen()), hc("195", "mm", derived())], 190.0, id="the selected one"),
        pytest.param([hc("190", time="20260102091000"), hc("200", time="20260102092000")], 200.0, id="the latest"),
        pytest.param([hc("190"), hc("200")], None, id="two, and nothing tells which"),
        pytest.param([hc("190", time="20260102091000"), hc("200")], None, id="one has no time"),
        pytest.param([hc("190", "mm", chosen()), hc("200", "mm", chosen())], None, id="two selected"),
        pytest.param([hc("195", "[in_i]")], None, id="another unit"),
        pytest.param([hc("1.95")], None, id="a slip of the unit"),
        pytest.param([hc("1e999")], None, id="no number"),
        pytest.param([hc("195"), hc("1.95")], 195.0, id="an implausible one beside"),
        pytest.param([], None, id="none"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_which_hc_is_the_operator_s(numbers: list[Dataset], expected: float | None) -> None:
    assert hc_of(*numbers) == expected


def test_the_report_is_named() -> None:
    assert operator_values([machine_report((), biometry(hc("195")))]).hc == OperatorHc(195.0, UID)


def test_an_algorithm_is_no_operator() -> None:
    author = machine.item("TEXT", ("111001", "DCM"), "HAS CONCEPT MOD", TextValue="SomeNet")
    assert hc_of(hc("195", "mm", author)) is None


def test_a_number_below_a_number_is_not_a_measurement() -> None:
    origin = hc("195")
    origin.RelationshipType = "INFERRED FROM"
    assert hc_of(number(("18185-9", "LN"), "150", "d", origin)) is None


def section(name: Dataset | None, *numbers: Dataset) -> Dataset:
    called = () if name is None else (name,)
    return machine.container(machine.BIOMETRY, *called, machine.container(machine.GROUP, *numbers))


def bpd(value: str) -> Dataset:
    return number(("11820-8", "LN"), value, "mm")


def numbered(value: str) -> Dataset:
    """Fetus Number, retired, as a number."""
    made = number(("121037", "DCM"), value, "1")
    made.RelationshipType = "HAS OBS CONTEXT"
    return made


def coded(value: str) -> Dataset:
    return machine.item(
        "CODE", machine.FETUS, "HAS OBS CONTEXT", ConceptCodeSequence=[machine.code((value, "99MAKER"))]
    )


def context(name: tuple[str, str], count: str) -> Dataset:
    """Number of fetuses as observation context."""
    made = number(name, count, "1")
    made.RelationshipType = "HAS OBS CONTEXT"
    return made


EARLY, LATE = "20260102090000", "20260102090500"

TWINS = {
    "both have HC": machine_report((), section(fetus("A"), hc("195")), section(fetus("B"), hc("195"))),
    "one has BPD alone": machine_report((), section(fetus("A"), hc("195")), section(fetus("B"), bpd("55"))),
    "named by number": machine_report(
        (), section(numbered("1"), hc("195", time=EARLY)), section(numbered("2"), hc("210", time=LATE))
    ),
    "named by code": machine_report(
        (), section(coded("A"), hc("195", time=EARLY)), section(coded("B"), hc("210", time=LATE))
    ),
    "named in two ways": machine_report((), section(fetus("A"), hc("195")), section(numbered("2"), bpd("55"))),
    "not named": machine_report((), section(None, hc("195")), section(None, bpd("55"))),
    "one is not named": machine_report((), section(fetus("A"), hc("195")), section(None, bpd("55"))),
    "named in their summaries": machine_report(
        [machine.container(machine.FETUS_SUMMARY, fetus(name)) for name in "AB"], biometry(hc("195"))
    ),
    "named where nothing is measured": machine_report([fetus("A"), fetus("B")], biometry(hc("195"))),
    "counted": machine_report([number(machine.FETUSES, "2", "1")], biometry(hc("195"))),
    "counted as context": machine_report([context(machine.FETUSES, "2")], biometry(hc("195"))),
    "counted by the retired code": machine_report([context(("121038", "DCM"), "2")], biometry(hc("195"))),
}


@pytest.mark.parametrize("case", TWINS)
def test_of_twins_no_head_is_the_one(case: str) -> None:
    said = operator_values([TWINS[case]])
    assert (said.hc, said.several_fetuses) == (None, True)


def test_two_heads_of_one_report_that_are_named_differently_are_not_one() -> None:
    """Of one fetus or of two: nobody can tell."""
    made = machine_report([hc("195")], section(fetus("A"), hc("195")))
    assert operator_values([made]).hc is None


@pytest.mark.parametrize(
    "report",
    [
        machine_report([number(machine.FETUSES, "1", "1")], biometry(hc("195"))),
        machine_report([context(("121038", "DCM"), "1")], section(numbered("1"), hc("195"))),
        machine_report((), section(fetus("A"), hc("195")), section(fetus("A"), bpd("55"))),
        machine_report([machine.container(machine.FETUS_SUMMARY, fetus("A"))], section(fetus("A"), hc("195"))),
        machine_report(
            ContentSequence=[
                machine.item("TEXT", ("121030", "DCM"), "HAS OBS CONTEXT", TextValue="P-1001"),
                section(machine.item("TEXT", ("121030", "DCM"), "HAS OBS CONTEXT", TextValue="A"), hc("195")),
            ],
        ),
    ],
    ids=["counted", "numbered", "in two sections", "in summary and section", "beside its mother"],
)
def test_one_fetus_is_one_however_often_it_is_named(report: Dataset) -> None:
    said = operator_values([report])
    assert (said.hc, said.several_fetuses) == (OperatorHc(195.0, UID), False)


def test_a_count_that_cannot_be_read_leaves_no_hc_and_makes_no_twins() -> None:
    unread = machine.item("NUM", machine.FETUSES)
    said = operator_values([machine_report([unread], biometry(hc("195")))])
    assert (said.hc, said.several_fetuses) == (None, False)


def test_the_newest_report_alone_speaks() -> None:
    """What it no longer says was taken away."""
    earlier = machine_report([day(machine.LMP, "20250815")], biometry(hc("190")), ContentTime="090000")
    later = machine_report((), biometry(hc("195")), ContentTime="093500.25", SOPInstanceUID="1.2.3.70.2")
    for order in ([earlier, later], [later, earlier]):
        said = operator_values(order)
        assert (said.lmp, said.hc) == (None, OperatorHc(195.0, "1.2.3.70.2"))


def test_of_equally_new_reports_the_last_to_arrive_speaks() -> None:
    first, last = machine_report((), biometry(hc("190"))), machine_report((), biometry(hc("195")))
    assert operator_values([first, last]).hc == OperatorHc(195.0, UID)


def test_our_own_reports_are_not_the_operator_s() -> None:
    ours = written(build_tid5000(report(measurement=with_lmp(measurement(), 150)))).dataset
    assert operator_values([ours]) == NOTHING_SAID
    sent_on = machine_report(
        (), biometry(hc("195")), Manufacturer="Fetal HC Node", ManufacturerModelName="Fetal HC Node"
    )
    assert operator_values([sent_on]) == NOTHING_SAID


@pytest.mark.parametrize(
    "attributes",
    [
        {"ConceptNameCodeSequence": [machine.code(("126000", "DCM"))]},
        {"ConceptNameCodeSequence": None},
        {"ValueType": "TEXT"},
        {"SeriesInstanceUID": None},
        {"SeriesInstanceUID": ["1.2", "1.3"]},
    ],
)
def test_other_documents_say_nothing(attributes: dict[str, Any]) -> None:
    assert (
        operator_values([machine_report([day(machine.LMP, "20250815")], biometry(hc("195")), **attributes)])
        == NOTHING_SAID
    )


def test_no_report_says_nothing() -> None:
    assert operator_values([]) == NOTHING_SAID
    assert NOTHING_SAID.facts() == ""


def test_what_was_said_is_one_line_that_tells_it_apart() -> None:
    reports = [
        machine_report((), biometry(hc("195"))),
        machine_report((), biometry(hc("196"))),
        machine_report([day(machine.LMP, "20250815")], biometry(hc("195"))),
        machine_report((), biometry(hc("195")), SOPInstanceUID="1.2.3.70.2"),
    ]
    lines = [operator_values([each]).facts() for each in reports]
    assert len(set(lines)) == len(lines)
    assert operator_values([reports[0]]).facts() == lines[0]


def test_a_report_of_any_length_ends() -> None:
    flat = machine_report((), biometry(*[hc("195")] * (MAXIMUM_ITEMS + 1)))
    assert operator_values([flat]) == NOTHING_SAID
    deep = hc("195")
    for _ in range(1500):
        deep = machine.container(machine.GROUP, deep)
    assert operator_values([machine_report((), deep)]).hc == OperatorHc(195.0, UID)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"), [("A", "A", True), ("A", "B", False), ("A", "", True), (None, "B", True)]
)
def test_a_report_of_another_patient_is_known(ours: str | None, theirs: str | None, same: bool) -> None:
    header, other = Dataset(), Dataset()
    header.PatientID, other.PatientID = ours, theirs
    assert same_patient(header, other) is same


@pytest.mark.parametrize("theirs", [{"PatientName": "Roe^Mary"}, {"PatientBirthDate": "19800101"}])
def test_a_report_without_an_identifier_is_not_everybodys(theirs: dict[str, str]) -> None:
    header, other = Dataset(), Dataset()
    header.PatientID, header.PatientName, header.PatientBirthDate = "A", "Doe^Jane", "19950415"
    for keyword, value in theirs.items():
        setattr(other, keyword, value)
    assert not same_patient(header, other)


WHOLE = written(
    machine_report(
        [day(machine.LMP, "20250815"), day(machine.EDD, "20260522"), number(machine.AGE_BY_LMP, "140", "d")],
        biometry(hc("190", time="20260102091000"), hc("195", "mm", derived()), hc("196", "mm", chosen())),
    )
).content


def read(content: bytes, folder: Path) -> OperatorValues:
    path = folder / "report.dcm"
    path.write_bytes(content)
    return operator_values([read_part10(path).header])


def test_the_file_says_what_the_tree_says(tmp_path: Path) -> None:
    assert read(WHOLE, tmp_path).hc == OperatorHc(196.0, UID)


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_are_refused_by_name_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(132, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(132, len(content)))
    try:
        said = read(bytes(content[:end]), tmp_path_factory.getbasetemp())
    except InstanceRefused:
        return
    assert said.hc is None or 20.0 <= said.hc.hc_mm <= 500.0


TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["NUM", "DATE", "CONTAINER", "CONTAINS", "11984-2", "LN", "195"])
)
KEYWORDS = ("ValueType", "RelationshipType", "CodeValue", "CodingSchemeDesignator", "TextValue", "Date", "NumericValue")
SEQUENCES = (
    "ContentSequence",
    "ConceptNameCodeSequence",
    "ConceptCodeSequence",
    "MeasuredValueSequence",
    "MeasurementUnitsCodeSequence",
)


def raw(keyword: str, value: bytes) -> RawDataElement:
    tag = Tag(keyword)
    return RawDataElement(tag, "UN", len(value), value, 0, False, True, True)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Dataset:
    """Anything at all under the names that a report uses: absent, of another type, or bytes."""
    made = Dataset()
    for keyword in KEYWORDS:
        if draw(st.booleans()):
            made[keyword] = raw(keyword, draw(TEXTS).encode())
    for keyword in SEQUENCES if depth else ():
        kind = draw(st.sampled_from(["absent", "absent", "items", "bytes"]))
        if kind == "items":
            setattr(made, keyword, draw(st.lists(trees(depth - 1), max_size=2)))
        elif kind == "bytes":
            made[keyword] = raw(keyword, draw(st.binary(max_size=8)))
    return made


@settings(max_examples=60)
@given(trees(), trees())
def test_no_tree_makes_the_parser_trip(one: Dataset, other: Dataset) -> None:
    whole = machine_report([one], other, biometry(hc("195"), one))
    assert isinstance(operator_values([whole, one]), OperatorValues)


def test_reading_a_report_changes_nothing_of_it() -> None:
    made = machine_report([day(machine.LMP, "20250815")], biometry(hc("195")))
    before, after = BytesIO(), BytesIO()
    made.save_as(before, enforce_file_format=True)
    operator_values([made])
    made.save_as(after, enforce_file_format=True)
    assert before.getvalue() == after.getvalue()


NOT_IN_DICTIONARY = {
    ("11955-2", "LN"): "last menstrual period as a DATE item in PS3.15 annex E; LMP of CID 12003 in earlier editions",
    ("11951-1", "LN"): "Fetus ID of TID 1008, not checked against a print; it only tells fetuses apart",
}
"""Codes that machines write and pydicom does not list, and where they come from."""


def test_every_code_that_is_read_is_in_the_dictionary_or_has_its_source() -> None:
    groups = [value for value in vars(operator_module).values() if isinstance(value, frozenset)]
    read = {name for group in groups for name in group} | {(c.value, c.scheme_designator) for c in SUMMARISING}
    known = {(value, scheme) for scheme, words in concepts.items() for found in words.values() for value in found}
    assert read - known == set(NOT_IN_DICTIONARY)
    assert len(read) > 15
