"""A FHIR server of the tests: takes transactions over HTTP, refuses what FHIR R4 does not know, and keeps what it took.

Resources are created on the condition that is asked for (FHIR 3.1.0.8.1), so that what comes twice stands there once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fhir.resources.R4B.bundle import Bundle


class Mood(Enum):
    """What it does with the next requests."""

    TAKES = "takes"
    LOSES_ITS_ANSWER = "takes, and the connection breaks before the answer"
    SAYS_SOMETHING_ELSE = "answers 200 with something that is no answer to a transaction"


@dataclass
class FhirServer:
    """`moods`: of the next requests, a number for an HTTP status; then it takes. `kept`: by type and identifier."""

    url: str = ""
    moods: list[Mood | int] = field(default_factory=list)
    kept: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [resource for (one, _), resource in self.kept.items() if one == kind]

    def take(self, content: bytes) -> dict[str, Any]:
        """Raises ValueError: it is no transaction of FHIR R4."""
        bundle = json.loads(Bundle.model_validate_json(content).model_dump_json())
        if bundle["type"] != "transaction":
            raise ValueError("not a transaction")
        said = []
        for entry in bundle["entry"]:
            resource, condition = entry["resource"], entry["request"]["ifNoneExist"]
            (identifier,) = resource["identifier"]
            if condition != f"identifier={identifier['system']}|{identifier['value']}":
                raise ValueError("the condition is about another identifier")
            key = (resource["resourceType"], identifier["value"])
            said.append({"response": {"status": "200 OK" if key in self.kept else "201 Created"}})
            self.kept.setdefault(key, resource)
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": said}


@contextmanager
def fhir_server() -> Iterator[FhirServer]:
    """Listens on this machine for as long as the block lasts."""
    server = FhirServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            server.headers.append(dict(self.headers))
            mood = server.moods.pop(0) if server.moods else Mood.TAKES
            if isinstance(mood, int):
                self._answer(mood, {"resourceType": "OperationOutcome", "text": "Jane Doe is unknown"})
                return
            if mood is Mood.SAYS_SOMETHING_ELSE:
                self._answer(200, {"hello": "world"})
                return
            try:
                told = server.take(content)
            except ValueError as error:
                server.faults.append(str(error))
                self._answer(400, {})
                return
            if mood is Mood.TAKES:
                self._answer(200, told)

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at what was kept."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_port}/fhir"
    thread = threading.Thread(target=listening.serve_forever, name="fhir-server")
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
