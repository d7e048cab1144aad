"""TLS contexts for both directions: who we are, whom we trust, and which ciphers.

The profile is that of PS3.15 B.9 to B.12 (BCP 195, RFC 9325): TLS 1.2 or 1.3, forward secrecy and authenticated
encryption only. A context that would trust everybody cannot be made here.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicom_node.errors import ConfigError

CIPHERS_OF_TLS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
"""RFC 9325 4.2; TLS 1.3 has only such."""

EXPIRY_WARNING = timedelta(days=30)
"""Long enough for a hospital's own authority to issue the next one."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `certificate` (with its chain) and `private_key`: who we are. `authorities`: whose word we take.

    A caller without certificate does not say who it is; without `authorities` it trusts those of the operating system.
    A listener needs a certificate; with `authorities` it asks every caller for one of theirs (mutual TLS).
    """

    certificate: Path | None = None
    private_key: Path | None = None
    authorities: Path | None = None


def listening_context(files: TlsFiles) -> ssl.SSLContext:
    """For those who accept connections.

    Raises:
        ConfigError: a file is missing or is not what it should be; the message names it, and never what is in it.
    """
    context = _profile(ssl.PROTOCOL_TLS_SERVER)
    if files.certificate is None or files.private_key is None:
        raise ConfigError("TLS: a listener needs a certificate and its private key")
    _identify(context, files.certificate, files.private_key)
    if files.authorities is not None:
        _trust(context, files.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def calling_context(files: TlsFiles, *, check_host_name: bool = True) -> ssl.SSLContext:
    """For those who open connections: the other side must prove itself, by name too unless `check_host_name` is off.

    Raises:
        ConfigError: as above.
    """
    context = _profile(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_host_name
    if files.certificate is not None and files.private_key is not None:
        _identify(context, files.certificate, files.private_key)
    if files.authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, files.authorities)
    return context


def expires_at(certificate: Path) -> datetime:
    """When the first certificate of a PEM file ends, UTC.

    Raises:
        ConfigError: there is none in it.
    """
    try:
        # the one reader of X.509 in the standard library; it takes the first certificate of the file
        facts = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"{certificate}: no certificate can be read from it (PEM is needed)") from error
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(facts["notAfter"]), UTC)


def expiry_remark(certificate: Path, now: datetime) -> str | None:
    """What an administrator should be told about the end of a certificate; None while that is far away.

    Raises:
        ConfigError: as above.
    """
    end = expires_at(certificate)
    if end <= now:
        return f"{certificate} ended on {end:%Y-%m-%d}: connections are refused until it is renewed"
    if end - now <= EXPIRY_WARNING:
        return f"{certificate} ends on {end:%Y-%m-%d}, in {(end - now).days} days: renew it"
    return None


def _profile(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_OF_TLS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _identify(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    _require(certificate)
    _require(private_key)
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except _PasswordNeeded as error:
        raise ConfigError(f"{private_key}: the key is encrypted; give one without a passphrase, mode 0600") from error
    except ssl.SSLError as error:
        text = "the two do not belong together" if "KEY_VALUES_MISMATCH" in str(error) else "PEM files are needed"
        raise ConfigError(f"{certificate} and {private_key} cannot be used: {text}") from error


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    _require(authorities)
    try:
        context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        raise ConfigError(f"{authorities}: no certificate can be read from it (PEM is needed)") from error


def _require(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error


class _PasswordNeeded(Exception):
    """Raised where OpenSSL would ask on the terminal."""


def _no_password() -> str:
    raise _PasswordNeeded
