"""The TLS handshake with a caller, and what to tell an administrator when none comes about."""

from __future__ import annotations

import socket
import ssl

_ASSOCIATE_RQ = b"\x01"

_ADVICE = {
    # OpenSSL's names of what happened (sslerr.h); those with ALERT in them are what the caller said
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "The machine showed no certificate; give it one that node.tls.authorities"
    " vouches for.",
    "NO_SHARED_CIPHER": "The machine knows none of the ciphers of BCP 195 (ECDHE or DHE with AEAD).",
    "UNSUPPORTED_PROTOCOL": "The machine knows no newer TLS than 1.1; this node takes 1.2 and 1.3.",
    "VERSION_TOO_LOW": "The machine knows no newer TLS than 1.1; this node takes 1.2 and 1.3.",
    "TLSV1_ALERT_UNKNOWN_CA": "The machine does not know who signed this node's certificate.",
    "SSLV3_ALERT_BAD_CERTIFICATE": "The machine does not take this node's certificate (it says: bad certificate).",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "The machine says that this node's certificate has expired; see its clock too.",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "The machine does not take this node's certificate: name, dates or authority.",
    "HTTP_REQUEST": "What came was HTTP, not DICOM over TLS.",
}


class NoHandshake(Exception):
    """There is no TLS connection. `advice` is None where nobody tried to make one, as the probe of a load balancer."""

    def __init__(self, advice: str | None) -> None:
        super().__init__(advice)
        self.advice = advice


def shake_hands(connection: ssl.SSLSocket) -> None:
    """Make the TLS connection, within the socket's timeout.

    Raises:
        NoHandshake: there is none.
    """
    try:
        greeting = socket.socket.recv(connection, 1, socket.MSG_PEEK)
        if not greeting:
            raise NoHandshake(None)
        if greeting == _ASSOCIATE_RQ:
            raise NoHandshake("The machine spoke DICOM without TLS on the port over TLS; switch TLS on there.")
        connection.do_handshake()
    except ssl.SSLCertVerificationError as error:
        advice = f"The certificate of the machine is not taken: {error.verify_message}."
        raise NoHandshake(advice) from error
    except ssl.SSLError as error:
        known = _ADVICE.get(error.reason or "")
        raise NoHandshake(known or f"The TLS handshake failed ({error.reason or type(error).__name__}).") from error
    except (OSError, ValueError) as error:  # it went away, or fell silent; ValueError: we hung up on it meanwhile
        raise NoHandshake(None) from error
