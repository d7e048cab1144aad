"""Trying a picture out: drop it, choose how it is looked at, see what the network saw. Nothing of it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, Response
from pydantic import BeforeValidator, Field

from dicom_node.demo.study import SCENES, Scene
from dicom_node.trial.asked import Millimetres, Settings, TrialAsked
from dicom_node.trial.shelf import KEPT_S, SOURCE, Forgotten, Trial
from dicom_node.web.access import User
from dicom_node.web.console import Console, console_of
from dicom_node.web.pages import Missing, go, render
from dicom_node.web.texts import message
from dicom_node.web.uploads import called, lying_in
from inference.domain import REASON_TEXT, REMARK_TEXT, ModelError, Reason, Remark
from inference.models import ModelEntry, read_manifest

router = APIRouter(prefix="/try", include_in_schema=False)

Shared = Annotated[Console, Depends(console_of)]


def _empty(value: object) -> object:
    """What a form sends for a field that nobody filled in."""
    return None if value in ("", None) else value


PerPixel = Annotated[Millimetres | None, BeforeValidator(_empty), Form()]
Level = Annotated[Annotated[float, Field(gt=0, lt=1)] | None, BeforeValidator(_empty), Form()]
ModelName = Annotated[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")] | None, BeforeValidator(_empty), Form()]
Share = Annotated[Annotated[float, Field(ge=0, le=0.75)], BeforeValidator(lambda value: value or 0.0), Form()]
Example = Annotated[Annotated[int, Field(ge=0, lt=len(SCENES))] | None, BeforeValidator(_empty), Form()]

NOTHING_GIVEN = message("Choose a file or one of the examples.")
TITLES = {
    "report.pdf": message("Report as PDF"),
    "report.sr.dcm": message("Structured report, TID 1500"),
    "report.ob-gyn.sr.dcm": message("Structured report, TID 5000"),
}
LAYERS = {
    "attention.png": message("Attention"),
    "deviation.png": message("Uncertainty"),
    "truth.png": message("Agreement with the mask"),
}
_TYPES = {".png": "image/png", ".pdf": "application/pdf", ".dcm": "application/dicom"}


@dataclass(frozen=True, slots=True)
class Wish:
    """How it shall be looked at: by one model at one level or, with `compare`, by two; as a cine with `sweep`."""

    model: ModelName = None
    threshold: Level = None
    compare: Annotated[bool, Form()] = False
    other_model: ModelName = None
    other_threshold: Level = None
    sweep: Annotated[bool, Form()] = False
    spoilt: Share = 0.0
    worded: Annotated[bool, Form()] = False

    @property
    def looks(self) -> tuple[Settings, ...]:
        first = Settings(model=self.model, level=self.threshold)
        second = Settings(model=self.other_model, level=self.other_threshold)
        return (first, second) if self.compare else (first,)


@dataclass(frozen=True, slots=True)
class Look:
    """One look, as the page shows it."""

    answer: Mapping[str, Any]
    level: float | None
    layers: tuple[tuple[str, str], ...]
    downloads: tuple[tuple[str, str], ...]
    truth: Mapping[str, Any] | None
    reason: str
    remarks: tuple[str, ...]
    author: str | None


@router.get("")
def show_form(request: Request, caller: User, console: Shared) -> Response:
    return _form(request, caller.name, console)


@router.post("")
def try_out(  # noqa: PLR0913, PLR0917  the fields of the form
    request: Request,
    caller: User,
    console: Shared,
    wish: Annotated[Wish, Depends()],
    file: Annotated[UploadFile | None, File()] = None,
    truth: Annotated[UploadFile | None, File()] = None,
    row_mm: PerPixel = None,
    column_mm: PerPixel = None,
    example: Example = None,
) -> Response:
    if example is None and not _given(file):
        return _form(request, caller.name, console, NOTHING_GIVEN, 422)
    folder = console.shelf.open()
    try:
        with ExitStack() as lying:
            asked = TrialAsked(
                file=folder if file is None or example is not None else lying.enter_context(lying_in(folder, file)),
                name=None if file is None or example is not None else called(file),
                row_mm=row_mm,
                column_mm=row_mm if column_mm is None else column_mm,
                out=folder,
                looks=wish.looks,
                truth=lying.enter_context(lying_in(folder, truth, "truth")) if truth and _given(truth) else None,
                example=example,
                sweep=wish.spoilt if wish.sweep else None,
                worded=wish.worded and console.config.narrative.mode == "llm",
            )
            told = console.desk.ask(asked)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    title = _title(asked)
    facts = {"title": title, "sweep": asked.sweep is not None, "worded": asked.worded}
    trial = console.shelf.put(folder, caller.name, {**told, **facts})
    return go(request, f"/try/{trial.key}")


@router.get("/{key}")
def show(request: Request, caller: User, console: Shared, key: str) -> Response:
    trial = _found(console, key, caller.name)
    looks = [_look(look) for look in trial.told["looks"]]
    has_source = (trial.folder / SOURCE).is_file()
    return render(request, "tried.html", trial=trial, looks=looks, has_source=has_source, source=SOURCE)


@router.post("/{key}/forget")
def forget(request: Request, caller: User, console: Shared, key: str) -> Response:
    trial = _found(console, key, caller.name)
    console.shelf.drop(trial.key, caller.name)
    return go(request, "/try")


@router.post("/{key}/keep")
def keep(request: Request, caller: User, console: Shared, key: str) -> Response:
    """Beyond the half hour, until its owner forgets it."""
    trial = _found(console, key, caller.name)
    console.shelf.keep(trial.key, caller.name)
    return go(request, f"/try/{trial.key}")


@router.get("/{key}/files/{name:path}")
def file_of(caller: User, console: Shared, key: str, name: str) -> Response:
    trial = _found(console, key, caller.name)
    try:
        path = trial.file(name)
    except Forgotten as error:
        raise Missing(str(error)) from error
    kind = _TYPES[path.suffix]
    return FileResponse(path, media_type=kind, filename=None if path.suffix == ".png" else path.name)


def _found(console: Console, key: str, owner: str) -> Trial:
    """Raises Missing."""
    try:
        return console.shelf.get(key, owner)
    except Forgotten as error:
        raise Missing(message("It was forgotten: what is tried out is kept for half an hour.")) from error


def _form(request: Request, owner: str, console: Console, wrong: str = "", status: int = 200) -> Response:
    values = {
        "models": _models(console.config.weights),
        "usual": console.config.inference.model,
        "scenes": tuple(enumerate(SCENES)),
        "scene_title": scene_title,
        "recent": console.shelf.of(owner),
        "language_model": console.config.narrative.model if console.config.narrative.mode == "llm" else None,
        "wrong": wrong,
        "minutes": int(KEPT_S / 60),
        "upload_mb": console.config.web.upload_mb,
    }
    return render(request, "try.html", status, **values)


def _models(weights: Path) -> tuple[ModelEntry, ...]:
    """None where there is no manifest: the form can be shown, and measuring says what is wrong."""
    try:
        return read_manifest(weights)
    except ModelError:
        return ()


def scene_title(scene: Scene) -> str:
    return scene.title if scene.hc_mm is None else f"{scene.title}, HC {scene.hc_mm:.0f} mm"


def _given(upload: UploadFile | None) -> bool:
    """Browsers send an empty file where none was chosen."""
    return upload is not None and bool(upload.filename)


def _title(asked: TrialAsked) -> str:
    if asked.example is not None:
        return scene_title(SCENES[asked.example])
    return asked.name or "–"


def _look(told: Mapping[str, Any]) -> Look:
    answer, files = told["answer"], told["files"]
    return Look(
        answer=answer,
        level=told.get("level"),
        layers=tuple((name, title) for name, title in LAYERS.items() if name in files),
        downloads=tuple((name, title) for name, title in TITLES.items() if name in files),
        truth=told.get("truth"),
        reason=REASON_TEXT[Reason(answer["reason"])] if answer["reason"] else "",
        remarks=tuple(REMARK_TEXT[Remark(word)] for word in answer["warnings"]),
        author=told.get("author"),
    )
