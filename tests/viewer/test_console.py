"""The console in a real browser over a real node: from the one-time link to a result in Orthanc, by clicks only.

The tests are one story, in their order. Pictures of the pages: build/console/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dicom_node.domain import DeliveryState
from dicom_node.web.first_admin import LINK_FILE
from tests.acceptance.node import wait_for
from tests.acceptance.scanner import SMALL
from tests.phantoms import head_phantom
from tests.receiving import SCANNER
from tests.viewer.browser import wait_for as wait_until
from tests.viewer.room import (
    CINE_FRAMES,
    DESK,
    DESTINATIONS,
    HEAD,
    PATIENCE_S,
    PEERS,
    REFUSED,
    ROW,
    SAID,
    TABLET,
    Room,
    running_room,
)
from tests.viewer.test_ohif import need

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
NO_PACS = "NOBODY"
PAGES = ("/", "/studies", "/work", "/work?shelf=waiting", "/try", "/models", "/setup", "/users", "/me", "/nowhere")

pytestmark = pytest.mark.peer("Orthanc", "node", "chromium")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    need(AXE, "axe-core", "make viewer")
    with running_room(tmp_path_factory.mktemp("console")) as opened:
        yield opened


def test_the_link_makes_the_first_administrator(room: Room) -> None:
    room.browser.visit(room.link())
    room.look("welcome")
    room.set_password()
    assert not (room.node.data_dir / LINK_FILE).exists()
    assert "Add a scanner" in room.browser.see(SAID, "First steps")


def test_a_wrong_ae_title_is_told_by_its_cause_and_repaired(room: Room) -> None:
    browser = room.browser
    browser.click("Add a PACS, and press Echo", role="link")
    room.add_destination("pacs", room.pacs, NO_PACS)
    browser.click("Echo", DESTINATIONS)
    assert "[called_ae_refused]" in browser.see(f"{SAID}.bad", "pacs")
    room.look("echo-refused")
    browser.click("Change", DESTINATIONS)
    browser.see("h3", "Change pacs")
    browser.fill("AE title", room.pacs.ae_title, DESTINATIONS)
    browser.click("Save", DESTINATIONS)
    browser.click("Echo", DESTINATIONS)
    assert "It answers and knows us." in browser.see(f"{SAID}.good", "pacs")
    browser.click("Send a test object", DESTINATIONS)
    browser.see(f"{SAID}.good", "The test object has arrived.")
    assert len(room.pacs.instances()) == 1


def test_a_scanner_is_heard_and_answers(room: Room) -> None:
    """Both ways: it presses its verify button, and the node calls it."""
    browser, archive = room.browser, room.archive
    browser.fill("AE title", archive.ae_title, PEERS)
    browser.fill("Addresses; empty: any", "127.0.0.1", PEERS)
    browser.click("Add the scanner", PEERS)
    browser.see(f"#peer-list {ROW}", "not yet")
    wait_for(lambda: room.knock(archive.ae_title), "not let in", PATIENCE_S, room.node)
    browser.see(f"#peer-list {ROW} .chip.good")
    browser.click("Change", PEERS)
    browser.see("#peer-form h3", f"Change {archive.ae_title}")
    browser.unfold("Where it answers an Echo itself, if it does", PEERS)
    browser.fill("Host", archive.host, PEERS)
    browser.fill("Port", str(archive.port), PEERS)
    browser.click("Save", PEERS)
    browser.click("Echo", PEERS)
    assert "It answers and knows us." in browser.see(f"{SAID}.good", archive.ae_title)


def test_who_was_refused_is_let_in_by_a_click(room: Room) -> None:
    """The list renews itself: nobody has to load the page again while somebody stands at the scanner."""
    browser = room.browser
    assert not room.knock(SCANNER)
    browser.see(f"#refused-list {ROW}", SCANNER)
    room.look("set-up")
    browser.click("Allow this one", REFUSED)
    browser.see(f"#peer-list {ROW}", SCANNER)
    wait_for(lambda: room.knock(SCANNER), "not let in", PATIENCE_S, room.node)
    room.add_destination("archive", room.archive, room.archive.ae_title)
    assert browser.unreached() == []


def test_images_are_listed_with_their_number_and_where_it_went(room: Room) -> None:
    browser = room.browser
    browser.click("Studies", role="link")
    room.scan()
    row = browser.see("#study-list tbody tr", "P-1")  # it came while the page was open
    [report] = wait_for(lambda: room.node.repository.study_results(room.study), "no report", PATIENCE_S, room.node)
    room.node.wait_settled(2)
    number = json.loads(report.document)["selected"]["hc_mm"]

    def listed() -> str:
        return browser.see("#study-list tbody tr", "P-1")

    row = wait_until(listed, lambda text: f"{number:.1f} mm" in text and "given up" in text, "not listed")
    assert "2 measured" in row
    room.look("studies")
    taken = {delivery.sop_instance_uid for delivery in room.node.repository.deliveries([DeliveryState.SENT], 100)}
    assert taken
    assert taken <= room.pacs.instances()


def test_a_cine_is_watched(room: Room) -> None:
    browser = room.browser
    browser.click("P-1", role="link")
    browser.see("h2", "Numbers")
    browser.see(".paper svg ellipse")
    player = ".viewer:has(.cine:not([hidden]))"
    first = browser.see(f"{player} .which")
    assert first.endswith(f"/ {CINE_FRAMES}")
    assert browser.count(f"{player} .perframe .dot") == CINE_FRAMES
    assert browser.count(f"{player} .perframe .weight") == CINE_FRAMES
    shown = browser.attribute(f"{player} img", "src")
    browser.click("Play")
    wait_until(lambda: browser.see(f"{player} .which"), lambda told: told != first, "it stands still")
    assert browser.attribute(f"{player} img", "src") != shown
    browser.click("Pause")
    browser.see(".timeline", "Delivered")
    room.look("study")
    assert browser.unreached() == []


def test_why_the_outline_lies_there(room: Room) -> None:
    browser = room.browser
    browser.click("Attention and uncertainty")
    browser.see(".hc", "mm")
    browser.tick("Attention")
    assert browser.attribute(".picture img", "src").endswith("attention.png")
    room.look("closer")


def test_an_operator_brings_dead_letters_back(room: Room) -> None:
    """One by one and together, once the archive is repaired; a viewer only sees them."""
    browser, repository = room.browser, room.node.repository
    dead = repository.deliveries([DeliveryState.DEAD], 100)
    assert len(dead) > 2
    for name, role in (("vera", "viewer"), ("oskar", "operator")):
        browser.click("Users", role="link")
        browser.fill("Name", name)
        browser.choose("Role", role, "Add a user")
        browser.click("Add")
        link = browser.see("code.secret", "/welcome/")
        browser.click("Sign out")
        browser.visit(link.strip())
        room.set_password()
        if name == "vera":
            browser.click("Queue", role="link")
            browser.see(f"#queue {ROW}", "archive")
            assert browser.count("#queue button, a[href='/setup'], a[href='/users']") == 0
            browser.visit(f"{room.url}/setup")
            browser.see("h1", "Not allowed")
            room.sign_in("admin")
    assert browser.count("a[href='/setup']") == 0
    browser.click("Queue", role="link")
    browser.see(f"#queue {ROW}", "archive")
    room.look("queue")
    room.archive.word = 0
    browser.click("Send now")
    wait_until(lambda: len(room.archive.arrivals), lambda count: count == 1, "not sent")
    browser.click("Try all again")
    browser.see(".empty", "Nothing is in this state.")
    wait_until(lambda: len(room.archive.arrivals), lambda count: count == len(dead), "not sent")
    room.node.wait_settled(2)
    browser.click("Studies", role="link")
    browser.click("P-1", role="link")
    browser.click("Send again")
    wait_until(lambda: len(repository.deliveries([DeliveryState.SENT], 100)), lambda n: n == 2 * len(dead), "not again")


def test_a_png_is_measured_with_the_size_of_its_pixels(room: Room) -> None:
    """The same picture as in the cine: the same number."""
    browser, phantom = room.browser, head_phantom(HEAD, shape=SMALL)
    file = room.folder / "head.png"
    Image.fromarray(phantom.luminance).save(file)
    room.sign_in("admin")
    browser.click("Try it", role="link")
    browser.attach("input[name=file]", file)
    browser.fill("mm per pixel, rows", f"{phantom.spacing_mm.row:.6f}")
    browser.click("Look at it")
    told = browser.see(".hc", "mm").split()[0]
    [report] = room.node.repository.study_results(room.study)
    assert float(told) == pytest.approx(json.loads(report.document)["selected"]["hc_mm"], abs=0.2)
    browser.see(".picture svg ellipse")
    room.look("tried")


@pytest.mark.parametrize(("language", "scheme"), [("English", "light"), ("Deutsch", "dark")])
def test_no_page_keeps_anybody_out(room: Room, language: str, scheme: str) -> None:
    """With a keyboard, a screen reader, or the tablet beside the scanner. The other two pairs: the slow one below."""
    walk(room, language, scheme)


@pytest.mark.slow
@pytest.mark.parametrize(("language", "scheme"), [("English", "dark"), ("Deutsch", "light")])
def test_no_page_keeps_anybody_out_in_any_dress(room: Room, language: str, scheme: str) -> None:
    walk(room, language, scheme)


def walk(room: Room, language: str, scheme: str) -> None:
    browser = room.browser
    if browser.count("a[href='/users']") == 0:
        room.sign_in("admin")
    browser.click("FETALHC", role="link")
    if browser.attribute("html", "lang") != language[:2].lower():
        browser.click(language, role="link")
    for page in (*PAGES, f"/studies/{room.study}", "/setup/destination/pacs/change", "/models/evaluation"):
        browser.visit(f"{room.url}{page}")
        browser.see("h1, article.markdown")
        name = f"{language}{page.replace('/', '-').replace('?', '-')}"[:60]
        browser.resize(*TABLET)
        browser.keep(f"tablet-{name}", scheme)
        assert browser.overflow() == [], page
        browser.resize(*DESK)
        assert browser.faults() == [], f"{page}, {language}, {scheme}"
    serious = ("5", "TypeError: Cannot", "ReferenceError", "SyntaxError")  # not: a page was left too soon
    assert [line for line in browser.errors() if line.startswith(serious)] == []
