"""Our objects as the OHIF viewer shows them, from a real archive, in a real browser. Pictures: build/viewer/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from inference.measure import outline_px
from sr_templates import abstention, capture, pdf, tid1500, tid5000, wording
from sr_templates.drawing import OUTLINE_COLOR
from tests.integration.orthanc import Orthanc, running_orthanc
from tests.viewer.browser import CORNER, PANE, PDF, Browser, running_browser, wait_for
from tests.viewer.exams import MEASURED_FRAME, SHAPE, SOURCE_SERIES, Exam, cine, single_frame
from tests.viewer.site import Archive, running_site

ROOT = Path(__file__).parents[2]
DIST = Path(__file__).parent / "node_modules" / "@ohif" / "app" / "dist"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

SR, OBSTETRIC_SR = tid1500.SHELL.series_description, tid5000.SHELL.series_description
REPORT, OVERLAY = pdf.SHELL.series_description, capture.OVERLAY.series_description
SILENT_SR = abstention.SHELL.series_description
WHITE = (255, 255, 255)

pytestmark = pytest.mark.peer("Orthanc", "node", "chromium")


@dataclass(frozen=True)
class Viewer:
    browser: Browser
    orthanc: Orthanc
    url: str

    def open(self, exam: Exam) -> list[str]:
        for file in exam.files:
            self.orthanc.store(file)
        return self.browser.open(f"{self.url}/viewer?StudyInstanceUIDs={exam.study_instance_uid}", len(exam.files))


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    need(DIST / "index.html", "the OHIF viewer", "make viewer")
    need(PLUGIN, "Orthanc's DICOMweb plug-in", "sudo apt-get install orthanc-dicomweb")
    with (
        running_orthanc(tmp_path_factory.mktemp("viewer") / "orthanc", [PLUGIN]) as orthanc,
        running_site(DIST, Archive(orthanc.host, orthanc.http_port)) as url,
        running_browser(ROOT / "build" / "viewer") as browser,
    ):
        yield Viewer(browser, orthanc, url)


def need(file: Path, what: str, install: str) -> None:
    if not file.is_file():
        reason = f"{what} not installed: {install}"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(reason)


@dataclass(frozen=True)
class Opened:
    browser: Browser
    exam: Exam
    series: list[str]


@pytest.fixture(scope="module")
def opened(viewer: Viewer) -> Opened:
    exam = single_frame()
    return Opened(viewer.browser, exam, viewer.open(exam))


def test_the_study_lists_our_series_beside_the_source(opened: Opened) -> None:
    opened.browser.picture("study")
    assert sorted(opened.series) == sorted([SOURCE_SERIES, SR, OBSTETRIC_SR, SILENT_SR, REPORT, OVERLAY])


def test_the_measurement_report_draws_outline_and_numbers_on_the_source_image(opened: Opened) -> None:
    show_measurements(opened.browser)
    opened.browser.picture("measurements")
    view = opened.browser.read()
    [outline] = view.outlines
    expected = view.to_view(outline_of(opened.exam), SHAPE)
    assert distances(outline, expected).max() < 0.6  # half a pixel of the image is 0.6 of the screen
    assert distances(expected, outline).max() < 8  # all the way round: half of the way from point to point
    assert list(view.labels[:2]) == numbers(opened.exam)


def show_measurements(browser: Browser) -> None:
    """With a touch: over a source that is on the screen already, OHIF 3.13 draws them when it draws again only."""
    browser.show(SR, PANE, "SR")
    for _ in range(2):
        browser.press("i")  # inverts the greys, and back
    wait_for(browser.read, lambda view: bool(view.outlines), "no outline")


def outline_of(exam: Exam) -> NDArray[np.float64]:
    return np.asarray(outline_px(exam.facts.measurement.ellipse, 2048), np.float64)


def numbers(exam: Exam) -> list[str]:
    head = exam.facts.measurement
    return [f"Head Circumference: {head.hc_mm:.2f} mm", f"Gestational Age: {head.age.days:.2f} d"]


def distances(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each point, [n, 2], to the nearest of the others, [m, 2]."""
    return np.asarray(np.linalg.norm(points[:, None] - others[None], axis=2).min(axis=1), np.float64)


def test_the_obstetric_report_reads_as_text(opened: Opened) -> None:
    opened.browser.show(OBSTETRIC_SR, PANE, "Head Circumference")
    opened.browser.picture("obstetric")
    text, head = opened.browser.read().text, opened.exam.facts.measurement
    for said in (f"{head.hc_mm:.1f} mm", f"{head.age.days} days", "Fetal Biometry Ratios", wording.AI_NOT_VERIFIED):
        assert said in text


def test_the_pdf_is_shown_as_it_was_sent(opened: Opened) -> None:
    opened.browser.show(REPORT, PDF)
    page = wait_for(lambda: opened.browser.picture("report"), lambda seen: share(seen, WHITE) > 0.25, "no page")
    assert near(page, OUTLINE_COLOR).any()  # our outline, on the page
    sent = next(ds for ds in map(dcmread, map(BytesIO, opened.exam.files)) if "EncapsulatedDocument" in ds)
    length = sent.EncapsulatedDocumentLength
    assert opened.browser.document()[:length] == sent.EncapsulatedDocument[:length]


def test_the_overlay_shows_the_outline_where_the_head_is(opened: Opened) -> None:
    opened.browser.show(OVERLAY, CORNER, OVERLAY)
    seen = wait_for(
        lambda: opened.browser.picture("overlay"), lambda seen: share(seen, OUTLINE_COLOR) > 0.001, "no outline"
    )
    rows, columns = np.nonzero(near(seen, OUTLINE_COLOR))
    expected = opened.browser.read().to_view(outline_of(opened.exam), SHAPE)
    assert distances(expected, np.stack([columns, rows], axis=1)).max() < 2


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Pixels of a colour, [rows, columns]; a viewer interpolates."""
    return np.asarray(np.abs(picture.astype(np.int16) - colour).max(axis=2) < 24)


def share(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float(near(picture, colour).mean())


def test_the_page_outlives_a_report_without_coordinates(opened: Opened) -> None:
    """OHIF draws nothing for it, not even its words; the series says that there is no measurement."""
    opened.browser.show(SILENT_SR, PANE)
    opened.browser.show(SOURCE_SERIES, CORNER, SOURCE_SERIES)


def test_nothing_went_wrong_on_the_page(opened: Opened) -> None:
    assert opened.browser.errors() == []


def test_a_cine_opens_at_the_measured_frame_and_only_there_is_the_outline(viewer: Viewer) -> None:
    exam = cine()
    viewer.open(exam)
    show_measurements(viewer.browser)
    viewer.browser.picture("cine")
    assert f"({MEASURED_FRAME}/3)" in viewer.browser.read().corners["bottom-right"]
    viewer.browser.press("ArrowDown")
    wait_for(viewer.browser.read, lambda view: "(3/3)" in view.corners["bottom-right"], "no next frame")
    wait_for(viewer.browser.read, lambda view: not view.outlines, "the outline is on another frame too")
