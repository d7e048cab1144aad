"""Templates, and what becomes of errors."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException

from dicom_node import __version__
from dicom_node.answers import frame_weights
from dicom_node.domain import JobKind, ResultKind
from dicom_node.errors import NodeError, Refused, Transient
from dicom_node.users import Caller, UserRole
from dicom_node.web.texts import message, request_words
from sr_templates.language import Language

TEMPLATES = Path(__file__).parent / "templates"
FOR_PROGRAMS = ("/api/", "/dicom-web/", "/fhir/", "/metrics", "/healthz", "/readyz")
"""What begins so answers in JSON, also where it refuses."""


class Missing(Refused):
    """There is no such page, or what it was about is gone."""


class NotAllowed(Refused):
    """Your role does not allow that."""


NAVIGATION: tuple[tuple[str, str, UserRole], ...] = (
    ("/", message("Overview"), UserRole.VIEWER),
    ("/studies", message("Studies"), UserRole.VIEWER),
    ("/work", message("Queue"), UserRole.VIEWER),
    ("/try", message("Try it"), UserRole.VIEWER),
    ("/models", message("Models"), UserRole.VIEWER),
    ("/setup", message("Set-up"), UserRole.ADMIN),
    ("/users", message("Users"), UserRole.ADMIN),
)
"""Address, name and who may go there, in the order of the bar."""

LANGUAGE_NAMES = {"en": "English", "de": "Deutsch"}
"""Each in itself."""


STATE_NAMES = {
    "queued": message("waiting"),
    "running": message("being measured"),
    "done": message("done"),
    "dead": message("given up"),
    "held": message("held"),
    "cancelled": message("cancelled"),
    "pending": message("on its way"),
    "sending": message("being sent"),
    "sent": message("delivered"),
    "committed": message("committed"),
}
"""Of jobs and deliveries."""

MOODS = {"done": "good", "dead": "bad", "held": "wait", "sent": "good", "committed": "good", "queued": "wait"} | {
    "running": "wait",
    "pending": "wait",
    "sending": "wait",
    "cancelled": "calm",
}

JOB_NAMES = {
    JobKind.MEASURE: message("measure"),
    JobKind.RECONCILE: message("compare versions"),
    JobKind.SUPERSEDE: message("take the place of a version"),
    JobKind.STUDY: message("report the study"),
}
"""What jobs do."""

OBJECT_NAMES = {
    ResultKind.TID1500: message("SR of the image (TID 1500)"),
    ResultKind.TID5000: message("OB-GYN SR of the image (TID 5000)"),
    ResultKind.PDF: message("PDF of the image"),
    ResultKind.OVERLAY: message("overlay of the image"),
    ResultKind.GRADCAM: message("attention map"),
    ResultKind.UNCERTAINTY: message("uncertainty map"),
    ResultKind.CINE_OVERLAY: message("cine with outlines"),
    ResultKind.PRESENTATION: message("presentation state"),
    ResultKind.KEY_OBJECT: message("key object selection"),
    ResultKind.STUDY_SR: message("OB-GYN SR of the study (TID 5000)"),
    ResultKind.STUDY_PDF: message("PDF of the study"),
    ResultKind.STUDY_OVERLAY: message("overlay of the selected image"),
    ResultKind.ORIGINAL: message("the received object itself"),
}
"""What people call the kinds."""

ROLE_NAMES = {
    UserRole.VIEWER: message("viewer"),
    UserRole.OPERATOR: message("operator"),
    UserRole.ADMIN: message("admin"),
}
"""As they stand in lists; the templates say them by their value."""


def navigation_of(caller: Caller | None) -> list[tuple[str, str]]:
    return [(address, name) for address, name, role in NAVIGATION if caller is not None and caller.role.covers(role)]


_STATUS: tuple[tuple[type[NodeError], int], ...] = (
    (Missing, 404),
    (NotAllowed, 403),
    (Refused, 409),
    (Transient, 503),
    (NodeError, 500),
)
_HEADINGS = {
    401: message("Not signed in"),
    403: message("Not allowed"),
    404: message("Not found"),
    409: message("That was refused"),
    413: message("Too large"),
    422: message("Something in the form is not right"),
    429: message("Too many tries"),
    500: message("Something went wrong"),
    503: message("Not now"),
}

STAMP = hashlib.sha256(__version__.encode()).hexdigest()[:8]
"""What tells browsers a new stylesheet from an old one, where nobody is to learn the version."""

_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_templates = Jinja2Templates(env=_environment)


def path_of(request: Request) -> str:
    """What the routes see. `request.url` is put together with the Host header, which its sender chooses."""
    return str(request.scope["path"])


def is_for_programs(path: str) -> bool:
    return path.startswith(FOR_PROGRAMS)


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page, or a part of one, in the language of whoever asks."""
    from dicom_node.web import access  # noqa: PLC0415  which in turn raises what is defined here

    words = request_words(request)
    caller: Caller | None = request.state.caller
    token = access.csrf_token(request)
    shared = {
        "_": words,
        "words": words,
        "caller": caller,
        "csrf": token,
        "csrf_field": lambda: Markup('<input type="hidden" name="{}" value="{}">').format(access.CSRF_FIELD, token),
        "version": __version__ if caller is not None else STAMP,
        "node_name": request.app.state.console.config.node.ae_title,
        "languages": tuple(Language),
        "language_names": LANGUAGE_NAMES,
        "navigation": navigation_of(caller),
        "dicom_port": request.app.state.console.config.node.port,
        "may_operate": caller is not None and caller.role.covers(UserRole.OPERATOR),
        "may_administer": caller is not None and caller.role.covers(UserRole.ADMIN),
        "state_names": STATE_NAMES,
        "job_names": JOB_NAMES,
        "object_names": OBJECT_NAMES,
        "moods": MOODS,
        "frame_weights": frame_weights,
        "path": path_of(request),
    }
    response = _templates.TemplateResponse(request, template, {**shared, **values}, status_code=status)
    if caller is None or caller.by_proxy:
        secure = request.app.state.console.config.web.secure
        name, secret = access.visit_cookie(request), access.visit_secret(request)
        # a click on a link elsewhere must not end the open forms of somebody whom a proxy vouches for
        site: Literal["lax", "strict"] = "strict" if caller is None else "lax"
        response.set_cookie(name, secret, httponly=True, secure=secure, samesite=site, path="/")
    return response


