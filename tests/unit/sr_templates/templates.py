"""Rows of PS3.16's templates as data, and what of a content tree does not keep to them.

TID 5000, 5002 and 5008 as printed (2025e, 2020a); 5003, 5004 and 5005 by analogy with 5006 where no print was at hand;
of TID 300, 310, 315, 320, 1001, 1410, 1419, 1500, 1501, 4019 and 4108 what our reports use. All of these templates are
extensible, and the order of the rows of TID 5000 counts; `EXTENSIONS` are what we add, so that nothing else slips in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from sr_templates.codes import PRIVATE_SCHEME

MANY = 1_000
Names = frozenset[tuple[str, str]]
"""(code value, scheme)."""


def dcm(*values: str) -> Names:
    return frozenset((value, "DCM") for value in values)


def ln(*values: str) -> Names:
    return frozenset((value, "LN") for value in values)


def cid(number: int) -> Names:
    """All codes of a context group, from pydicom's dictionary."""
    groups = cid_concepts[number]
    return frozenset(
        (value, scheme) for scheme, words in groups.items() for w in words for value in concepts[scheme][w]
    )


SOURCE: Names = frozenset({("260753009", "SCT")})


GROUP = "as the item says"
"""The template of a measurement group: that which its Content Template Sequence (0040,A504) names."""

UNORDERED = frozenset({"1410", "1501", "1419"})
"""Groups that highdicom writes; their rows are not held to an order."""


def ours(*values: str) -> Names:
    return frozenset((value, PRIVATE_SCHEME) for value in values)


MEASURED = cid(12004) | cid(12005) | cid(12017) | cid(12019) | ours("HC-AI-OPERATOR", "GA-BY-EDD")
"""What a measurement may be of; the templates leave it open."""


@dataclass(frozen=True)
class Row:
    """One row. `names` None: no concept name; `template` is what the item's own children keep to."""

    relationship: str
    value_type: str
    names: Names | None
    least: int = 0
    most: int = MANY
    template: str = ""
    values: Names | None = None
    units: Names | None = None


CONTEXT = (
    Row("HAS CONCEPT MOD", "CODE", dcm("121049"), most=1),  # TID 1204
    Row("HAS OBS CONTEXT", "CODE", dcm("121005"), 1, 1, values=cid(270)),  # TID 1001 > 1002
    Row("HAS OBS CONTEXT", "UIDREF", dcm("121012"), 1, 1),  # TID 1004
    Row("HAS OBS CONTEXT", "TEXT", dcm("121013"), most=1),
    Row("HAS OBS CONTEXT", "TEXT", dcm("121014"), most=1),
    Row("HAS OBS CONTEXT", "TEXT", dcm("121015"), most=1),
    Row("HAS OBS CONTEXT", "TEXT", dcm("121016"), most=1),
    Row("HAS OBS CONTEXT", "CODE", dcm("121024"), most=1, values=cid(271)),  # TID 1006
    Row("HAS OBS CONTEXT", "TEXT", dcm("121030"), most=1),  # TID 1008
)
ALGORITHM = (
    Row("HAS CONCEPT MOD", "TEXT", dcm("111001", "111002", "111003", "122405")),  # TID 4019
    Row("HAS CONCEPT MOD", "CODE", dcm("111000"), values=cid(7162)),
)
TRACKED = (
    Row("HAS OBS CONTEXT", "TEXT", dcm("112039"), 1, 1),  # TID 4108
    Row("HAS OBS CONTEXT", "UIDREF", dcm("112040"), 1, 1),
    Row("CONTAINS", "CODE", dcm("121071"), most=1),
    Row("HAS CONCEPT MOD", "CODE", frozenset({("363698007", "SCT")}), values=cid(4)),
    *ALGORITHM,
    Row("CONTAINS", "NUM", MEASURED, template="1419"),
)
"""What a measurement group of TID 1410 and one of TID 1501 have in common."""

