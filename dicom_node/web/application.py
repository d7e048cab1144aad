"""Puts the parts of the console together."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from dicom_node import __version__
from dicom_node.web.access import check_csrf
from dicom_node.web.api import fhir, measure, node, studies, work
from dicom_node.web.api import setup as setup_api
from dicom_node.web.console import Console
from dicom_node.web.gate import Gate
from dicom_node.web.limits import BodyLimit
from dicom_node.web.pages import answer_errors
from dicom_node.web.routers import closer, dicomweb, home, models, monitoring, oidc, setup, sign_in, trying, users
from dicom_node.web.routers import studies as study_pages
from dicom_node.web.routers import work as work_pages

STATIC = Path(__file__).parent / "static"
ROUTERS: tuple[APIRouter, ...] = (
    *(sign_in.router, oidc.router, home.router, monitoring.router),
    *(study_pages.router, work_pages.router, trying.router, models.router, users.router),
    *(setup.router, closer.router),
    *(studies.router, work.router, fhir.router, node.router, setup_api.router, measure.router),
    dicomweb.router,
)
_MEGABYTE = 1024 * 1024


def build_app(console: Console) -> FastAPI:
    """The application; every route but static files behind the gate and its check of CSRF tokens."""
    app = FastAPI(
        title="Fetal HC Node",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        dependencies=[Depends(check_csrf)],
    )
    app.state.console = console
    app.add_middleware(BodyLimit, upload_bytes=console.config.web.upload_mb * _MEGABYTE)
    app.add_middleware(Gate, console=console)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in ROUTERS:
        app.include_router(router)
    answer_errors(app)
    return app