def go(request: Request, address: str) -> Response:
    """To another page after something was done; the same for htmx, which does not follow a redirect by itself."""
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)


def sign_in_address(request: Request) -> str:
    """Where to sign in, and where to go from there: to the page that was asked for, never to a form that was sent."""
    if request.method != "GET" or request.headers.get("hx-request") or path_of(request) in ("/", "/events"):
        return "/sign-in"
    return f"/sign-in?next={quote(path_of(request), safe='/')}"


def fail(request: Request, status: int, text: str, error: str) -> Response:
    """The answer to what cannot be done; `text` in English, `error` one word."""
    if is_for_programs(path_of(request)):
        return problem(status, text, error)
    words = request_words(request)
    heading = _HEADINGS.get(status, _HEADINGS[500])
    if request.headers.get("hx-request"):
        headers = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"}
        part = render(request, "notice.html", status, heading=words(heading), text=words(text))
        part.headers.update(headers)
        return part
    return render(request, "error.html", status, heading=words(heading), text=words(text))


def problem(status: int, text: str, error: str) -> Response:
    """RFC 9457; `error` is our own word for it."""
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": text, "error": error}
    return JSONResponse(document, status, media_type="application/problem+json")


def answer_errors(app: FastAPI) -> None:
    """Every error becomes a page or, for programs, JSON; none shows more than its own message."""

    @app.exception_handler(NodeError)
    def node_error(request: Request, error: NodeError) -> Response:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return fail(request, status, str(error), type(error).__name__)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        text = Missing.__doc__ if error.status_code == 404 else str(error.detail)
        answer = fail(request, error.status_code, text or "", "Refused")
        answer.headers.update(error.headers or {})  # as Allow of 405
        return answer

    @app.exception_handler(RequestValidationError)
    def not_valid(request: Request, error: RequestValidationError) -> Response:
        """Which fields, and to programs also what is expected of them; never what was sent."""
        wrong = [(".".join(map(str, found["loc"][1:])), str(found["msg"])) for found in error.errors()]
        if is_for_programs(path_of(request)):
            return problem(422, "; ".join(f"{place or 'body'}: {text}" for place, text in wrong), "Invalid")
        return fail(request, 422, ", ".join(place for place, _ in wrong), "Invalid")
