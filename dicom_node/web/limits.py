"""How large a request may be: little for a form, `web.upload_mb` where files are taken. Counted while it is read.

Few large ones at a time: they lie on the disk while they come, which received objects need.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORM_BYTES = 1 << 20
UPLOADS = ("/try", "/api/v1/measure")
"""What begins so takes files."""

TOO_LARGE = "The request is larger than the console takes (web.upload_mb for files, 1 MB else)."


MOST_UPLOADS = 5
TOO_MANY = "Others are sending files; try again in a moment."


class BodyLimit:
    """ASGI middleware: whoever reads on behind the limit gets HTTPException 413, whatever the headers promised.

    503 for one upload too many at the same time.
    """

    def __init__(self, app: ASGIApp, upload_bytes: int) -> None:
        self._app, self._upload_bytes = app, upload_bytes
        self._uploads: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, read = self._upload_bytes if scope["path"].startswith(UPLOADS) else FORM_BYTES, 0

        async def receiving() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, TOO_LARGE)
            if read > FORM_BYTES:
                self._takes_place(id(scope))
            return message

        try:
            await self._app(scope, receiving, send)
        finally:
            self._uploads.discard(id(scope))

    def _takes_place(self, upload: int) -> None:
        """All in one thread, that of the event loop."""
        if upload not in self._uploads and len(self._uploads) >= MOST_UPLOADS:
            raise HTTPException(503, TOO_MANY)
        self._uploads.add(upload)
