"""The page on which a picture is tried out; the process that looks is a stand-in here, see ../trial."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from dicom_node.config import NarrativeSection
from dicom_node.errors import Refused
from dicom_node.trial.asked import Settings, TrialAsked
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from dicom_node.web.routers.models import rendered
from tests.unit.dicom_node.web.browser import Browser
from tests.unit.dicom_node.web.stage import PATIENT_ID, Stage, still

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
ANSWER: dict[str, Any] = {
    "status": "measured",
    "reason": None,
    "warnings": ["standard_plane_not_verified"],
    "model": "some-net",
    "frame": 1,
    "frames_used": [1],
    "hc_mm": 170.4,
    "hc_low_mm": 168.0,
    "hc_high_mm": 173.0,
    "ga_days": 143,
    "ga_low_days": 135,
    "ga_high_days": 151,
    "bpd_mm": 47.0,
    "ofd_mm": 60.0,
    "cephalic_index_percent": 78.3,
    "quality": 0.99,
    "pixel_spacing_mm": [0.2, 0.2],
    "seconds": 0.2,
    "measurements": [],
    "ellipse": {"center_col_px": 5, "center_row_px": 5, "semi_major_px": 4, "semi_minor_px": 3, "angle_deg": 10},
}
NOTHING = {
    **dict.fromkeys(ANSWER),
    "status": "abstained",
    "reason": "no_head_found",
    "warnings": [],
    "model": "some-net",
    "frames_used": [1],
    "measurements": [],
    "seconds": 0.1,
}


class StandIn:
    """Writes what the real process writes, without looking."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.asked: list[TrialAsked] = []
        self.truths: list[bytes | None] = []
        self.failure: Exception | None = None

    def ask(self, asked: TrialAsked) -> dict[str, Any]:
        self.asked.append(asked)
        self.truths.append(None if asked.truth is None else asked.truth.read_bytes())
        if self.failure is not None:
            raise self.failure
        looks = []
        for number, settings in enumerate(asked.looks):
            (asked.out / str(number)).mkdir()
            files = ["frame-1.png", "attention.png", "report.pdf"]
            for name in files:
                Image.new("RGB", (10, 10)).save(asked.out / str(number) / name, "PNG")
            truth = (
                None if asked.truth is None else {"dice": 0.9712, "hc_mm": 169.0, "difference_mm": 1.4, "reason": None}
            )
            told = {"level": settings.level or 0.5, "truth": truth, "author": "some-model" if asked.worded else None}
            looks.append({"answer": self.answer, **told, "files": files})
        return {"known_hc_mm": None, "rows": 10, "columns": 10, "frame_count": 1, "looks": looks}


@pytest.fixture
def desk(console: Console) -> StandIn:
    made = StandIn(ANSWER)
    console.__dict__["desk"] = made
    return made


def send(browser: Browser, files: dict[str, Any] | None = None, **fields: str) -> Any:
    data = {"csrf": browser.token("/try"), **fields}
    return browser.client.post("/try", data=data, files=files or {}, follow_redirects=False)


def tried(browser: Browser, **fields: str) -> str:
    answer = send(browser, {"file": ("a.png", PNG)}, **fields)
    assert answer.status_code == 303
    return str(answer.headers["location"])


def test_the_form_is_there_for_everybody_who_is_signed_in(viewer: Browser, browser: Browser) -> None:
    page = viewer.get("/try")
    assert page.status_code == 200
    assert "24 weeks, HC 224 mm" in page.text
    assert Browser(viewer.console).get("/try").status_code == 303


def test_an_image_that_was_received_is_looked_at_closer(viewer: Browser, desk: StandIn, console: Console) -> None:
    """By its number and not its name; where the look fails, nothing of it lies about."""
    uid = Stage(console.repository, console.data_dir).receive(still())
    (instance,) = console.repository.versions(uid)
    answer = viewer.post(f"/instances/{instance.id}/closer", page="/try")
    assert answer.status_code == 303
    page = viewer.get(answer.headers["location"]).text
    assert f"#{instance.id}" in page
    assert PATIENT_ID not in page
    assert desk.asked[0].file == console.data_dir / instance.path
    desk.failure = Refused("The look ended.")
    assert viewer.post(f"/instances/{instance.id}/closer", page="/try").status_code == 409
    assert len(list((console.data_dir / "trials").iterdir())) == 1
    assert viewer.post("/instances/4711/closer", page="/try").status_code == 404
    assert console.repository.result_of(instance.id) is None


