"""The console in a browser over a real node, an Orthanc, and an archive that can be stubborn; nothing is set up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from dicom_node.deliver.scu import Link, PeerAddress, echo
from dicom_node.domain import USUAL_OBJECTS
from dicom_node.web.first_admin import LINK_FILE
from tests.acceptance.node import Node, coarse_weights, wait_for
from tests.acceptance.pacs import StandInPacs
from tests.acceptance.scanner import SMALL, Scanner, head_image
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.phantoms import head_phantom
from tests.receiving import OUR_AE, free_port
from tests.ultrasound import save, us_multiframe, us_region
from tests.viewer.browser import Browser, running_browser

ROOT = Path(__file__).parents[2]
PASSWORD = "calm otter lamp"  # noqa: S105  of a node that lives a minute
PATIENCE_S = 120.0
HEAD = 4
CINE_FRAMES = 4
PEERS, DESTINATIONS, REFUSED = "Scanners that may send", "Destinations of results", "Refused lately"
SAID, ROW = "article.notice", "table.list tbody tr"
DESK, TABLET = (1280, 800), (820, 1180)


class Stubborn(StandInPacs):
    """An archive that refuses for good what it is sent, until it has been repaired."""

    word = 0xA900

    def _on_store(self, event: Any) -> int:
        return self.word or super()._on_store(event)


@dataclass
class Room:
    """`node` has no user, no peer and no destination."""

    folder: Path
    node: Node
    pacs: Orthanc
    archive: Stubborn
    browser: Browser
    study: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.sections['web']['port']}"

    def link(self) -> str:
        file = self.node.data_dir / LINK_FILE
        return wait_for(lambda: file.exists() and file.read_text(encoding="ascii").strip(), "no link", 90, self.node)

    def look(self, name: str) -> None:
        """Keep the page as it is seen, by day and by night; it keeps nobody out."""
        for scheme in ("dark", "light"):
            self.browser.keep(name, scheme)
            assert self.browser.faults() == [], f"{name}, {scheme}"

    def add_destination(self, name: str, pacs: Orthanc | Stubborn, ae_title: str) -> None:
        given = {"Name": name, "AE title": ae_title, "Host": pacs.host, "Port": str(pacs.port)}
        for label, text in given.items():
            self.browser.fill(label, text, DESTINATIONS)
        self.browser.click("Add the destination", DESTINATIONS)
        self.browser.see(f"section {ROW}", ae_title)

    def set_password(self) -> None:
        """On the page that a one-time link leads to."""
        self.browser.fill("Password", PASSWORD)
        self.browser.fill("The same again", PASSWORD)
        self.browser.click("Set the password and sign in")
        self.browser.see("h1", "Overview")

    def sign_in(self, name: str) -> None:
        self.browser.click("Sign out")
        self.browser.fill("Name", name)
        self.browser.fill("Password", PASSWORD)
        self.browser.click("Sign in")
        self.browser.see("h1", "Overview")

    def knock(self, ae_title: str) -> bool:
        """The verify button of a scanner: whether the node answers it."""
        return echo(Link(ae_title, PeerAddress(OUR_AE, "127.0.0.1", self.node.port), 10.0, 30.0)).answered

    def scan(self) -> None:
        """Send a still and a cine of a new study as a scanner does."""
        self.study = generate_uid()
        common = {"StudyInstanceUID": self.study, "PatientID": "P-1", "PatientName": "Phantom^Anna"}
        files = [
            save(image, self.folder / f"{number}.dcm") for number, image in enumerate((still(**common), cine(**common)))
        ]
        Scanner(self.node.port).push(files, seconds=PATIENCE_S)


def still(**attributes: str) -> FileDataset:
    return head_image(HEAD, SeriesInstanceUID=generate_uid(), **attributes)


def cine(**attributes: str) -> FileDataset:
    """The head of the still in every frame."""
    phantom = head_phantom(HEAD, shape=SMALL)
    spacing = phantom.spacing_mm
    region = us_region((0, 0, SMALL[1] - 1, SMALL[0] - 1), (spacing.column / 10.0, spacing.row / 10.0))
    frames = np.stack([phantom.luminance] * CINE_FRAMES)
    return us_multiframe(frames, [region], SeriesInstanceUID=generate_uid(), **attributes)


@contextmanager
def running_room(folder: Path) -> Iterator[Room]:
    sections = {
        "inference": {"weights_dir": str(coarse_weights(folder / "weights"))},
        "results": {"objects": [kind.value for kind in USUAL_OBJECTS], "study_quiet_s": 1.5},
        "web": {"enabled": True, "port": free_port(), "look_s": 240},
    }
    node, archive = Node(folder / "node", {}, sections, peers=()), Stubborn(folder / "archive", "ARCHIVE")
    with running_orthanc(folder / "orthanc") as pacs, running_browser(ROOT / "build" / "console") as browser:
        try:
            archive.up()
            node.start()
            yield Room(folder, node, pacs, archive, browser)
        finally:
            node.kill_all()
            archive.down()
