"""The first page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_node.web.access import User
from dicom_node.web.pages import render

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, _caller: User) -> Response:
    return render(request, "home.html")
