"""Model cards and the evaluation, as they stand beside the software, to be read in the console."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from dicom_node.errors import ModelRefused
from dicom_node.web.access import User
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import Missing, render
from inference.domain import ModelError
from inference.models import ModelEntry, read_manifest

router = APIRouter(prefix="/models", include_in_schema=False)

Shared = Annotated[Console, Depends(console_of)]

EVALUATION = Path(__file__).resolve().parents[3] / "docs" / "evaluation"
"""Not part of an installed package: where it is absent the page says so."""

PAGES = {"README.md": "/models/evaluation", "non-heads.md": "/models/evaluation/non-heads"}
_TYPES = {".png": "image/png", ".csv": "text/csv"}
_HERE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.(png|csv)")
"""Below the folder: no dot leads up, no slash at the beginning leads anywhere else."""


@router.get("")
def show_models(request: Request, _caller: User, console: Shared) -> Response:
    entries = _manifest(console)
    usual = console.config.inference.model
    return render(request, "models.html", entries=entries, usual=usual, evaluation=(EVALUATION / "README.md").is_file())


@router.get("/cards/{name}")
def show_card(request: Request, _caller: User, console: Shared, name: str) -> Response:
    entry = next((entry for entry in _manifest(console) if entry.name == name), None)
    card = None if entry is None else console.config.weights / entry.card
    if card is None or not card.is_file():
        raise Missing
    return _page(request, card)


@router.get("/evaluation")
def show_evaluation(request: Request, _caller: User) -> Response:
    return _page(request, EVALUATION / "README.md")


@router.get("/evaluation/non-heads")
def show_non_heads(request: Request, _caller: User) -> Response:
    return _page(request, EVALUATION / "non-heads.md")


@router.get("/evaluation/files/{name:path}")
def evaluation_file(_caller: User, name: str) -> Response:
    """Pictures and tables of the evaluation; nothing else lies there that a page refers to."""
    path = EVALUATION / name
    if not _HERE.fullmatch(name) or not path.is_file():
        raise Missing
    return FileResponse(path, media_type=_TYPES[path.suffix])


def _manifest(console: Console) -> tuple[ModelEntry, ...]:
    """Raises ModelRefused."""
    try:
        return read_manifest(console.config.weights)
    except ModelError as error:
        raise ModelRefused(str(error)) from error


def _page(request: Request, path: Path) -> Response:
    """Raises Missing: it is no part of this installation."""
    if not path.is_file():
        raise Missing
    text = path.read_text(encoding="utf-8")
    title, _, _ = text.removeprefix("# ").partition("\n")
    page = rendered(text)
    body = Markup(page)  # noqa: S704  see rendered  # nosec B704
    return render(request, "document.html", title=title, body=body)


def rendered(text: str) -> str:
    """HTML of a page of ours. HTML in it is shown as text; what leads out of the evaluation leads nowhere here."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in _all_of(tokens):
        for name in ("href", "src"):
            target = token.attrGet(name)
            if target is not None:
                token.attrSet(name, _address(str(target)))
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html


def _all_of(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all_of(token.children or ())


def _address(target: str) -> str:
    if target.startswith(("https://", "#")):
        return target
    if target in PAGES:
        return PAGES[target]
    return f"/models/evaluation/files/{target}" if _HERE.fullmatch(target) else "/models"
