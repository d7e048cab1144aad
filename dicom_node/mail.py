"""One message by SMTP (RFC 5321): over TLS from the start, or by STARTTLS (RFC 3207), which is then insisted on."""

from __future__ import annotations

import smtplib
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from dicom_node.errors import ConfigError, NodeError
from dicom_node.tls import TlsFiles, calling_context

TIMEOUT_S = 20.0

Security = Literal["starttls", "tls", "none"]


class NotSent(NodeError):
    """The message could not be handed over."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """`security` none: in clear, for a server on this machine. `password` belongs to `user`."""

    host: str
    port: int
    security: Security = "starttls"
    authorities: Path | None = None
    user: str | None = None
    password: SecretStr | None = field(default=None, repr=False)


def send(server: MailServer, message: EmailMessage) -> None:
    """Hand the message over to the server. Raises NotSent, with the kind of error and nothing that the server said."""
    try:
        connection = _connected(server)
        try:
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password.get_secret_value())
            connection.send_message(message)
        finally:
            with suppress(OSError, smtplib.SMTPException):  # what it has taken it has taken
                connection.quit()
    except (OSError, smtplib.SMTPException, ConfigError, ValueError) as error:
        raise NotSent(f"the mail server was not reached, or refused ({type(error).__name__})") from error


def _connected(server: MailServer) -> smtplib.SMTP:
    context = calling_context(TlsFiles(authorities=server.authorities))
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    try:
        if server.security == "starttls":
            connection.starttls(context=context)
    except BaseException:
        connection.close()
        raise
    return connection