def test_a_file_is_shown_and_gone(viewer: Browser, desk: StandIn) -> None:
    address = tried(viewer, row_mm="0.2")
    page = viewer.get(address).text
    assert "<strong>170.4 mm</strong>" in page
    assert "168.0 – 173.0 mm" in page
    assert "The standard plane was not verified." in page
    (asked,) = desk.asked
    assert (asked.row_mm, asked.column_mm, asked.name, asked.looks) == (0.2, 0.2, "a.png", (Settings(),))
    assert not asked.file.exists()
    picture = re.search(r'src="(/try/[^"]+frame-1.png)"', page)
    assert picture is not None
    assert viewer.get(picture[1]).headers["content-type"] == "image/png"
    report = viewer.get(f"{address}/files/0/report.pdf")
    assert "attachment" in report.headers["content-disposition"]


def test_a_mask_is_compared_and_gone(viewer: Browser, desk: StandIn) -> None:
    answer = send(viewer, {"file": ("a.png", PNG), "truth": ("mask.png", PNG + b"mask")})
    page = viewer.get(answer.headers["location"]).text
    assert "0.9712" in page
    assert desk.truths == [PNG + b"mask"]
    assert desk.asked[0].truth is not None
    assert not desk.asked[0].truth.exists()


def test_two_looks_stand_side_by_side(viewer: Browser, desk: StandIn) -> None:
    page = viewer.get(tried(viewer, compare="true", threshold="0.4", other_threshold="0.6")).text
    assert desk.asked[0].looks == (Settings(level=0.4), Settings(level=0.6))
    assert "outline at 0.40" in page
    assert "outline at 0.60" in page
    assert 'class="looks two"' in page


def test_an_example_needs_no_file(viewer: Browser, desk: StandIn) -> None:
    answer = send(viewer, example="2")
    assert "24 weeks, HC 224 mm" in viewer.get(answer.headers["location"]).text
    assert desk.asked[0].example == 2


def test_an_abstention_says_why(viewer: Browser, desk: StandIn) -> None:
    desk.answer = NOTHING
    assert "No fetal head was found." in viewer.get(tried(viewer)).text


@pytest.mark.parametrize("fields", [{"threshold": "2"}, {"example": "99"}, {"row_mm": "-1"}, {"model": "../x"}])
def test_what_no_form_would_send_is_refused(viewer: Browser, desk: StandIn, fields: dict[str, str]) -> None:
    assert send(viewer, {"file": ("a.png", PNG)}, **fields).status_code == 422
    assert desk.asked == []


def test_nothing_chosen_is_told(viewer: Browser, desk: StandIn) -> None:
    answer = send(viewer)
    assert answer.status_code == 422
    assert "Choose a file or one of the examples." in answer.text


def test_a_failure_leaves_nothing_behind(viewer: Browser, desk: StandIn) -> None:
    desk.failure = Refused("no model x")
    answer = send(viewer, {"file": ("a.png", PNG)})
    assert (answer.status_code, "no model x" in answer.text) == (409, True)
    assert not desk.asked[0].out.exists()


def test_nobody_else_sees_it(viewer: Browser, desk: StandIn) -> None:
    address = tried(viewer)
    other = Browser(viewer.console).sign_in(UserRole.ADMIN)
    for path in (address, f"{address}/files/0/frame-1.png"):
        assert other.get(path).status_code == 404
    assert other.post(f"{address}/forget", page="/try").status_code == 404
    assert viewer.get(f"{address}/files/0/../../../node.sqlite3").status_code == 404
    assert viewer.get(f"{address}/files/..%2f..%2fnode.sqlite3").status_code == 404


