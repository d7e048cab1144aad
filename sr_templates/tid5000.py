"""TID 5000 OB-GYN Ultrasound Procedure Report, which reporting systems import, as a Comprehensive SR.

PS3.16 has the template, PS3.17 I.6 its patterns, PS3.3 A.35.3 the object.

    CONTAINER 125000 OB-GYN Ultrasound Procedure Report
      language, device observer (TID 1004), subject: fetus (TID 1008)
      CONTAINER 111028 Image Library
        IMAGE each image, with the frame where it has several
      CONTAINER 121111 Summary (TID 5002)
        DATE LMP or EDD, where header or machine's report says it and the age by it was believed
        TEXT comments: AI generated, not verified; research use
        CONTAINER 125008 Fetus Summary (TID 5003): NUM gestational age by another source, where there is one
      CONTAINER 125001 Fetal Biometry Ratios (TID 5004): NUM cephalic index, inferred from BPD and OFD
      CONTAINER 125002 Fetal Biometry (TID 5005)
        CONTAINER 125005 Biometry Group (TID 5008), one for each type: HC, BPD, OFD
          NUM measurement (TID 300; inferred from coordinates that are selected from the image; HC with its algorithm)
          NUM gestational age in days (equation; inferred from HC; the equation's own 2 SD, CID 226)
          NUM percentile rank, or z-score where that rounds to 0 or 100 (standard; inferred from the age in the summary)
          TEXT comments

A number that was derived points to what it was derived from (by-reference, PS3.3 C.17.3.2.5), so that a reader of one
group knows which HC gave the age and which age the percentile rests on. How many fetuses there are is not said: one
image does not tell. docs/decisions/0021-ob-gyn-report.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ContentItem,
    CoordinatesForMeasurement,
    DateContentItem,
    GraphicTypeValues,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
)
from highdicom.sr.templates import DEFAULT_LANGUAGE
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.dataset import FileDataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ComprehensiveSRStorage

from inference.domain import AgeSource, Growth, ModelIdentity, SizeForAge, Standing
from inference.domain import Measurement as HeadMeasurement
from inference.growth import STANDARDS
from sr_templates import codes, content, wording
from sr_templates.document import document
from sr_templates.drawing import Point, axes_px
from sr_templates.identity import da_of
from sr_templates.report import ReportInput
from sr_templates.source import Shell, image_reference

CONTENT = Tag("ContentSequence")
SHELL = Shell("tid5000", ComprehensiveSRStorage, "SR", "AI unverified: OB-GYN report", 3)

Points = NDArray[np.float64]
"""[n, 2], (column, row), in the coordinates of PS3.3 C.18.6."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One measured head and the header of the image that it was measured on; `model`, if not that of the report."""

    source: Dataset
    measurement: HeadMeasurement
    model: ModelIdentity | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A number that was derived, and the number elsewhere in the tree that it was derived from."""

    derived: Dataset
    origin: Dataset


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the tree, and the links between its numbers or out of it."""

    item: Dataset
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What the document around the numbers is: of one image, or of a study with sentences of its own in the summary."""

    shell: Shell = SHELL
    said: tuple[str, ...] = ()


def build_tid5000(report: ReportInput, beside: Sequence[Candidate] = (), setting: Setting = Setting()) -> FileDataset:
    """The structured report, ready to be written as Explicit VR Little Endian.

    The report's own measurement speaks for the fetus: age, size for age, BPD, OFD and cephalic index are its own.
    `beside` are further heads of the same study, on this image or others; with any, every HC is listed, that of the
    report first and marked as the selected one.
    """
    candidates = (Candidate(report.source, report.measurement), *beside)
    tree = _tree(report, candidates, setting.said)
    for link in tree.links:
        _refer(link, tree.item)
    return document(report, setting.shell, tree.item, [candidate.source for candidate in candidates])


def build_unidentified(report: ReportInput, candidates: Sequence[Candidate], setting: Setting) -> FileDataset:
    """A report in which no head speaks for the fetus: every HC is listed, none is selected, nothing is derived.

    Of `report` only the source (patient, study), the maker and the UIDs count.
    """
    heads = [_hc(report, candidate, selected=False) for candidate in candidates]
    comments = (
        sentence
        for candidate in candidates
        for sentence in (*wording.coverage_notes(candidate.measurement), *wording.remarks(candidate.measurement))
    )
    group = _group([*heads, *map(content.comment, dict.fromkeys(comments))])
    biometry = _container(codes.FETAL_BIOMETRY, [group], "5005")
    root = _root(report, candidates, [_summary(report, None, setting.said), biometry])
    return document(report, setting.shell, root, [candidate.source for candidate in candidates])


def _tree(report: ReportInput, candidates: Sequence[Candidate], said: Sequence[str]) -> Section:
    growth = report.measurement.growth
    age = _independent_age(growth) if isinstance(growth, Growth) else None
    biometry = _biometry(report, candidates, age)
    bpd, ofd = (group.ContentSequence[0] for group in biometry.item.ContentSequence[1:])
    index_percent = wording.tenths(report.measurement.cephalic_index_percent)
    index = content.number(codes.CEPHALIC_INDEX, index_percent, codes.PERCENT)[0]
    ratios = _container(codes.FETAL_BIOMETRY_RATIOS, [index], "5004")
    root = _root(report, candidates, [_summary(report, age, said), ratios, biometry.item])
    return Section(root, (Link(index, bpd), Link(index, ofd), *biometry.links))


def _root(report: ReportInput, candidates: Sequence[Candidate], sections: Sequence[Dataset]) -> Dataset:
    root = _container(
        codes.OB_GYN_ULTRASOUND_PROCEDURE_REPORT,
        [
            *LanguageOfContentItemAndDescendants(DEFAULT_LANGUAGE),
            *content.observation_context(report),
            _container(codes.IMAGE_LIBRARY, _images(candidates)),
            *sections,
        ],
        "5000",
    )
    del root.RelationshipType  # nothing is above it
    return root


def _images(candidates: Sequence[Candidate]) -> list[Dataset]:
    """Each picture once, in the order of the candidates."""
    pictures = {(c.source.SOPInstanceUID, c.measurement.frame): c for c in candidates}
    return [_image(candidate) for candidate in pictures.values()]


def _image(candidate: Candidate) -> Dataset:
    """TID 5000 row 6, with the name that PS3.3 C.17.3.2 lets an IMAGE have: OHIF's page fails over one without."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ConceptNameCodeSequence = [codes.code_item(codes.SOURCE)]
    item.ReferencedSOPSequence = [image_reference(candidate.source, candidate.measurement.frame)]
    return item


