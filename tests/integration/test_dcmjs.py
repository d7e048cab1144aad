"""dcmjs-dimse, a DICOM of its own in JavaScript, as a scanner: plain and over mutual TLS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.config import PeerEntry
from tests.certificates import make_authority
from tests.fakes import FakeRepository
from tests.receiving import OUR_AE, SCANNER, free_port, receiver_config, receiver_thread
from tests.ultrasound import save, us_image

FOLDER = Path(__file__).resolve().parents[1] / "dcmjs"


@pytest.fixture(autouse=True)
def _installed() -> None:
    if (FOLDER / "node_modules" / "dcmjs-dimse").is_dir():
        return
    reason = "dcmjs-dimse is not installed: make dcmjs"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def scan(port: int, path: Path, secrets: Sequence[Path] = (), calling: str = SCANNER) -> list[str]:
    """Echo and store; what became of each."""
    command = ["node", str(FOLDER / "scanner.cjs"), str(port), calling, OUR_AE, str(path), *map(str, secrets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith(("status", "rejected", "network"))]
    assert said, done.stdout + done.stderr
    return said


def image(tmp_path: Path) -> tuple[Path, str]:
    path = save(us_image(np.full((16, 16), 100, np.uint8)), tmp_path / "image.dcm")
    return path, str(dcmread(path).SOPInstanceUID)


@pytest.mark.peer("node")
def test_it_echoes_and_stores(tmp_path: Path) -> None:
    (path, uid), port, repository = image(tmp_path), free_port(), FakeRepository()
    with receiver_thread(receiver_config(tmp_path / "data", port), repository):
        assert scan(port, path) == ["status 0", "status 0"]
        assert scan(port, path, calling="STRANGER") == ["rejected"]
    assert [instance.sop_instance_uid for instance in repository.instances] == [uid]
    assert dcmread(tmp_path / "data" / repository.instances[0].path).PixelData == dcmread(path).PixelData


@pytest.mark.peer("node", "openssl")
def test_it_stores_over_mutual_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "ca")
    ours, theirs = authority.issue("node"), authority.issue("us1", san="DNS:us1.example.org")
    (path, uid), port, repository = image(tmp_path), free_port(), FakeRepository()
    tls = {"port": port, "certificate": ours.certificate, "private_key": ours.private_key}
    peer = PeerEntry(ae_title=SCANNER, certificate_name="us1.example.org")
    config = receiver_config(tmp_path / "data", free_port(), [peer], tls={**tls, "authorities": authority.certificate})
    with receiver_thread(config, repository):
        said = scan(port, path, (authority.certificate, theirs.private_key, theirs.certificate))
    assert said == ["status 0", "status 0"]
    assert [instance.sop_instance_uid for instance in repository.instances] == [uid]
