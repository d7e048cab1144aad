"""The demonstration's PACS takes our kinds of objects, and nothing from the network becomes a path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread

from dicom_node.deliver.scu import Cause, Link, PeerAddress, PermanentFailure, Sent, echo, outgoing, send
from dicom_node.demo.run import free_port
from dicom_node.demo.stand_in_pacs import AE_TITLE, stand_in_pacs, unpack
from tests.ultrasound import save, us_image

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def test_takes_results_and_shows_overlays(tmp_path: Path) -> None:
    pixels = np.full((4, 6, 3), 200, np.uint8)
    overlay = save(us_image(pixels, SOPClassUID=SECONDARY_CAPTURE, PatientID="../../x"), tmp_path / "a.dcm")
    other = save(us_image(pixels), tmp_path / "b.dcm")
    port, folder = free_port(), tmp_path / "received"
    link = Link("FETALHC", PeerAddress(AE_TITLE, "127.0.0.1", port), 3.0, 5.0)
    with stand_in_pacs(folder, port):
        assert echo(link).answered
        (_, first), (_, second) = send([outgoing(overlay), outgoing(other)], link)
    unpack(folder)
    assert first == Sent(0, "")
    assert isinstance(second, PermanentFailure)
    assert second.cause is Cause.CONTEXT_REFUSED
    assert sorted(path.name for path in folder.iterdir()) == ["0001-overlay.dcm", "0001-overlay.png"]
    assert np.array_equal(dcmread(folder / "0001-overlay.dcm").pixel_array, pixels)