def test_it_is_forgotten_when_its_owner_says_so(viewer: Browser, desk: StandIn) -> None:
    address = tried(viewer)
    assert address in viewer.get("/try").text
    assert viewer.post(f"{address}/forget", page="/try").status_code == 303
    assert viewer.get(address).status_code == 404
    assert not desk.asked[0].out.exists()


def test_it_is_kept_when_its_owner_says_so(viewer: Browser, desk: StandIn) -> None:
    address = tried(viewer)
    assert Browser(viewer.console).sign_in(UserRole.ADMIN).post(f"{address}/keep", page="/try").status_code == 404
    assert viewer.post(f"{address}/keep", page="/try").status_code == 303
    assert "kept</span>" in viewer.get(address).text
    assert "/keep" not in viewer.get(address).text
    assert viewer.get(f"{address}/files/0/frame-1.png").status_code == 200
    assert not desk.asked[0].out.exists()
    assert viewer.post(f"{address}/forget", page="/try").status_code == 303
    assert viewer.get(address).status_code == 404


def test_a_sweep_is_made_where_it_is_asked_for(viewer: Browser, desk: StandIn) -> None:
    assert "was made of a still" not in viewer.get(tried(viewer, spoilt="0.5")).text
    assert "was made of a still" in viewer.get(tried(viewer, sweep="true", spoilt="0.5")).text
    assert "was made of a still" in viewer.get(tried(viewer, sweep="true", spoilt="")).text
    assert [asked.sweep for asked in desk.asked] == [None, 0.5, 0.0]
    assert send(viewer, {"file": ("a.png", PNG)}, sweep="true", spoilt="0.9").status_code == 422


def test_nobody_is_asked_for_words_unless_it_is_configured(viewer: Browser, desk: StandIn) -> None:
    assert "no language model is configured" in viewer.get("/try").text
    page = viewer.get(tried(viewer, worded="true")).text
    assert not desk.asked[0].worded
    assert "worded" not in page


def test_a_language_model_words_the_report_where_it_is_configured_and_asked_for(
    console: Console, desk: StandIn
) -> None:
    narrative = NarrativeSection(mode="llm", model="some-model")
    worded = replace(console, config=console.config.model_copy(update={"narrative": narrative}))
    worded.__dict__["desk"] = desk
    browser = Browser(worded).sign_in(UserRole.VIEWER)
    assert "Let some-model word the report" in browser.get("/try").text
    assert "worded by some-model" in browser.get(tried(browser, worded="true")).text
    assert "worded" not in browser.get(tried(browser)).text
    assert [asked.worded for asked in desk.asked] == [True, False]


def test_a_name_with_markup_is_text(viewer: Browser, desk: StandIn) -> None:
    answer = send(viewer, {"file": ("<script>alert(1)</script>.png", PNG)})
    page = viewer.get(answer.headers["location"]).text
    assert "<script>alert" not in page
    assert "script&gt;.png" in page


# --- model cards -----------------------------------------------------------------------------------------------------


def test_cards_and_evaluation_are_readable(viewer: Browser) -> None:
    page = viewer.get("/models").text
    for card in re.findall(r'href="(/models/cards/[^"]+)"', page):
        assert "Intended use" in viewer.get(card).text
    assert viewer.get("/models/cards/nothing").status_code == 404
    evaluation = viewer.get("/models/evaluation").text
    pictures = re.findall(r'src="(/models/evaluation/files/[^"]+)"', evaluation)
    assert pictures
    assert viewer.get(pictures[0]).headers["content-type"] == "image/png"
    assert not re.findall(r'(?:href|src)="(?!/|https://|#)', evaluation)
    for path in ("../../pyproject.toml", "folds/../../../config.yaml", "folds/first-stage.json", "folds"):
        assert viewer.get(f"/models/evaluation/files/{path}").status_code == 404


def test_a_page_cannot_bring_script() -> None:
    html = rendered("<script>alert(1)</script>\n\n[x](javascript:alert(1)) [y](../secret) ![z](../x.png)")
    assert "<script" not in html
    assert re.findall(r'(?:href|src)="([^"]*)"', html) == ["/models", "/models"]
