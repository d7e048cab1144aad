"""Every text attribute that DICOM knows, with markup in it, in an object that every page then shows."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from pydicom import config as pydicom_config
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset

from dicom_node.users import UserRole
from dicom_node.web.console import Console
from tests.reports import measurement
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.stage import STUDY, Stage, still

TEXT = frozenset({"CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AE", "AS", "DA", "TM", "DT"})
MEANT = frozenset({"SpecificCharacterSet", "PhotometricInterpretation", "Modality"})
"""Without these it is no picture any more."""

MARK = "zqx"
PAYLOAD = f"""<{MARK} onload=a>'"><script>{MARK}(1)</script>"""
PAGES = (
    "/",
    "/overview/now",
    "/studies",
    f"/studies/{STUDY}",
    "/work",
    "/work?shelf=waiting",
    "/try",
    "/models",
    "/setup",
    "/users",
    "/me",
)


class Markup(HTMLParser):
    """Which elements a page has that it should not have."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        script = tag == "script" and not str(values.get("src")).startswith("/static/")
        if tag == MARK or script or any(name.startswith("on") or MARK in name for name in values):
            self.wrong.append(tag)


def loaded(dataset: FileDataset) -> int:
    """Put the payload into every text attribute of the dictionary; how many."""
    count = 0
    for tag, (vr, _vm, _name, _retired, keyword) in DicomDictionary.items():
        if vr in TEXT and keyword not in MEANT and tag >> 16 > 2:
            dataset[tag] = DataElement(tag, vr, PAYLOAD, validation_mode=pydicom_config.IGNORE)
            count += 1
    return count


@pytest.fixture
def stage(console: Console) -> Stage:
    made = Stage(console.repository, console.data_dir)
    dataset = still()
    assert loaded(dataset) > 1500
    uid = made.receive(dataset)
    made.answer(uid, [measurement()])
    return made


def test_no_text_of_dicom_becomes_markup(stage: Stage, console: Console) -> None:
    """And of the attributes that a page shows the text is there, so that this test can fail."""
    admin = Browser(console).sign_in(UserRole.ADMIN)
    shown = ""
    for page in PAGES:
        answer = admin.get(page)
        assert answer.status_code == 200, page
        markup = Markup()
        markup.feed(answer.text)
        assert markup.wrong == [], page
        shown += answer.text
    found = admin.post("/studies", page="/studies", text=PAYLOAD)
    assert found.status_code == 200
    assert f"<{MARK}" not in found.text
    assert "&lt;script&gt;" in shown


def test_what_programs_get_is_never_taken_for_a_page(stage: Stage, console: Console) -> None:
    admin = Browser(console).sign_in(UserRole.ADMIN)
    series = admin.get(f"/dicom-web/studies/{STUDY}/series").json()[0]["0020000E"]["Value"][0]
    for path in (
        f"/dicom-web/studies/{STUDY}/metadata",
        f"/dicom-web/studies/{STUDY}/series/{series}/instances",
        f"/api/v1/studies/{STUDY}",
        "/api/v1/instances",
        "/instances/1/file",
        "/objects/1/file",
    ):
        answer = admin.get(path)
        assert answer.status_code == 200, path
        assert "html" not in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