def _summary(report: ReportInput, age: Dataset | None, said: Sequence[str]) -> Dataset:
    """TID 5002. What it says of the pregnancy is what header or machine's report said; nothing is made up."""
    children: list[Dataset] = []
    stated = _stated_date(report)
    if stated is not None:
        children.append(stated)
    children += [content.comment(wording.AI_NOT_VERIFIED), content.comment(wording.RESEARCH_USE)]
    children += map(content.comment, said)
    if age is not None:
        children.append(_container(codes.FETUS_SUMMARY, [age], "5003"))
    return _container(codes.SUMMARY, children, "5002")


def _stated_date(report: ReportInput) -> DateContentItem | None:
    """The date behind the independent age as it was sent, only where the age by it was believed."""
    growth = report.measurement.growth
    if not isinstance(growth, Growth):
        return None
    age = growth.independent
    told = f"{age.stated:%Y%m%d}" if age.stated is not None else None
    if age.source is AgeSource.LAST_MENSTRUAL_DATE:
        told = da_of(report.source, "LastMenstrualDate")
    name = codes.AGE_DATE_CODES[age.source]
    return None if told is None else DateContentItem(name, told, RelationshipTypeValues.CONTAINS)


def _independent_age(growth: Growth) -> Dataset:
    age = growth.independent
    return content.number(codes.AGE_SOURCE_CODES[age.source], str(age.days), codes.DAY)[0]


def _biometry(report: ReportInput, candidates: Sequence[Candidate], age: Dataset | None) -> Section:
    """TID 5005: a group for each type of measurement, because one group may not mix them (PS3.17 I.6)."""
    own, head = candidates[0], report.measurement
    axes = axes_px(head.ellipse, head.spacing_mm)
    bpd = _measured(codes.BIPARIETAL_DIAMETER, head.bpd_mm, _along(own, axes.bpd))
    ofd = _measured(codes.OCCIPITAL_FRONTAL_DIAMETER, head.ofd_mm, _along(own, axes.ofd))
    circumference = _circumference(report, candidates, age)
    groups = [
        circumference.item,
        _group([bpd, content.comment(wording.BPD_OUTER)]),
        _group([ofd, content.comment(wording.OFD_OUTER)]),
    ]
    return Section(_container(codes.FETAL_BIOMETRY, groups, "5005"), circumference.links)


