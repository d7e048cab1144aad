"""What is asked of the process that looks, and the words that both sides share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from dicom_node.section import Section

Millimetres = Annotated[float, Field(gt=0, le=100)]

ANSWER = "answer"
"""Key of the child's line: the answer of `measure`, or what a trial found."""

ERROR = "error"
"""Key of the child's line: it refused, by name."""


class Settings(Section):
    """Of one look. `model` None: the configured one; `level` None: the model's own probability of the outline."""

    model: str | None = None
    level: Annotated[float, Field(gt=0, lt=1)] | None = None


class Asked(Section):
    """A file to be measured, as `dicom-node measure` would.

    `name`: what its sender calls it; `row_mm`, `column_mm`: mm per pixel, for pictures that carry no scale.
    """

    file: Path
    name: str | None = None
    row_mm: Millimetres | None = None
    column_mm: Millimetres | None = None
    settings: Settings = Settings()


class TrialAsked(Asked):
    """A file to be shown, too: looked at once for each of `looks`; what a page needs is written into `out`.

    `truth`: a picture whose bright pixels are the head, or its outline, as somebody drew it. `example`: number of a
    made-up scene in place of a file. `sweep`: a cine is made of the still, with that share of spoilt frames. `worded`:
    the configured language model words the page of the report, as it does for the node's own.
    """

    out: Path
    looks: tuple[Settings, ...] = (Settings(),)
    truth: Path | None = None
    example: int | None = None
    sweep: Annotated[float, Field(ge=0, le=0.75)] | None = None
    worded: bool = False
