"""What the sonographer's own report says: a scanner's TID 5000 (PS3.16), read as untrusted data.

Of several reports of a study the newest one alone speaks: machines send the whole report again when a value was added
or taken away. What it says twice in different ways it does not say, and what nobody vouches for is left out:

* a last menstrual date, a date of delivery: from items of value type DATE, wherever they stand;
* whether there are several fetuses: a count says so, they are told apart by name or number, or there are several
  sections of what stands once for each fetus;
* the operator's HC: the value that was selected (CID 224), else the one that is derived from the others (mean, median
  or best value, CID 3627), else the only one, else that of the latest Observation DateTime (0040,A032); none where
  several values are left, where there are several fetuses or their count is unreadable, or where an algorithm is named
  as its author.

Reports of this node, and whatever is not an obstetric report, are passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from dicom_node.errors import InstanceRefused
from dicom_node.part10 import untrusted
from dicom_node.patients import contradictions
from inference.domain import OperatorHc, Reason
from sr_templates.source import missing_uid
from sr_templates.uids import is_own_object

Value = TypeVar("Value")
Name = tuple[str, str]
"""(code value, coding scheme designator)."""

Fetus = frozenset[tuple[Name | None, str]]
"""What a fetus is called: (concept, value); empty where it is not named."""

MAXIMUM_ITEMS = 20_000
"""A long report of a scanner has some hundreds of content items."""

TITLES = frozenset({("125000", "DCM"), ("268445003", "SCT"), ("24869-0", "LN")})
"""CID 12024, OB-GYN Ultrasound Report Document Title."""

LAST_OF_START = Tag(0x0040, 0xA043)
"""Concept Name Code Sequence: in the root the title, the last of what is asked before the content."""

LMP = frozenset({("8665-2", "LN"), ("11955-2", "LN")})
"""CID 12003 has the first; machines of earlier editions write the second (so does the list of PS3.15 annex E)."""
EDD = frozenset({("11778-8", "LN")})
EDD_FROM_LMP = frozenset({("11779-6", "LN")})
AGE_BY_LMP = frozenset({("11885-1", "LN")})
HEAD_CIRCUMFERENCE = frozenset({("11984-2", "LN")})
NUMBER_OF_FETUSES = frozenset({("11878-6", "LN"), ("121038", "DCM")})
"""The second is retired; both come as a summary's number and as observation context."""
SUBJECT_ID = ("121030", "DCM")
FETUS = frozenset({("11951-1", "LN"), SUBJECT_ID, ("121037", "DCM")})
"""Fetus ID, Subject ID, and the retired Fetus Number: they tell fetuses apart."""
ONCE_FOR_EACH_FETUS = frozenset({("125002", "DCM"), ("125008", "DCM")})
"""Fetal Biometry (TID 5005) and Fetus Summary (TID 5003), whose sections stand once for each."""
SELECTION_STATUS = frozenset({("121404", "DCM")})
DERIVATION = frozenset({("121401", "DCM")})
ALGORITHM = frozenset({("111001", "DCM"), ("111000", "DCM")})

SUMMARISING = (
    Code("373098007", "SCT", "Mean"),
    Code("373099004", "SCT", "Median"),
    Code("371912002", "SCT", "Best value"),
)
"""Those of CID 3627 that stand for several measurements of one thing."""

MM_PER_UNIT = {"mm": 1.0, "cm": 10.0}
DAYS_PER_UNIT = {"d": 1, "wk": 7}
LOWEST_HC_MM, HIGHEST_HC_MM = 20.0, 500.0
"""Outside lies a slip of the unit, not a head."""

_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")


@dataclass(frozen=True, slots=True)
class OperatorValues:
    """What the newest obstetric report says. A reason stands where it says something that is not one readable value.

    `exam_date` is the report's Study Date, the day that `age_by_lmp_days` is the age of.
    """

    report: Dataset | None = field(default=None, repr=False, compare=False)
    exam_date: date | None = None
    lmp: date | Reason | None = None
    edd: date | Reason | None = None
    edd_from_lmp: date | Reason | None = None
    age_by_lmp_days: int | Reason | None = None
    hc: OperatorHc | None = None
    several_fetuses: bool = False

    def facts(self) -> str:
        """All of it in one line, the same for the same: part of a result's identity. Empty without a report."""
        if self.report is None:
            return ""
        told = (self.exam_date, self.lmp, self.edd, self.edd_from_lmp, self.age_by_lmp_days)
        uid = self.report.get("SOPInstanceUID", "")
        return "|".join(map(str, (*told, self.hc, self.several_fetuses, uid)))


NOTHING_SAID = OperatorValues()


