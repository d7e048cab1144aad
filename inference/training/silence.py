"""Does the node stay silent where there is no head? Every family by its count, and what a count of nought promises."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import beta

from inference.domain import CalibrationSource, Finding, Frame, Measurement, Region, RegionPx
from inference.examine import Examiner
from inference.training.challenge import Annotated, Split, read_challenge, split_of
from inference.training.negatives import HELD_OUT, TRAINED_ON, NonHead, drawn, from_heads, photographs
from inference.training.tables import table

CONFIDENCE = 0.95
RULE_OF_THREE = 3.0
NAMED = 20
"""How many of the pictures that got a number are named."""

PAGE = "non-heads"


@dataclass(frozen=True, slots=True)
class NegativeRow:
    """What the product said of one picture without a head; `hc_mm` is None where it gave no number."""

    family: str
    name: str
    reason: str
    hc_mm: float | None


@dataclass(frozen=True, slots=True)
class FamilyCount:
    """One family: pictures, numbers among them, and the upper 95 % bound of the share that would get a number."""

    family: str
    pictures: int
    numbers: int
    bound: float
    reasons: Mapping[str, int]

    @property
    def part(self) -> str:
        """What the family had to do with the making of the model."""
        if self.family in HELD_OUT:
            return "held out"
        return "other families of its kind trained" if self.family in TRAINED_ON else "looked at for limits"


def all_non_heads(data: Path, count: int) -> Iterable[NonHead]:
    """`count` of each drawn family, `count` heads shuffled and erased, and every picture on this machine.

    Heads come from images whose exams are no test exams of the first split, so that those stay closed.
    """
    yield from drawn(count)
    yield from from_heads(_open_images(data)[:count])
    yield from photographs()


def _open_images(data: Path) -> list[Annotated]:
    return [image for image in read_challenge(data) if split_of(image.exam) is not Split.TEST]


def judge_negatives(examiner: Examiner, pictures: Iterable[NonHead]) -> list[NegativeRow]:
    """What the node's own examiner says of each, told a scale at which an outline would be as large as a head."""
    return [_row(picture, _examined(examiner, picture)) for picture in pictures]


def _examined(examiner: Examiner, picture: NonHead) -> Finding:
    rows, columns = picture.luminance.shape
    region = Region(RegionPx(0, 0, columns - 1, rows - 1), picture.spacing, CalibrationSource.GIVEN)
    return examiner.examine_region(Frame(1, picture.luminance, (region,)), region)


def _row(picture: NonHead, finding: Finding) -> NegativeRow:
    if isinstance(finding, Measurement):
        return NegativeRow(picture.family, picture.name, "", finding.hc_mm)
    return NegativeRow(picture.family, picture.name, str(finding.reason), None)


def tally(rows: Sequence[NegativeRow]) -> list[FamilyCount]:
    """One count per family, in the order in which they came."""
    families = dict.fromkeys(row.family for row in rows)
    return [_count(family, [row for row in rows if row.family == family]) for family in families]


def _count(family: str, rows: Sequence[NegativeRow]) -> FamilyCount:
    numbers = sum(row.hc_mm is not None for row in rows)
    reasons = Counter(row.reason for row in rows if row.hc_mm is None)
    return FamilyCount(family, len(rows), numbers, upper_bound(numbers, len(rows)), dict(reasons.most_common()))


def upper_bound(numbers: int, pictures: int) -> float:
    """Upper bound of the share, 95 % one-sided: 3 / n for none (Hanley & Lippman-Hand 1983, JAMA 249:1743), else exact.

    The exact bound is Clopper's and Pearson's (1934, Biometrika 26:404).
    """
    if numbers == 0:
        return min(1.0, RULE_OF_THREE / pictures)
    return 1.0 if numbers == pictures else float(beta.ppf(CONFIDENCE, numbers + 1, pictures - numbers))


def write_non_heads(out: Path, rows: Sequence[NegativeRow], facts: Mapping[str, Any]) -> str:
    """Write `out/non-heads.json` and `.md`; returns the headline. `facts`: model, sha256, calibration_sha256."""
    out.mkdir(parents=True, exist_ok=True)
    counts = tally(rows)
    named = [f"{row.family}: {row.name}" for row in rows if row.hc_mm is not None]
    record = {
        **facts,
        "pictures": len(rows),
        "numbers": len(named),
        "bound": upper_bound(len(named), len(rows)),
        "families": [_told(count) for count in counts],
        "with_a_number": named[:NAMED],
    }
    (out / f"{PAGE}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = "\n".join(_page(record, counts)).rstrip() + "\n"
    (out / f"{PAGE}.md").write_text(text, encoding="utf-8")
    return f"{len(named)} numbers on {len(rows)} pictures without a head"


def _told(count: FamilyCount) -> dict[str, Any]:
    return {
        "family": count.family,
        "part": count.part,
        "pictures": count.pictures,
        "numbers": count.numbers,
        "bound": round(count.bound, 5),
        "reasons": dict(count.reasons),
    }


def _by_part(counts: Sequence[FamilyCount]) -> list[str]:
    """A bound over all pictures mixes what training has seen with what it has not: each part has its own."""
    lines = []
    for part in dict.fromkeys(count.part for count in counts):
        pictures = sum(count.pictures for count in counts if count.part == part)
        numbers = sum(count.numbers for count in counts if count.part == part)
        lines.append(f"- {part}: {numbers} of {pictures}, below {upper_bound(numbers, pictures):.2%}")
    return lines


def _page(record: Mapping[str, Any], counts: Sequence[FamilyCount]) -> list[str]:
    body = [
        [
            count.family,
            count.part,
            str(count.pictures),
            str(count.numbers),
            f"{count.bound:.2%}",
            ", ".join(f"`{reason}` {number}" for reason, number in count.reasons.items()),
        ]
        for count in counts
    ]
    named = [f"- {name}" for name in record["with_a_number"]]
    return [
        "# Pictures without a head",
        "",
        "Written by `dicom-node evaluate --non-heads`; not edited by hand.",
        "",
        f"Model {record['model']}, weights `{record['sha256'][:16]}…`: {record['numbers']} numbers on "
        f"{record['pictures']} pictures; the share is below {record['bound']:.2%} (95 %, pictures like these). "
        "Each was given a scale at which an outline in it has the size of a head, so that size alone stops nothing.",
        "",
        *table([["family", "part in the model", "pictures", "numbers", "share below", "why no number"], *body]),
        "",
        "By the part that they had in the making of the model:",
        "",
        *_by_part(counts),
        "",
        "The bound is 3/n where there is no number, else the exact one. Drawn bodies are phantoms: they say how the "
        "node answers pictures of their kind, not how often it would be wrong on real abdomens. Photographs are the "
        "pictures that happen to lie on the machine of the run, icons and diagrams included.",
        "",
        *(["Pictures that got a number:", "", *named, ""] if named else []),
    ]
