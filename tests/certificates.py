"""Certificates for tests, made by the `openssl` program: an authority, and whoever it signs for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from dicom_node.tls import TlsFiles

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_CA = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


@dataclass(frozen=True)
class Issued:
    """The two files of one party."""

    certificate: Path
    private_key: Path

    def files(self, authorities: Path | None = None) -> TlsFiles:
        return TlsFiles(self.certificate, self.private_key, authorities)


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder; `certificate` is what those who trust it need."""

    folder: Path
    certificate: Path

    def issue(self, name: str, *, san: str = "DNS:localhost,IP:127.0.0.1", days: int = 90) -> Issued:
        """Sign for `name`; negative `days`: it has ended already."""
        issued = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={san}")
        _openssl("req", *_KEY, "-keyout", str(issued.private_key), "-out", str(request), *subject)
        issuer = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial")
        signed = ("-copy_extensions", "copy", "-days", str(days), "-out", str(issued.certificate))
        _openssl("x509", "-req", "-in", str(request), *issuer, *signed)
        return issued


def make_authority(folder: Path) -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "ca.key", folder / "ca.pem"
    made = ("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=Test authority", "-days", "90")
    _openssl("req", "-x509", *_KEY, *made, *_CA)
    return Authority(folder, certificate)


def encrypted(key: Path) -> Path:
    """A copy of a private key that needs a passphrase."""
    locked = key.with_suffix(".locked")
    _openssl("pkey", "-in", str(key), "-out", str(locked), "-aes256", "-passout", "pass:secret")
    return locked


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
