"""How rules are written in config.yaml; what they mean is in routing.py."""

from __future__ import annotations

import ipaddress
import math
from typing import Annotated, Any

import pydicom.uid
from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node import routing
from dicom_node.domain import Action, Priority, ResultKind
from dicom_node.part10 import PIXEL_DATA_GROUP
from dicom_node.routing import AllOf, AnyOf, ComesFrom, Condition, IsPresent, Matches, Not, Rule, Within
from dicom_node.section import Section

LONGEST_PATTERN = 256

_NOT_TEXT = frozenset({"SQ", "OB", "OW", "OD", "OF", "OL", "OV", "UN", "OB or OW", "AT"})


def _as_list(given: Any) -> Any:
    """One pattern may stand alone; a number is its digits."""
    listed = given if isinstance(given, list | tuple) else [given]
    return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in listed]


def _sop_class(pattern: str) -> str:
    """A UID by the name that the standard gives it; anything with a digit or wildcard in front is left as it is."""
    if pattern[0].isdigit() or "*" in pattern or "?" in pattern:
        return pattern
    uid = getattr(pydicom.uid, pattern, None)
    if not isinstance(uid, pydicom.uid.UID) or uid.type != "SOP Class":
        raise ValueError(f"{pattern} is neither a UID nor the keyword of a SOP class, as in UltrasoundImageStorage")
    return str(uid)


Pattern = Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_as_list), Field(min_length=1)]


class TagTest(Section):
    """What else may be asked about an attribute than what it looks like."""

    present: bool | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _asks_one_thing(self) -> TagTest:
        limits = [limit for limit in (self.at_least, self.at_most) if limit is not None]
        if (self.present is None) == (not limits):
            raise ValueError("say `present: true` or `false`, or limits by `at_least`, `at_most` or both")
        if not all(map(math.isfinite, limits)):
            raise ValueError("a limit is a number")
        return self

    def condition(self, keyword: str) -> Condition:
        if self.present is not None:
            return IsPresent(keyword, self.present)
        return Within(keyword, self.at_least, self.at_most)


class ConditionEntry(Section):
    """What has to hold; where several keys stand together, all of them. Of a list one pattern is enough."""

    calling_ae: Patterns | None = None
    called_ae: Patterns | None = None
    host: Patterns | None = None
    sop_class: Patterns | None = None
    modality: Patterns | None = None
    body_part: Patterns | None = None
    study_description: Patterns | None = None
    series_description: Patterns | None = None
    manufacturer: Patterns | None = None
    model_name: Patterns | None = None
    tags: dict[str, TagTest | Patterns] = Field(default_factory=dict)
    all_of: tuple[ConditionEntry, ...] | None = Field(None, alias="all", min_length=1)
    any_of: tuple[ConditionEntry, ...] | None = Field(None, alias="any", min_length=1)
    none_of: ConditionEntry | None = Field(None, alias="not")

    @field_validator("host")
    @classmethod
    def _networks(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for host in hosts or ():
            ipaddress.ip_network(host, strict=False)
        return hosts

    @field_validator("sop_class")
    @classmethod
    def _uids(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if patterns is None else tuple(map(_sop_class, patterns))

    @field_validator("tags")
    @classmethod
    def _keywords(cls, tags: dict[str, TagTest | Patterns]) -> dict[str, TagTest | Patterns]:
        for keyword in tags:
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise ValueError(f"{keyword} is no keyword of the DICOM dictionary, as in ProtocolName")
            if dictionary_VR(tag) in _NOT_TEXT or tag >> 16 >= PIXEL_DATA_GROUP or tag >> 16 == 0x0002:
                raise ValueError(f"{keyword} holds no text or number that a rule could look at")
        return tags

    def condition(self) -> Condition:
        """As a tree; a condition of one part is that part."""
        parts: list[Condition] = []
        for name, fact in _FACTS.items():
            patterns = getattr(self, name)
            if patterns is not None:
                parts.append(ComesFrom(patterns) if fact == routing.HOST else Matches(fact, patterns))
        for keyword, test in self.tags.items():
            parts.append(test.condition(keyword) if isinstance(test, TagTest) else Matches(keyword, test))
        if self.all_of is not None:
            parts.append(AllOf(tuple(one.condition() for one in self.all_of)))
        if self.any_of is not None:
            parts.append(AnyOf(tuple(one.condition() for one in self.any_of)))
        if self.none_of is not None:
            parts.append(Not(self.none_of.condition()))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


_FACTS = {
    "calling_ae": routing.CALLING_AE,
    "called_ae": routing.CALLED_AE,
    "host": routing.HOST,
    "sop_class": "SOPClassUID",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "study_description": "StudyDescription",
    "series_description": "SeriesDescription",
    "manufacturer": "Manufacturer",
    "model_name": "ManufacturerModelName",
}


class RuleEntry(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="short name, used in logs and by the CLI")
    when: ConditionEntry = Field(ConditionEntry(), description="what has to hold; {} holds always")
    action: Action | None = Field(None, description="usual, measure (secondary captures too) or ignore; null: not said")
    model: str | None = Field(None, description="name of a model in weights/manifest.json; null: inference.model")
    priority: Priority | None = Field(None, description="urgent, normal or low; null: not said")
    send: dict[str, tuple[ResultKind, ...] | None] | None = Field(
        None, description="destination (or sender): objects, null for what it lists; {} for nowhere; null: not said"
    )

    def rule(self) -> Rule:
        return Rule(self.name, self.when.condition(), self.action, self.model, self.priority, self.send)
