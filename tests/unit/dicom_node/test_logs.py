"""Whatever is logged, patient data does not come out."""

from __future__ import annotations

import ast
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.logs import EVENT_NAME, FIELDS, FOREIGN_EVENT, EventFormatter, configure

PERSON = "Doe^Jane"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure("DEBUG", "json", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def log(event: str, **fields: object) -> None:
    logging.getLogger("dicom_node.x").info(event, extra=fields)


def last(stream: io.StringIO) -> dict[str, object]:
    record: dict[str, object] = json.loads(stream.getvalue().splitlines()[-1])
    return record


def test_event_with_fields(stream: io.StringIO) -> None:
    log("deliver.sent", sop_instance_uid="2.25.7", attempts=2)
    assert last(stream).items() >= {"event": "deliver.sent", "sop_instance_uid": "2.25.7", "attempts": 2}.items()
    assert str(last(stream)["time"]).endswith("Z")


def test_field_without_a_value_is_left_out(stream: io.StringIO) -> None:
    log("pipeline.answered", reason=None, status_word=None)
    assert {"reason", "status_word", "withheld"}.isdisjoint(last(stream))


def test_status_word_is_hexadecimal(stream: io.StringIO) -> None:
    log("deliver.failed", status_word=0xA700)
    assert last(stream)["status_word"] == "0xA700"


def test_field_that_is_not_listed_is_withheld_and_its_name_told(stream: io.StringIO) -> None:
    log("receive.stored", patient_name=PERSON)
    assert PERSON not in stream.getvalue()
    assert last(stream)["withheld"] == "patient_name"


AE_TITLES = {"ae_title", "calling_ae", "called_ae"}  # free text by the standard, but they name a machine


@pytest.mark.parametrize("field", sorted(set(FIELDS) - AE_TITLES))
def test_no_listed_field_lets_a_person_name_pass(stream: io.StringIO, field: str) -> None:
    log("receive.stored", **{field: PERSON})
    assert PERSON not in stream.getvalue()


@pytest.mark.parametrize(
    ("logger", "message", "arguments"),
    [
        ("dicom_node.x", f"stored object of {PERSON}", ()),
        ("dicom_node.x", "stored.%s", (PERSON,)),
        ("pynetdicom.acse", f"(0010,0010) PN [{PERSON}]", ()),
        ("pydicom.value", "invalid.%s", (PERSON,)),
    ],
)
def test_sentences_and_libraries_are_reduced_to_their_place(
    stream: io.StringIO, logger: str, message: str, arguments: tuple[str, ...]
) -> None:
    logging.getLogger(logger).error(message, *arguments)
    assert PERSON not in stream.getvalue()
    assert last(stream)["event"] == FOREIGN_EVENT
    assert last(stream)["logger"] == logger


def test_exception_is_told_by_type_and_place_only(stream: io.StringIO) -> None:
    try:
        raise ValueError(PERSON)
    except ValueError:
        logging.getLogger("dicom_node.x").exception("worker.failed")
    assert PERSON not in stream.getvalue()
    assert last(stream)["exception"] == "ValueError"
    assert "test_logs.py:" in str(last(stream)["where"])


def test_a_warning_of_a_library_is_reduced_to_its_place(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("INFO", "json", stream)
        warnings.warn(f"invalid value for PatientName: {PERSON}", stacklevel=1)
    assert last(stream)["event"] == FOREIGN_EVENT
    assert PERSON not in stream.getvalue() + capsys.readouterr().err


def test_text_form_is_one_line() -> None:
    record = logging.makeLogRecord({"name": "dicom_node", "msg": "worker.ready", "pid": 7, "levelname": "INFO"})
    line = EventFormatter("text").format(record)
    assert line.endswith("INFO    worker.ready pid=7")
    assert "\n" not in line


@given(st.text(min_size=1), st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(), max_size=4))
def test_every_record_is_one_json_line(message: str, fields: dict[str, str]) -> None:
    record = logging.makeLogRecord({"name": "dicom_node.y", "msg": message, **fields})
    line = EventFormatter("json").format(record)
    assert "\n" not in line
    assert json.loads(line)["level"] == record.levelname


ROOT = Path(__file__).parents[3]
LOGGING_CALLS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged_in(source: str) -> Iterator[tuple[str, set[str]]]:
    """Event name and literal field names of every logging call."""
    for call in ast.walk(ast.parse(source)):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if call.func.attr not in LOGGING_CALLS or not ast.unparse(call.func.value).lower().endswith(("log", "logger")):
            continue
        extras = [keyword.value for keyword in call.keywords if keyword.arg == "extra"]
        names = {
            key.value
            for extra in extras
            if isinstance(extra, ast.Dict)
            for key in extra.keys
            if isinstance(key, ast.Constant)
        }
        event = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
        yield str(event), {str(name) for name in names}


@pytest.mark.parametrize("package", ["dicom_node", "inference", "sr_templates"])
def test_everything_that_is_logged_has_an_event_name_and_listed_fields(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {event or '(no literal event name)'} {sorted(names - set(FIELDS))}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for event, names in logged_in(path.read_text(encoding="utf-8"))
        if not EVENT_NAME.fullmatch(event) or names - set(FIELDS)
    ]
    assert wrong == []


def test_wrong_logging_call_would_be_seen() -> None:
    assert list(logged_in('_log.info("a.b", extra={"x": 1})\nlog.error("oh " + name)')) == [("a.b", {"x"}), ("", set())]
