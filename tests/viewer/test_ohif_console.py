"""The OHIF viewer on the node's own DICOMweb, without an archive: picture, report and page. Pictures: build/viewer/."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
import uvicorn
from pydicom import dcmread

from dicom_node.config import Config, NodeSection
from dicom_node.domain import NewInstance, NewObject, NewResult, ResultKind
from dicom_node.queue import utc_now
from dicom_node.storage.files import OBJECTS, durable_write, make_folder
from dicom_node.storage.repository import Repository
from dicom_node.users import TOKEN_PREFIX, ApiToken, UserRole, new_secret
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from sr_templates import capture, pdf, tid1500, tid5000
from tests.viewer.browser import CORNER, PDF, Browser, running_browser, wait_for
from tests.viewer.exams import SHAPE, SOURCE_SERIES, Exam, single_frame
from tests.viewer.site import Archive, running_site
from tests.viewer.test_ohif import (
    DIST,
    OUTLINE_COLOR,
    OVERLAY,
    REPORT,
    WHITE,
    distances,
    need,
    numbers,
    outline_of,
    share,
    show_measurements,
)

ROOT = Path(__file__).parents[2]
KINDS = (ResultKind.TID1500, ResultKind.PDF, ResultKind.OVERLAY, ResultKind.TID5000)
"""Of the files of an exam behind the source image, in their order; one further says why nothing was measured."""

pytestmark = [
    pytest.mark.peer("node", "chromium"),
    pytest.mark.slow,  # that the viewer shows our objects, and what our DICOMweb answers, is tested with every change
]


@pytest.fixture(scope="module")
def exam() -> Exam:
    return single_frame()


@pytest.fixture(scope="module")
def opened(exam: Exam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, list[str]]]:
    need(DIST / "index.html", "the OHIF viewer", "make viewer")
    with (
        running_console(tmp_path_factory.mktemp("console"), exam) as archive,
        running_site(DIST, archive) as url,
        running_browser(ROOT / "build" / "viewer") as browser,
    ):
        yield browser, browser.open(f"{url}/viewer?StudyInstanceUIDs={exam.study_instance_uid}", 1 + len(KINDS))


@contextmanager
def running_console(data_dir: Path, exam: Exam) -> Iterator[Archive]:
    """A console whose node has received the exam's image and answered it with its objects."""
    config = Config(node=NodeSection(data_dir=data_dir))
    repository = Repository.open(config.database_url)
    repository.migrate()
    fill(repository, data_dir, exam)
    secret, now = TOKEN_PREFIX + new_secret(), utc_now()
    repository.accounts.add_user("vera", UserRole.VIEWER, now)
    repository.accounts.add_token("vera", ApiToken(0, "vera", "viewer", UserRole.VIEWER, now, None, None), secret, now)
    app = build_app(Console(config, repository))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, name="console")
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Archive("127.0.0.1", port, {"Authorization": f"Bearer {secret}"})
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        repository.close()


def fill(repository: Repository, data_dir: Path, exam: Exam) -> None:
    source, now = dcmread(BytesIO(exam.files[0])), utc_now()
    make_folder(data_dir / OBJECTS)

    def stored(content: bytes) -> str:
        return durable_write(data_dir / OBJECTS, content).relative_to(data_dir).as_posix()

    repository.register(
        NewInstance(
            sop_instance_uid=source.SOPInstanceUID,
            sop_class_uid=source.SOPClassUID,
            study_instance_uid=source.StudyInstanceUID,
            series_instance_uid=source.SeriesInstanceUID,
            transfer_syntax_uid=source.file_meta.TransferSyntaxUID,
            path=stored(exam.files[0]),
            size_bytes=len(exam.files[0]),
            sha256="of the image",
            calling_ae="SCANNER",
            called_ae="FETALHC",
            peer_host="127.0.0.1",
            measurable=True,
        ),
        now,
    )
    made = [
        NewObject(kind, str(header.SOPClassUID), str(header.SOPInstanceUID), stored(content), f"of {kind}")
        for kind, content in zip(KINDS, exam.files[1:], strict=False)
        if (header := dcmread(BytesIO(content), stop_before_pixels=True))
    ]
    job = repository.claim_job("worker", 60.0, now)
    assert job is not None
    repository.commit_result(job, NewResult("f", "measured", None, "{}", tuple(made)), (), now)


def test_the_study_lists_its_series(opened: tuple[Browser, list[str]]) -> None:
    ours = (tid1500.SHELL, pdf.SHELL, capture.OVERLAY, tid5000.SHELL)
    assert sorted(opened[1]) == sorted([SOURCE_SERIES, *(shell.series_description for shell in ours)])


def test_the_report_draws_outline_and_numbers_on_the_image(opened: tuple[Browser, list[str]], exam: Exam) -> None:
    browser, _ = opened
    show_measurements(browser)
    browser.picture("console-measurements")
    view = browser.read()
    [outline] = view.outlines
    assert distances(outline, view.to_view(outline_of(exam), SHAPE)).max() < 0.6
    assert list(view.labels[:2]) == numbers(exam)


def test_the_pdf_is_shown_as_it_is_stored(opened: tuple[Browser, list[str]], exam: Exam) -> None:
    browser, _ = opened
    browser.show(REPORT, PDF)
    wait_for(lambda: browser.picture("console-report"), lambda seen: share(seen, WHITE) > 0.25, "no page")
    sent = next(ds for ds in map(dcmread, map(BytesIO, exam.files)) if "EncapsulatedDocument" in ds)
    length = sent.EncapsulatedDocumentLength
    assert browser.document()[:length] == sent.EncapsulatedDocument[:length]


def test_the_overlay_shows_its_outline(opened: tuple[Browser, list[str]]) -> None:
    browser, _ = opened
    browser.show(OVERLAY, CORNER, OVERLAY)
    wait_for(lambda: browser.picture("console-overlay"), lambda seen: share(seen, OUTLINE_COLOR) > 0.001, "no outline")
    assert browser.errors() == []
