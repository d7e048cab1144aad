"""A closer look at an image that was received: what the network saw in it, and where it is in doubt; not kept."""

from __future__ import annotations

import shutil
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from dicom_node.errors import Refused
from dicom_node.trial.asked import TrialAsked
from dicom_node.web import seen
from dicom_node.web.access import User
from dicom_node.web.api.parameters import RowId
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import Missing, go
from dicom_node.web.routers.sign_in import host_of

router = APIRouter(include_in_schema=False)

Shared = Annotated[Console, Depends(console_of)]


@router.post("/instances/{instance_id}/closer")
def look_closer(request: Request, console: Shared, caller: User, instance_id: RowId) -> Response:
    """As on the page where pictures are tried out, and as short-lived: the stored answer stays what it is."""
    try:
        instance = console.repository.instance(instance_id)
    except Refused as error:
        raise Missing(str(error)) from error
    seen.note_study(console, caller, host_of(request), instance.study_instance_uid)
    folder = console.shelf.open()
    try:
        told = console.desk.ask(TrialAsked(file=console.data_dir / instance.path, name=f"#{instance.id}", out=folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    trial = console.shelf.put(folder, caller.name, {**told, "title": f"#{instance.id}"})
    return go(request, f"/try/{trial.key}")