def _circumference(report: ReportInput, candidates: Sequence[Candidate], age: Dataset | None) -> Section:
    """TID 5008 for HC: every measurement, then one age and one rank, both of the selected measurement."""
    head = report.measurement
    among_others = len(candidates) > 1
    children = [_hc(report, each, selected=among_others and each is candidates[0]) for each in candidates]
    links = []
    if head.age.days is not None:
        by_hc = content.gestational_age(head.age)[0]
        links.append(Link(by_hc, children[0]))
        children.append(by_hc)
    rank = _rank(head.growth) if isinstance(head.growth, Growth) else None
    if rank is not None and age is not None:
        links.append(Link(rank, age))
        children.append(rank)
    children += map(content.comment, wording.hc_comments(report))
    return Section(_group(children), tuple(links))


def _hc(report: ReportInput, candidate: Candidate, selected: bool) -> Dataset:
    head = candidate.measurement
    spoken = replace(report, model=candidate.model or report.model)
    qualities: list[ContentItem] = [*content.algorithm(spoken, head), *content.hc_uncertainty(head)]
    if selected:
        qualities.append(
            CodeContentItem(codes.SELECTION_STATUS, codes.CHOSEN_BY_SOFTWARE, RelationshipTypeValues.HAS_PROPERTIES)
        )
    outline = _selected_from(candidate, content.outline_scoord(head.ellipse))
    return _measured(codes.HEAD_CIRCUMFERENCE, head.hc_mm, outline, qualities)


def _rank(growth: Growth) -> Dataset | None:
    """TID 5008 row 7, of which there is at most one: by a standard that has a published code, else by one of ours."""
    for size in sorted(growth.sizes, key=_has_private_code):
        if size.at is not None:
            return _rank_by(size.standard, size.at)
    return None


def _has_private_code(size: SizeForAge) -> bool:
    return codes.STANDARD_CODES[size.standard].scheme_designator == codes.PRIVATE_SCHEME


def _rank_by(standard: str, at: Standing) -> Dataset:
    if wording.is_rank(at):
        made = content.number(codes.GROWTH_PERCENTILE_RANK, wording.tenths(at.percentile), codes.PERCENT)
    else:
        made = content.number(codes.GROWTH_Z_SCORE, wording.z_score(at.z_score), codes.NO_UNITS)
    citation = STANDARDS[standard].citation
    content.qualify(made, content.inferred_from(codes.STANDARD_CODES[standard], citation))
    return made[0]


def _measured(name: Code, value_mm: float, where: ContentItem, qualities: Sequence[ContentItem] = ()) -> Dataset:
    """TID 300: what it is, what qualifies it, and where on which image it was measured."""
    made = content.number(name, wording.tenths(value_mm), codes.MILLIMETRE)
    content.qualify(made, [*qualities, where])
    return made[0]


def _along(candidate: Candidate, ends: tuple[Point, Point]) -> ContentItem:
    return _selected_from(candidate, np.array(ends) + content.FIRST_PIXEL_CENTRE)


def _selected_from(candidate: Candidate, points: Points) -> ContentItem:
    """TID 320: coordinates, selected from the image and its frame."""
    image = content.source_image(candidate.source, candidate.measurement.frame)
    return CoordinatesForMeasurement(GraphicTypeValues.POLYLINE, points, image)


def _group(children: Sequence[Dataset]) -> Dataset:
    return _container(codes.BIOMETRY_GROUP, children, "5008")


def _container(name: Code, children: Sequence[Dataset], template: str | None = None) -> Dataset:
    """A CONTAINER inside another one; highdicom's takes no item without a concept name and none by reference."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ContinuityOfContent = "CONTAINS", "CONTAINER", "SEPARATE"
    item.ConceptNameCodeSequence = [codes.code_item(name)]
    if template is not None:
        identification = Dataset()
        identification.MappingResource, identification.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [identification]
    item.ContentSequence = [*children]
    return item


def _refer(link: Link, root: Dataset) -> None:
    """Put the by-reference item (PS3.3 C.17.3.2.5) where TID 5008 has it: after what else the number is inferred from.

    No path leads through a number that was derived, so that none of them changes.
    """
    item = Dataset()
    item.RelationshipType = "INFERRED FROM"
    item.ReferencedContentItemIdentifier = path_to(link.origin, root)
    children = [*(link.derived.get("ContentSequence") or ())]
    children.insert(sum(child.RelationshipType == "INFERRED FROM" for child in children), item)
    # not by attribute: that of a highdicom item takes only items with a value
    link.derived[CONTENT] = DataElement(CONTENT, "SQ", children)


def path_to(target: Dataset, root: Dataset) -> list[int]:
    """Referenced Content Item Identifier (0040,DB73): the root is 1, then positions from 1 at each level.

    Raises:
        ValueError: the item is not in the tree.
    """
    for position, child in enumerate(root.get("ContentSequence") or (), 1):
        if child is target:
            return [1, position]
        with suppress(ValueError):
            return [1, position, *path_to(target, child)[1:]]
    raise ValueError("the item is not in the tree")