@dataclass(frozen=True, slots=True)
class _Item:
    """A content item, its depth below the root, and the fetus of the nearest container above it that names one."""

    content: Dataset
    fetus: Fetus
    depth: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One HC of the report."""

    mm: float
    selected: bool
    summarises: bool
    time: str


def operator_values(reports: Iterable[Dataset]) -> OperatorValues:
    """What the newest obstetric report among `reports` says (of equally new ones the last). Never raises.

    `reports`: structured reports of one study and patient, headers converted or not, in the order of their arrival.
    """
    found = NOTHING_SAID
    newest: tuple[str, str] | None = None
    for report in reports:
        try:
            made = made_at(report)
            if made is None or (newest is not None and made < newest):
                continue
            with untrusted(Reason.UNREADABLE, "report"):
                found, newest = _read(report), made
        except InstanceRefused:
            continue
    return found


def made_at(report: Dataset) -> tuple[str, str] | None:
    """Content date and time of an obstetric report, as text that sorts; None: it is none. Never raises.

    `report` may end at `LAST_OF_START`.
    """
    try:
        with untrusted(Reason.UNREADABLE, "report"):
            return _made(report) if _is_obstetric(report) else None
    except InstanceRefused:
        return None


def same_patient(header: Dataset, report: Dataset) -> bool:
    """Whether the two may be of one patient: what is said in both does not differ; see `patients.contradictions`.

    Both as `read_part10` gives them, converted.
    """
    return not contradictions((header, report))


def _made(report: Dataset) -> tuple[str, str]:
    """Content date and time (type 1 of the SR Document General module), as text that sorts."""
    day = _DATE.fullmatch(_text(report, "ContentDate"))
    return "" if day is None else "".join(day.groups()), _text(report, "ContentTime").replace(":", "")


def _is_obstetric(report: Dataset) -> bool:
    """Whether it is one, of somebody else, and can be named as evidence."""
    title = report.get("ValueType") == "CONTAINER" and _name(report) in TITLES
    return title and missing_uid(report) is None and not is_own_object(report)


def _read(report: Dataset) -> OperatorValues:
    items = [*_items(report)]
    return OperatorValues(
        report=report,
        exam_date=_as_date(_text(report, "StudyDate")),
        lmp=_one(_dates(items, LMP)),
        edd=_one(_dates(items, EDD)),
        edd_from_lmp=_one(_dates(items, EDD_FROM_LMP)),
        age_by_lmp_days=_one(_ages(items)),
        hc=_operator_hc(items, _text(report, "SOPInstanceUID")),
        several_fetuses=_several_fetuses(items),
    )


def _items(root: Dataset) -> Iterator[_Item]:
    """All content items below the root, in document order. Raises ValueError: there are too many."""
    waiting = [_Item(root, frozenset(), 0)]
    for _ in range(MAXIMUM_ITEMS):
        if not waiting:
            return
        item = waiting.pop()
        yield item
        children = _children(item.content)
        fetus = _fetus(children) or item.fetus
        waiting += [_Item(child, fetus, item.depth + 1) for child in reversed(children)]
    raise ValueError("too many content items")


def _children(item: Dataset) -> list[Dataset]:
    """The items of Content Sequence (0040,A730); none where it holds anything else."""
    return _sequence(item, "ContentSequence")


def _fetus(children: Iterable[Dataset]) -> Fetus:
    return frozenset((_name(c), _value(c)) for c in children if _name(c) in FETUS)


def _value(item: Dataset) -> str:
    """What it says, whatever its value type; empty where that cannot be read."""
    coded, (value, _) = _code(item, "ConceptCodeSequence"), _measured(item)
    said = [_text(item, keyword) for keyword in ("TextValue", "UID", "PersonName")]
    return "|".join(filter(None, (*said, *(coded or ()), "" if value is None else f"{value:g}")))


def _one(values: Collection[Value | None]) -> Value | Reason | None:
    """The value that all of them are; None: there are none; a reason: one is unreadable, or they differ."""
    different = set(values)
    if not different:
        return None
    value = different.pop()
    return Reason.UNREADABLE_INDEPENDENT_AGE if different or value is None else value


def _dates(items: Collection[_Item], names: frozenset[Name]) -> list[date | None]:
    found = [i.content for i in items if i.content.get("ValueType") == "DATE" and _name(i.content) in names]
    return [_as_date(_text(content, "Date")) for content in found]


def _ages(items: Collection[_Item]) -> list[int | None]:
    """Ages by last menstrual date in whole days."""
    found = []
    for item in _numbers(items, AGE_BY_LMP):
        value, unit = _measured(item.content)
        known = value is not None and unit in DAYS_PER_UNIT
        found.append(math.floor(value * DAYS_PER_UNIT[unit] + 0.5) if known and value is not None else None)
    return found


def _operator_hc(items: Collection[_Item], report_uid: str) -> OperatorHc | None:
    """See the module's docstring for which value it is."""
    numbers = [*_numbers(items, HEAD_CIRCUMFERENCE)]
    if len({item.fetus for item in numbers}) > 1 or _several_fetuses(items) or None in _counts(items):
        return None
    candidates = [made for item in numbers if (made := _candidate(item.content)) is not None]
    plain = [c for c in candidates if not c.summarises]
    groups = ([c for c in candidates if c.selected], [c for c in candidates if c.summarises], plain)
    for group in groups:
        if group:
            mm = _only(group) if group is not plain else _only(group) or _latest(group)
            return None if mm is None else OperatorHc(mm, report_uid)
    return None


