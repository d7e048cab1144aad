"""The console in a real browser over a real node: from the one-time link to a result in Orthanc, by clicks only.

Pictures of the pages: build/console/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicom_node.domain import USUAL_OBJECTS
from dicom_node.web.first_admin import LINK_FILE
from tests.acceptance.node import Node, coarse_weights, wait_for
from tests.acceptance.scanner import Scanner, head_image
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.receiving import SCANNER, free_port
from tests.ultrasound import save
from tests.viewer.browser import Browser, running_browser
from tests.viewer.browser import wait_for as wait_until
from tests.viewer.test_ohif import need

ROOT = Path(__file__).parents[2]
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_S = 90.0
PASSWORD = "calm otter lamp"  # noqa: S105  of a node that lives a minute
PEERS, DESTINATIONS = "Scanners that may send", "Destinations of results"
NO_PACS = "NOBODY"
SAID, ROW = "article.notice", "table.list tbody tr"
PAGES = ("Overview", "Queue", "Try it", "Models", "Users", "admin")

pytestmark = pytest.mark.peer("Orthanc", "node", "chromium")


@dataclass(frozen=True)
class Room:
    """Nothing is set up in `node`: no user, no peer, no destination."""

    folder: Path
    node: Node
    pacs: Orthanc
    browser: Browser

    def look(self, name: str) -> None:
        """Keep the page as it is seen, by day and by night; it keeps nobody out."""
        for scheme in ("dark", "light"):
            self.browser.keep(name, scheme)
            assert self.browser.faults() == [], f"{name}, {scheme}"

    def link(self) -> str:
        file = self.node.data_dir / LINK_FILE
        return wait_for(lambda: file.exists() and file.read_text(encoding="ascii").strip(), "no link", 90, self.node)

    def add_pacs(self, ae_title: str) -> None:
        given = {"Name": "pacs", "AE title": ae_title, "Host": self.pacs.host, "Port": str(self.pacs.port)}
        for label, text in given.items():
            self.browser.fill(label, text, DESTINATIONS)
        self.browser.click("Add the destination", DESTINATIONS)
        self.browser.see(f"section {ROW}", ae_title)

    def scan(self) -> str:
        """Send an image of a new study as a scanner does; its Study Instance UID."""
        study = generate_uid()
        image = head_image(4, StudyInstanceUID=study, SeriesInstanceUID=generate_uid(), PatientID="P-1")
        Scanner(self.node.port).push([save(image, self.folder / "image.dcm")], seconds=PATIENCE_S)
        return study


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    need(AXE, "axe-core", "make viewer")
    folder = tmp_path_factory.mktemp("console")
    sections = {
        "inference": {"weights_dir": str(coarse_weights(folder / "weights"))},
        "results": {"objects": [kind.value for kind in USUAL_OBJECTS], "study_quiet_s": 1.5},
        "web": {"enabled": True, "port": free_port()},
    }
    node = Node(folder / "node", {}, sections, peers=())
    with running_orthanc(folder / "orthanc") as pacs, running_browser(ROOT / "build" / "console") as browser:
        try:
            node.start()
            yield Room(folder, node, pacs, browser)
        finally:
            node.kill_all()


def test_the_link_makes_the_first_administrator(room: Room) -> None:
    browser, link = room.browser, room.link()
    browser.visit(link)
    room.look("welcome")
    browser.fill("Password", PASSWORD)
    browser.fill("The same again", PASSWORD)
    browser.click("Set the password and sign in")
    browser.see("h1", "Overview")
    assert not (room.node.data_dir / LINK_FILE).exists()


def test_a_wrong_ae_title_is_told_by_its_cause_and_repaired(room: Room) -> None:
    browser = room.browser
    browser.click("Set-up", role="link")
    browser.fill("AE title", SCANNER, PEERS)
    browser.fill("Addresses; empty: any", "127.0.0.1", PEERS)
    browser.click("Add the scanner", PEERS)
    browser.see(f"section {ROW}", SCANNER)
    room.add_pacs(NO_PACS)
    browser.click("Echo", DESTINATIONS)
    assert "[called_ae_refused]" in browser.see(f"{SAID}.bad", "pacs")
    room.look("echo-refused")
    browser.click("Remove", DESTINATIONS)
    browser.see(".empty", "results stay on this machine")
    room.add_pacs(room.pacs.ae_title)
    browser.click("Echo", DESTINATIONS)
    assert "It answers and knows us." in browser.see(f"{SAID}.good", "pacs")
    browser.click("Send a test object", DESTINATIONS)
    browser.see(f"{SAID}.good", "The test object has arrived.")
    room.look("set-up")


def test_an_image_is_listed_with_its_number_and_where_it_went(room: Room) -> None:
    browser, study = room.browser, room.scan()
    [report] = wait_for(lambda: room.node.repository.study_results(study), "no report", PATIENCE_S, room.node)
    room.node.wait_settled(1)
    browser.click("Studies", role="link")
    number = json.loads(report.document)["selected"]["hc_mm"]

    def row() -> str:
        browser.reload()
        return browser.see(ROW, "P-1")

    seen = wait_until(row, lambda text: "delivered" in text and "on their way" not in text, "not delivered")
    assert f"{number:.1f} mm" in seen
    assert "1 measured" in seen
    room.look("studies")
    browser.click("P-1", role="link")
    browser.see("h2", "Numbers")
    browser.see(".paper svg ellipse")
    room.look("study")
    sent = {delivery.sop_instance_uid for delivery in room.node.repository.deliveries((), 100)}
    assert sent
    assert sent <= room.pacs.instances()


@pytest.mark.parametrize("name", PAGES)
def test_the_other_pages_are_there_for_everybody(room: Room, name: str) -> None:
    room.browser.click(name, role="link")
    room.browser.see("h1", name)
    room.look(f"page-{name.lower().replace(' ', '-')}")
    assert room.browser.errors() == []
