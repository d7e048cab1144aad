"""Structured logs into which patient data cannot get.

One record is a stable event name and fields: `logger.info("deliver.sent", extra={"sop_instance_uid": uid})`. Three
gates stand between a record and the stream, and none of them depends on the caller's care:

* a message that is not an event name (`word.word`) or that carries arguments is not written, only where it came from;
  so are all messages of libraries, which quote data sets at will;
* only the fields of `FIELDS` are written, and only if the value has the field's form;
* of an exception the type and the places are written, never its text.

Python's warnings take the same way: they quote values, and would go past all three to standard error.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["json", "text"]
Logged = str | int | float | bool | None

EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
FOREIGN_EVENT = "log.foreign"
OWN_LOGGERS = ("dicom_node", "inference", "sr_templates", "__main__")

_UID = re.compile(r"[0-9.]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_.:/+-]{1,80}")
_TAG = re.compile(r"\([0-9A-Fa-f]{4}, ?[0-9A-Fa-f]{4}\)")
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _matching(pattern: re.Pattern[str]) -> Callable[[object], Logged]:
    def check(value: object) -> Logged:
        text = "" if value is None else str(value)
        return text if pattern.fullmatch(text) else None

    return check


def _number(value: object) -> Logged:
    if isinstance(value, bool | int):
        return value
    return round(value, 4) if isinstance(value, float) else None


def _status_word(value: object) -> Logged:
    return f"0x{value:04X}" if isinstance(value, int) else None


_uid, _token, _tag, _ae = _matching(_UID), _matching(_TOKEN), _matching(_TAG), _matching(_AE_TITLE)

FIELDS: Mapping[str, Callable[[object], Logged]] = {
    # DICOM identifiers that name an object without naming a person
    "sop_instance_uid": _uid,
    "sop_class_uid": _uid,
    "study_instance_uid": _uid,
    "series_instance_uid": _uid,
    "transfer_syntax_uid": _uid,
    "transaction_uid": _uid,
    # network
    "ae_title": _ae,
    "calling_ae": _ae,
    "called_ae": _ae,
    "host": _token,
    "port": _number,
    "destination": _token,
    "asked": _token,
    "status_word": _status_word,
    # rows
    "instance_id": _number,
    "job_id": _number,
    "object_id": _number,
    "delivery_id": _number,
    "revision": _number,
    "job": _number,
    "attempts": _number,
    "token": _number,
    # vocabulary of this program: enum values and class names, never sentences
    "role": _token,
    "kind": _token,
    "state": _token,
    "status": _token,
    "reason": _token,
    "relation": _token,
    "cause": _token,
    "outcome": _token,
    "error": _token,
    "task": _token,
    "what": _token,
    "tag": _tag,
    "model": _token,
    "model_sha256": _token,
    "version": _token,
    "worker": _token,
    # quantities
    "count": _number,
    "removed": _number,
    "free_mb": _number,
    "committed": _number,
    "resent": _number,
    "given_up": _number,
    "frame": _number,
    "size_bytes": _number,
    "seconds": _number,
    "decode_s": _number,
    "examine_s": _number,
    "report_s": _number,
    "commit_s": _number,
    "epoch": _number,
    "fold": _number,
    "images": _number,
    "loss": _number,
    "delay_s": _number,
    "days_left": _number,
    "pid": _number,
    "exit_status": _number,
}
"""Every field that may be logged, with the function that lets its value pass or gives None."""


class EventFormatter(logging.Formatter):
    """One line per record, behind the three gates above: JSON for machines, text for people."""

    def __init__(self, form: Format = "json") -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event, fields = _event(record), _fields(record)
        if self._form == "json":
            return json.dumps({"time": when, "level": record.levelname, "event": event, **fields})
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        return f"{when} {record.levelname:<7} {event} {told}".rstrip()


def _is_own(record: logging.LogRecord) -> bool:
    own = record.name.split(".", 1)[0] in OWN_LOGGERS
    return own and not record.args and isinstance(record.msg, str) and bool(EVENT_NAME.fullmatch(record.msg))


def _event(record: logging.LogRecord) -> str:
    return str(record.msg) if _is_own(record) else FOREIGN_EVENT


def _fields(record: logging.LogRecord) -> dict[str, Logged]:
    fields: dict[str, Logged] = {}
    if _is_own(record):
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        for name, value in given.items():
            checked = FIELDS[name](value) if name in FIELDS else None
            if checked is not None:
                fields[name] = checked
        withheld = sorted(name for name, value in given.items() if value is not None and name not in fields)
        if withheld:
            fields["withheld"] = ",".join(name for name in withheld if name.isidentifier())
    else:
        fields["logger"] = record.name
        fields["line"] = record.lineno
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = type(record.exc_info[1]).__name__
        fields["where"] = where(record.exc_info[1])
    return fields


def where(error: BaseException) -> str:
    """`module:line` of the frames, innermost last; neither source text nor values."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-8:])


def configure(level: str = "INFO", form: Format = "json", stream: TextIO | None = None) -> logging.Handler:
    """Make the root logger write events to `stream` (standard error) and to nothing else. Gives the handler back.

    `level` is the handler's, so that another handler (see app.tell_when_ready) still hears of events below it.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(EventFormatter(form))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    handler.setLevel(level)
    root.addHandler(handler)
    root.setLevel(min(logging.INFO, handler.level))
    logging.captureWarnings(capture=True)
    for chatty in ("pynetdicom", "pydicom", "apscheduler", "alembic", "sqlalchemy", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return handler
