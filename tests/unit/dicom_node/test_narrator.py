"""A language model is asked over real HTTP: only numbers leave; whatever comes back wrong, the template is taken."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from dicom_node import language_model, narrator
from dicom_node.checks import resolved
from dicom_node.config import Config, NarrativeSection
from dicom_node.language_model import Service
from dicom_node.logs import EventFormatter
from dicom_node.narrator import LanguageModelNarrator, narrator_of
from sr_templates.language import Language
from sr_templates.narrative import from_template
from sr_templates.narrative_vocabulary import VOCABULARIES
from sr_templates.report import ReportInput
from tests import narratives
from tests.reports import measurement, report, source, with_lmp

KEY = "sk-ant-very-secret-0123456789"
MODEL = "some-model-1"


@dataclass
class Asked:
    """What came over the wire, and what goes back: by default the truth."""

    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    answer: bytes = b""
    location: str = ""
    before: Callable[[], Any] = lambda: None


def message(text: str, **changes: Any) -> bytes:
    """An answer of the Messages API."""
    content = [{"type": "text", "text": text}]
    return json.dumps({"type": "message", "content": content, "stop_reason": "end_turn", **changes}).encode()


@contextmanager
def serving(asked: Asked) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.headers.append({name.lower(): value for name, value in self.headers.items()})
            asked.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            asked.before()
            self.send_response(asked.status)
            if asked.location:
                self.send_header("location", asked.location)
            self.end_headers()
            self.wfile.write(asked.answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/messages"
        finally:
            server.shutdown()
            thread.join()


def asking(endpoint: str, key: str | None = KEY, timeout_s: float = 20.0) -> LanguageModelNarrator:
    return LanguageModelNarrator(Service(endpoint, MODEL, timeout_s), lambda: None if key is None else SecretStr(key))


def reason_of(caplog: pytest.LogCaptureFixture) -> str:
    """Why the template was taken, as it stands in the log behind the filter."""
    (record,) = [record for record in caplog.records if record.msg == "narrator.template_taken"]
    written = json.loads(EventFormatter("json").format(record))
    assert "withheld" not in written
    return " ".join(str(written[name]) for name in ("reason", "status") if name in written)


@pytest.mark.parametrize(
    ("language", "text"), [(Language.ENGLISH, narratives.ENGLISH), (Language.GERMAN, narratives.GERMAN)]
)
def test_a_true_text_is_taken(language: Language, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = Asked(answer=message(text))
    with serving(asked) as endpoint:
        told = asking(endpoint)(report(language=language))
    assert f"{told.findings}\n\n{told.interpretation}" == text
    assert told.author == MODEL
    assert [record.msg for record in caplog.records] == ["narrator.worded"]
    (headers,) = asked.headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert json.loads(asked.bodies[0])["model"] == MODEL


WRONG: dict[str, tuple[Asked, str]] = {
    "another number": (Asked(answer=message(narratives.ENGLISH.replace("197.1", "179.1"))), "wrong_number"),
    "a judgement": (
        Asked(answer=message(narratives.ENGLISH.replace("one image", "one normal image"))),
        "unknown_word",
    ),
    "too long": (Asked(answer=message(narratives.ENGLISH + " and so on" * 80)), "too_long"),
    "a refusal": (Asked(answer=message("No.", stop_reason="refusal")), "declined"),
    "cut off": (Asked(answer=message(narratives.ENGLISH, stop_reason="max_tokens")), "cut_off"),
    "a tool": (Asked(answer=message(narratives.ENGLISH, stop_reason="tool_use")), "answer_not_understood"),
    "an empty text": (Asked(answer=message("")), "answer_not_understood"),
    "an error": (Asked(status=500, answer=b"{}"), "http_status 500"),
    "too many requests": (Asked(status=429, answer=message(narratives.ENGLISH)), "http_status 429"),
    "garbage": (Asked(answer=b"\xff<html>"), "answer_not_understood"),
    "another shape": (Asked(answer=b'{"content": 3, "stop_reason": "end_turn"}'), "answer_not_understood"),
    "a number": (Asked(answer=b"3"), "answer_not_understood"),
    "a flood": (Asked(answer=message("a" * 70000)), "answer_too_large"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_the_template_and_the_log_says_why(case: str, caplog: pytest.LogCaptureFixture) -> None:
    asked, reason = WRONG[case]
    with serving(asked) as endpoint:
        assert asking(endpoint)(report()) == from_template(report())
    assert reason_of(caplog) == reason
    assert KEY not in caplog.text


def test_a_slow_answer_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    enough = threading.Event()
    asked = Asked(answer=message(narratives.ENGLISH), before=enough.wait)
    with serving(asked) as endpoint:
        told = asking(endpoint, timeout_s=0.2)(report())
        enough.set()
    assert told == from_template(report())
    assert reason_of(caplog) == "timeout"


def test_without_network_the_template_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Asked()) as endpoint:
        pass
    assert asking(endpoint)(report()) == from_template(report())
    assert reason_of(caplog) == "unreachable"


def test_a_redirection_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = Asked(answer=message(narratives.ENGLISH))
    with serving(elsewhere) as other, serving(Asked(status=307, location=other)) as endpoint:
        assert asking(endpoint)(report()).author is None
    assert elsewhere.bodies == []
    assert reason_of(caplog) == "http_status 307"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, asked = Asked(answer=message(narratives.ENGLISH)), Asked(answer=message(narratives.ENGLISH))
    with serving(proxy) as elsewhere, serving(asked) as endpoint:
        monkeypatch.setenv("http_proxy", elsewhere)
        asking(endpoint)(report())
    assert (len(asked.bodies), len(proxy.bodies)) == (1, 0)


def test_without_a_key_nobody_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(answer=message(narratives.ENGLISH))
    with serving(asked) as endpoint:
        asking(endpoint, key=None)(report())
    assert asked.bodies == []
    assert reason_of(caplog) == "no_key"


TELLTALE = "Zz9telltale"


def revealing() -> ReportInput:
    """A header with a mark in every kind of text, and the head in a pregnancy with a date."""
    texts = dict.fromkeys(
        ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDescription", "Manufacturer", "StationName"),
        TELLTALE[:16],
    )
    header = source(PatientName=f"{TELLTALE}^Jane", ManufacturerModelName=TELLTALE, InstitutionName=TELLTALE, **texts)
    head = with_lmp(measurement(calibration_detail=TELLTALE), 150)
    return report(header, measurement=head)


def test_no_patient_data_leaves() -> None:
    asked, facts = Asked(answer=message(narratives.ENGLISH + narratives.GROWTH)), revealing()
    with serving(asked) as endpoint:
        assert asking(endpoint)(facts).author == MODEL
    sent = asked.bodies[0].decode() + json.dumps(asked.headers)
    assert TELLTALE not in sent
    assert "Jane" not in sent
    header = facts.source
    dates = {str(element.value) for element in header if element.VR in ("DA", "DT", "TM") and element.value}
    uids = {str(element.value) for element in header if element.VR == "UI"}
    assert dates
    assert uids
    assert [text for text in dates | uids if text in sent] == []
    assert re.findall(r"\d{4}-\d\d-\d\d|\d{8}|\d+(?:\.\d+){3,}", sent.replace("127.0.0.1", "").replace(KEY, "")) == [
        language_model.API_VERSION
    ]


def test_nothing_else_leaves_than_names_and_numbers() -> None:
    asked = Asked(answer=message(narratives.ENGLISH))
    with serving(asked) as endpoint:
        asking(endpoint)(report())
    body = json.loads(asked.bodies[0])
    assert set(body) == {"model", "max_tokens", "system", "messages"}
    assert body["system"] == narrator.instruction(Language.ENGLISH)
    ((_, question),) = [(turn["role"], turn["content"]) for turn in body["messages"]]
    for name, value in json.loads(question).items():
        assert re.fullmatch(r"[A-Za-z0-9 %()-]+", name)
        assert re.fullmatch(r"[-\d.]+( mm| %)?( to [\d.]+ mm)?|\d+w \dd( to \d+w \dd)?|Hadlock 1984|second", value)


@pytest.mark.parametrize("language", Language)
def test_a_model_is_told_every_word_that_it_may_use(language: Language) -> None:
    """Else it would be refused for words that it could not know to be wrong."""
    told = narrator.instruction(language)
    vocabulary = VOCABULARIES[language]
    assert narrator.LANGUAGES[language] in told
    assert "{" not in told
    assert vocabulary.without_numbers <= set(re.findall(r"\w+", told))
    assert all(saying in told for saying in vocabulary.sayings)


def test_by_default_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setattr(narrator, "ask", lambda *_: pytest.fail("somebody was asked"))
    assert narrator_of(Config().narrative)(report()) == from_template(report())
    told = NarrativeSection(model=MODEL, endpoint="http://127.0.0.1:9/")
    assert narrator_of(told) is from_template
    with pytest.raises(pytest.fail.Exception, match="somebody was asked"):  # and this is where it would be seen
        narrator_of(NarrativeSection(mode="llm", model=MODEL))(report())


def test_the_key_is_read_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    config = Config(narrative=NarrativeSection(mode="llm", model=MODEL, key_file=file))
    key = config.narrative.key({"ANTHROPIC_API_KEY": "another"})
    assert key is not None
    assert key.get_secret_value() == KEY
    shown = (repr(key), str(key), repr(config), json.dumps(resolved(config)), repr(asking("http://localhost/")))
    assert [text for text in shown if KEY in text] == []


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"line\nline", b"\xc3\xa9"])
def test_a_file_that_holds_no_key_gives_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    assert NarrativeSection(key_file=tmp_path / "key").key({}) is None
    assert NarrativeSection(key_file=tmp_path / "nowhere").key({"ANTHROPIC_API_KEY": KEY}) is None
    assert NarrativeSection().key({}) is None


@pytest.mark.parametrize(
    "section",
    [
        {"mode": "llm"},
        {"mode": "llm", "model": MODEL, "endpoint": "http://api.example.org/v1/messages"},
        {"endpoint": "https://user:password@api.example.org/"},
        {"endpoint": "ftp://127.0.0.1/"},
        {"endpoint": "https:///v1"},
        {"model": "two words"},
        {"timeout_s": 0},
    ],
)
def test_what_would_leave_in_the_open_or_to_nobody_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NarrativeSection.model_validate(section)
