"""How large a request may be: little for a form, `web.upload_mb` where files are taken. Counted while it is read."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORM_BYTES = 1 << 20
UPLOADS = ("/try", "/api/v1/measure")
"""What begins so takes files."""

TOO_LARGE = "The request is larger than the console takes (web.upload_mb for files, 1 MB else)."


class BodyLimit:
    """ASGI middleware: whoever reads on behind the limit gets HTTPException 413, whatever the headers promised."""

    def __init__(self, app: ASGIApp, upload_bytes: int) -> None:
        self._app, self._upload_bytes = app, upload_bytes

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
            return message

        await self._app(scope, receiving, send)