def _candidate(number: Dataset) -> _Candidate | None:
    """None: unreadable, implausible, or an algorithm's."""
    value, unit = _measured(number)
    children = _children(number)
    if value is None or unit not in MM_PER_UNIT or any(_name(child) in ALGORITHM for child in children):
        return None
    mm = round(value * MM_PER_UNIT[unit], 1)
    if not LOWEST_HC_MM <= mm <= HIGHEST_HC_MM:
        return None
    derivations = [_code(child, "ConceptCodeSequence") for child in children if _name(child) in DERIVATION]
    return _Candidate(
        mm,
        selected=any(_name(child) in SELECTION_STATUS for child in children),
        summarises=any(Code(*name, "") in SUMMARISING for name in derivations if name is not None),
        time=_text(number, "ObservationDateTime"),
    )


def _only(candidates: Collection[_Candidate]) -> float | None:
    values = {candidate.mm for candidate in candidates}
    return values.pop() if len(values) == 1 else None


def _latest(candidates: Collection[_Candidate]) -> float | None:
    """The value of the latest observation; None where one has no time, or two share the latest."""
    times = sorted(candidate.time for candidate in candidates)
    if not times[0] or times[-1] == times[-2]:
        return None
    return next(candidate.mm for candidate in candidates if candidate.time == times[-1])


def _several_fetuses(items: Collection[_Item]) -> bool:
    """See the module's docstring; one section too many of one named fetus is no second fetus."""
    counted = any(count is not None and count > 1 for count in _counts(items))
    return counted or _named_apart(items) or _several_sections(items)


def _counts(items: Collection[_Item]) -> list[float | None]:
    """How many fetuses there are, wherever it is said; None: unreadable."""
    return [_measured(item.content)[0] for item in items if _name(item.content) in NUMBER_OF_FETUSES]


def _named_apart(items: Collection[_Item]) -> bool:
    """Whether one concept has several values. The root's own Subject ID is the mother's (TID 1007)."""
    called: dict[Name | None, set[str]] = {}
    for item in items:
        name = _name(item.content)
        if name in FETUS and not (name == SUBJECT_ID and item.depth == 1):
            called.setdefault(name, set()).add(_value(item.content))
    return any(len(values) > 1 for values in called.values())


def _several_sections(items: Collection[_Item]) -> bool:
    """Whether sections of one kind are of fetuses that have different names, or none."""
    kinds: dict[Name | None, list[Fetus]] = {}
    for item in items:
        name = _name(item.content)
        if name in ONCE_FOR_EACH_FETUS and item.content.get("ValueType") == "CONTAINER":
            kinds.setdefault(name, []).append(_fetus(_children(item.content)))
    return any(len(found) > 1 and (len({*found}) > 1 or not found[0]) for found in kinds.values())


def _numbers(items: Collection[_Item], names: frozenset[Name]) -> Iterator[_Item]:
    """Those that a container contains: a number below a number is what that one was inferred from."""
    for item in items:
        content = item.content
        contained = content.get("ValueType") == "NUM" and content.get("RelationshipType") == "CONTAINS"
        if contained and _name(content) in names:
            yield item


def _measured(number: Dataset) -> tuple[float | None, str]:
    """Value and UCUM unit; no value where there is none, more than one, or none that is a number."""
    measured = _sequence(number, "MeasuredValueSequence")
    if len(measured) != 1:
        return None, ""
    unit = _code(measured[0], "MeasurementUnitsCodeSequence")
    try:
        value = float(_text(measured[0], "NumericValue"))
    except ValueError:
        return None, ""
    return (value if math.isfinite(value) else None), unit[0] if unit is not None and unit[1] == "UCUM" else ""


def _name(item: Dataset) -> Name | None:
    return _code(item, "ConceptNameCodeSequence")


def _code(item: Dataset, keyword: str) -> Name | None:
    found = _sequence(item, keyword)
    return (_text(found[0], "CodeValue"), _text(found[0], "CodingSchemeDesignator")) if found else None


def _sequence(item: Dataset, keyword: str) -> list[Dataset]:
    """Its items; none where the element is absent or holds no items (bytes that could not be parsed)."""
    found = item.get(keyword)
    return [*found] if isinstance(found, Sequence) else []


def _text(item: Dataset, keyword: str) -> str:
    value = item.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _as_date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    try:
        return None if match is None else date(*map(int, match.groups()))
    except ValueError:  # the 31st of February
        return None
