"""One question to a language model over HTTPS (Anthropic Messages API, version 2023-06-01), within a time limit.

Only the configured address is asked: redirects are not followed, and a proxy of the environment is not used.
"""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import threading
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

API_VERSION = "2023-06-01"
MOST_BYTES = 64 * 1024
"""Of an answer: two paragraphs are 2 kB."""

MOST_TOKENS = 800


class Silence(StrEnum):
    """Why there is no text."""

    NO_KEY = "no_key"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    HTTP_STATUS = "http_status"
    TOO_LARGE = "answer_too_large"
    GARBAGE = "answer_not_understood"
    DECLINED = "declined"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No text, and why; `status` is that of HTTP where there was one."""

    silence: Silence
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Where a model is asked, which one, and how long one waits for it."""

    endpoint: str
    model: str
    timeout_s: float


def ask(service: Service, key: SecretStr, system: str, question: str) -> str | Unanswered:
    """The model's text. Gives up after `service.timeout_s` in all, whatever the other side does."""
    body = json.dumps(
        {
            "model": service.model,
            "max_tokens": MOST_TOKENS,
            "system": system,
            "messages": [{"role": "user", "content": question}],
        }
    ).encode()
    answers: queue.SimpleQueue[bytes | Unanswered] = queue.SimpleQueue()
    # a thread, because looking up a name and an answer that comes in drops know no limit of time
    threading.Thread(target=lambda: answers.put(_post(service, key, body)), name="language-model", daemon=True).start()
    try:
        answer = answers.get(timeout=service.timeout_s)
    except queue.Empty:
        return Unanswered(Silence.TIMEOUT)
    return answer if isinstance(answer, Unanswered) else _text(answer)


def _post(service: Service, key: SecretStr, body: bytes) -> bytes | Unanswered:
    headers = {
        "content-type": "application/json",
        "anthropic-version": API_VERSION,
        "x-api-key": key.get_secret_value(),
    }
    try:
        with closing(_connection(service)) as connection:
            connection.request("POST", urlsplit(service.endpoint).path or "/", body, headers)
            response = connection.getresponse()
            content = response.read(MOST_BYTES + 1)
    except TimeoutError:
        return Unanswered(Silence.TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError):
        return Unanswered(Silence.UNREACHABLE)
    if response.status != HTTPStatus.OK:
        return Unanswered(Silence.HTTP_STATUS, response.status)
    return content if len(content) <= MOST_BYTES else Unanswered(Silence.TOO_LARGE)


def _connection(service: Service) -> http.client.HTTPConnection:
    parts = urlsplit(service.endpoint)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=service.timeout_s, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=service.timeout_s)


def _text(content: bytes) -> str | Unanswered:
    """The text blocks of a message that its author ended."""
    try:
        message: Any = json.loads(content)
        stopped, blocks = message["stop_reason"], message["content"]
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
    except (ValueError, TypeError, KeyError, RecursionError):
        return Unanswered(Silence.GARBAGE)
    if stopped == "end_turn" and text:
        return text
    return Unanswered({"refusal": Silence.DECLINED, "max_tokens": Silence.CUT_OFF}.get(str(stopped), Silence.GARBAGE))