TEMPLATES: dict[str, tuple[Row, ...]] = {
    "1500": (
        *CONTEXT,
        Row("HAS CONCEPT MOD", "CODE", dcm("121058"), 1, values=cid(12024)),
        Row("CONTAINS", "CONTAINER", dcm("126010"), most=1, template="126010"),
    ),
    "126010": (Row("CONTAINS", "CONTAINER", dcm("125007"), 1, template=GROUP),),
    "1410": (
        *TRACKED,
        Row("CONTAINS", "CODE", dcm("130400"), most=1, values=cid(219)),
        Row("CONTAINS", "SCOORD", dcm("111030"), 1, 1, template="320"),
    ),
    "1501": (
        *TRACKED,
        Row("CONTAINS", "CODE", ours("WHY-NO-HC"), 1, 1, values=frozenset()),
        Row("CONTAINS", "IMAGE", cid(7551), 1),
    ),
    "1419": (  # > 300, 310, 315, 320
        Row("HAS PROPERTIES", "NUM", cid(225) | cid(226)),
        Row("INFERRED FROM", "CODE", cid(228), most=1, values=cid(12013) | cid(12015)),
        Row("INFERRED FROM", "TEXT", dcm("121421"), most=1),
        Row("INFERRED FROM", "NUM", MEASURED),
        Row("INFERRED FROM", "IMAGE", dcm("121112"), most=1),
    ),
    "5000": (
        *CONTEXT,
        Row("CONTAINS", "CONTAINER", dcm("111028"), most=1, template="library"),
        Row("CONTAINS", "CONTAINER", dcm("121111"), most=1, template="5002"),
        Row("CONTAINS", "CONTAINER", dcm("125001"), template="5004"),
        Row("CONTAINS", "CONTAINER", dcm("125002"), template="5005"),
    ),
    "library": (Row("CONTAINS", "IMAGE", SOURCE, 1),),  # the row has no name, and forbids none
    "5002": (
        Row("CONTAINS", "DATE", cid(12003)),
        Row("CONTAINS", "NUM", cid(12018), template="300"),
        Row("CONTAINS", "TEXT", dcm("121106")),
        Row("CONTAINS", "CONTAINER", dcm("125008"), template="5003"),
    ),
    "5003": (Row("CONTAINS", "NUM", cid(12019), template="300"),),
    "5004": (Row("CONTAINS", "NUM", cid(12004), 1, template="300"),),
    "5005": (Row("CONTAINS", "CONTAINER", dcm("125005"), 1, template="5008"),),
    "5008": (
        Row("CONTAINS", "NUM", cid(12005), template="300"),
        Row("CONTAINS", "NUM", ln("18185-9"), most=1, template="5008 row 3", units=frozenset({("d", "UCUM")})),
        Row("CONTAINS", "NUM", cid(12017), most=1, template="5008 row 7"),
    ),
    "5008 row 3": (
        Row("INFERRED FROM", "CODE", cid(228), most=1, values=cid(12013)),
        Row("R-INFERRED FROM", "NUM", None),
        Row("HAS PROPERTIES", "NUM", cid(226)),
    ),
    "5008 row 7": (Row("INFERRED FROM", "CODE", cid(228), most=1, values=cid(12015)),),
    "300": (
        Row("HAS PROPERTIES", "NUM", cid(225)),  # TID 310 > 311
        Row("HAS PROPERTIES", "CODE", dcm("121404"), most=1, values=cid(224)),  # TID 310
        Row("INFERRED FROM", "SCOORD", SOURCE, template="320"),
    ),
    "320": (Row("SELECTED FROM", "IMAGE", SOURCE, 1, 1),),
}

EXTENSIONS: dict[str, tuple[Row, ...]] = {
    "5008": (Row("CONTAINS", "TEXT", dcm("121106")),),
    "5008 row 3": (Row("INFERRED FROM", "TEXT", dcm("121421")),),
    "5008 row 7": (Row("R-INFERRED FROM", "NUM", None),),  # PS3.17 I.6
    "1410": (Row("CONTAINS", "TEXT", dcm("121106")),),
    "1501": (Row("CONTAINS", "TEXT", dcm("121106")),),
    "300": (
        *ALGORITHM,
        Row("R-INFERRED FROM", "NUM", None),
    ),
}


def violations(root: Dataset, template: str = "5000") -> list[str]:
    """What in the tree does not keep to the rows, one line each."""
    return [*_violations(root, template, root)]


def _violations(parent: Dataset, template: str, root: Dataset) -> Iterator[str]:
    rows, counts, at = TEMPLATES.get(template, ()), [0] * len(TEMPLATES.get(template, ())), 0
    for child in parent.get("ContentSequence") or ():
        told = f"{template}: {_told(child, root)}"
        if any(_fits(child, row, root) for row in EXTENSIONS.get(template, ())):
            continue
        found = [number for number, row in enumerate(rows) if _fits(child, row, root)]
        if not found:
            yield f"{told} is in no row"
            continue
        if found[0] < at and template not in UNORDERED:
            yield f"{told} comes too late"
        at = found[0]
        counts[at] += 1
        yield from _values(child, rows[at], told)
        below = rows[at].template
        if below == GROUP:
            below = str(child.ContentTemplateSequence[0].TemplateIdentifier)
        yield from _violations(child, below, root)
    for row, count in zip(rows, counts, strict=True):
        if not row.least <= count <= row.most:
            yield f"{template}: {count} of {row.relationship} {row.value_type}"
    if template == "5008" and not counts[0] + counts[1]:
        yield f"{template}: neither row 2 nor row 3"


def _values(item: Dataset, row: Row, told: str) -> Iterator[str]:
    if row.values is not None:
        code = _triple(item.ConceptCodeSequence[0])
        if code not in row.values and code[1] != PRIVATE_SCHEME:
            yield f"{told} has a value outside its group: {code}"
    if (
        row.units is not None
        and _triple(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]) not in row.units
    ):
        yield f"{told} has other units"


def _fits(item: Dataset, row: Row, root: Dataset) -> bool:
    if "ReferencedContentItemIdentifier" in item:
        return (row.relationship, row.value_type) == (
            f"R-{item.RelationshipType}",
            _target_type(item, root),
        )
    name = item.get("ConceptNameCodeSequence")
    named = name is None if row.names is None else name is not None and _triple(name[0]) in row.names
    return named and (row.relationship, row.value_type) == (item.RelationshipType, item.ValueType)


def target_of(item: Dataset, root: Dataset) -> Dataset:
    """The item that a by-reference item means. PS3.3 C.17.3.2.5: the first 1 is the root."""
    first, *path = item.ReferencedContentItemIdentifier
    assert first == 1
    for position in path:
        root = root.ContentSequence[position - 1]
    return root


def _target_type(item: Dataset, root: Dataset) -> str | None:
    try:
        return str(target_of(item, root).ValueType)
    except (AttributeError, IndexError):  # it points to nowhere, or to an item that is by reference itself
        return None


def _told(item: Dataset, root: Dataset) -> str:
    if "ReferencedContentItemIdentifier" in item:
        return f"R-{item.RelationshipType} {_target_type(item, root)}"
    name = item.get("ConceptNameCodeSequence")
    return f"{item.RelationshipType} {item.ValueType} {name[0].CodeValue if name else ''}"


def _triple(code: Dataset) -> tuple[str, str]:
    return str(code.CodeValue), str(code.CodingSchemeDesignator)
