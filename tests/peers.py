"""Programs that are not ours: where they are, and how to get the ones that are missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

DEBIAN_PACKAGE = {
    "storescu": "dcmtk",
    "storescp": "dcmtk",
    "dcmsend": "dcmtk",
    "echoscu": "dcmtk",
    "findscu": "dcmtk",
    "dsrdump": "dcmtk",
    "dsr2xml": "dcmtk",
    "dsr2html": "dcmtk",
    "dcmdump": "dcmtk",
    "dcmp2pgm": "dcmtk",
    "dcmpschk": "dcmtk",
    "dcmcjpeg": "dcmtk",
    "dcmdjpeg": "dcmtk",
    "dcmcjpls": "dcmtk",
    "dcmcrle": "dcmtk",
    "dcmconv": "dcmtk",
    "img2dcm": "dcmtk",
    "gdcmconv": "libgdcm-tools",
    "gdcmscu": "libgdcm-tools",
    "ojph_compress": "openjph-tools",
    "openssl": "openssl",
    "dciodvfy": "dicom3tools",
    "dcentvfy": "dicom3tools",
    "Orthanc": "orthanc orthanc-dicomweb",
    "rsyslogd": "rsyslog-gnutls",
    "strace": "strace",
    "ip": "iproute2",
    "pdftoppm": "poppler-utils",
    "pdftotext": "poppler-utils",
    "psql": "postgresql",
    "postgres": "postgresql",
    "pg_dump": "postgresql",
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
    "promtool": "prometheus",
}

POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian keeps the servers, one folder per version."""


def outside_path(path: str, venv_bin: Path) -> str:
    """PATH without the virtual environment: pynetdicom installs a `storescu` of its own there, which is not the peer.

    /usr/sbin is added because Debian keeps Orthanc there and an ordinary user's PATH leaves it out, and the folder of
    the newest PostgreSQL server, which Debian leaves out of everybody's.
    """
    folders = [folder for folder in path.split(os.pathsep) if folder and Path(folder) != venv_bin]
    folders += [folder for folder in ("/usr/sbin", *_postgresql_folders()) if folder not in folders]
    return os.pathsep.join(folders)


def _postgresql_folders() -> list[str]:
    """Of the newest version, if any."""
    versions = [path for path in POSTGRESQL.glob("*/bin") if path.parent.name.isdigit()]
    return [str(path) for path in sorted(versions, key=lambda path: int(path.parent.name))[-1:]]


def use_outside_path() -> None:
    """Make the bare name of a peer mean the peer, in this process and those it starts."""
    os.environ["PATH"] = outside_path(os.environ.get("PATH", os.defpath), Path(sys.prefix) / "bin")


def missing_peers(programs: Sequence[str]) -> str | None:
    """Why a test cannot run and the line that helps, or None when every program is there."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return None
    packages = dict.fromkeys(DEBIAN_PACKAGE.get(program, program) for program in missing)
    return f"{', '.join(missing)} not installed: sudo apt-get install {' '.join(packages)}"
