"""One origin for the viewer's own files and the archive behind it, so that the browser asks nobody's leave (CORS)."""

from __future__ import annotations

import http.client
import mimetypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ARCHIVE = "/dicom-web/"
OWN_CONFIG = Path(__file__).parent / "app-config.js"
HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})
"""Headers of one connection, not of what it carries (RFC 9110 7.6.1), and those that http.server writes itself."""

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("application/wasm", ".wasm")


@dataclass(frozen=True)
class Archive:
    """Who answers below `/dicom-web/`; `headers` are added to every question."""

    host: str
    http_port: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """`/dicom-web/` is the archive's; `/app-config.js` is ours; what is no file is the viewer's own route."""

    protocol_version = "HTTP/1.1"

    def __init__(self, dist: Path, archive: Archive, *arguments: object) -> None:
        self.dist, self.archive = dist, archive
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.startswith(ARCHIVE):
            self._ask_archive()
        else:
            self._send_file(self._file())

    def _file(self) -> Path:
        name = self.path.partition("?")[0].lstrip("/")
        if name == OWN_CONFIG.name:
            return OWN_CONFIG
        path = (self.dist / name).resolve()
        return path if path.is_file() and path.is_relative_to(self.dist) else self.dist / "index.html"

    def _send_file(self, path: Path) -> None:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._answer(200, {"Content-Type": kind}, path.read_bytes())

    def _ask_archive(self) -> None:
        """Pass on as it is: without its Content-Encoding, compressed metadata reads as "study not available"."""
        there = http.client.HTTPConnection(self.archive.host, self.archive.http_port, timeout=30)
        try:
            # Host as the browser named us: the archive writes it into the addresses of bulk data
            there.request("GET", self.path, headers={**dict(self.headers.items()), **self.archive.headers})
            answer = there.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            self._answer(answer.status, kept, answer.read())
        finally:
            there.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        # without these two the viewer has no SharedArrayBuffer
        isolation = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
        for name, value in {**headers, **isolation, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A test that fails shows the page, not the traffic."""


@contextmanager
def running_site(dist: Path, archive: Archive) -> Iterator[str]:
    """The address of the viewer, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, dist.resolve(), archive))
    thread = threading.Thread(target=server.serve_forever, name="viewer site")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(timeout=30)
        server.server_close()
