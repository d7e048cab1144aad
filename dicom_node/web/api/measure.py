"""`dicom-node measure` for a file that is sent along; nothing of it is kept."""

from __future__ import annotations

import shutil
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from dicom_node.trial.asked import Asked, Millimetres, Settings
from dicom_node.web.access import User
from dicom_node.web.api.documents import Answer
from dicom_node.web.api.parameters import Shared, refusals
from dicom_node.web.uploads import called, lying_in

router = APIRouter(prefix="/api/v1", tags=["measure"], responses=refusals(409, 413))

ModelName = Annotated[
    str | None, Form(pattern=r"^[A-Za-z0-9_.-]{1,80}$", description="of the manifest; none: the usual one")
]
Level = Annotated[
    float | None,
    Form(gt=0, lt=1, description="probability of the outline; none: the model's own, else there is no interval"),
]
PerPixel = Annotated[Millimetres | None, Form(description="mm per pixel, for a picture that carries no scale")]


@router.post("/measure", summary="Measure a DICOM, PNG or JPEG file; abstaining is an answer")
def measure(  # noqa: PLR0913, PLR0917  the fields of the form
    _caller: User,
    console: Shared,
    file: Annotated[UploadFile, File(description="still or cine")],
    row_mm: PerPixel = None,
    column_mm: PerPixel = None,
    model: ModelName = None,
    threshold: Level = None,
) -> Answer:
    folder = console.shelf.open()
    try:
        with lying_in(folder, file) as path:
            settings = Settings(model=model, level=threshold)
            asked = Asked(file=path, name=called(file), row_mm=row_mm, column_mm=column_mm, settings=settings)
            return console.desk.ask(asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
