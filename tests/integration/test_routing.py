"""Rules at the door of the real receiver, and originals that the courier sends on byte for byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt

from dicom_node.config import Config
from dicom_node.deliver import courier
from dicom_node.domain import JobKind, Priority
from dicom_node.explaining import Sender, explain
from dicom_node.storage.repository import Repository
from sr_templates.uids import UID_ROOT
from tests.receiving import OUR_AE, SCANNER, eventually, free_port, receiver_config, receiver_thread
from tests.scu import Request, association, store
from tests.ultrasound import US_IMAGE, save, us_image

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CLASSES = (US_IMAGE, COMPREHENSIVE_SR, SECONDARY_CAPTURE)

RULES: list[dict[str, Any]] = [
    {"name": "echo", "when": {"series_description": "*écho*"}, "action": "ignore", "send": {"archive": ["original"]}},
    {"name": "reports", "when": {"modality": "SR"}, "send": {"archive": None}},
    {"name": "captures", "when": {"sop_class": SECONDARY_CAPTURE}, "action": "measure", "send": {"archive": []}},
    {"name": "cines", "when": {"tags": {"NumberOfFrames": {"at_least": 2}}}, "priority": "low", "send": {}},
]


class Archive:
    """Takes everything and keeps data sets as they came, by UID, with their transfer syntax."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: dict[str, tuple[str, bytes]] = {}

    def on_store(self, event: evt.Event) -> int:
        data = event.encoded_dataset(include_meta=False)
        self.received[str(event.request.AffectedSOPInstanceUID)] = (str(event.context.transfer_syntax), data)
        return 0x0000


@contextmanager
def listening(archive: Archive) -> Iterator[None]:
    entity = AE("VNA")
    for sop_class in CLASSES:
        entity.add_supported_context(sop_class, [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    server = entity.start_server(
        ("127.0.0.1", archive.port), block=False, evt_handlers=[(evt.EVT_C_STORE, archive.on_store)]
    )
    assert server is not None
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def running_courier(config: Config, repository: Repository) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=courier.run, args=(config, repository, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def config_of(data_dir: Path, archive_port: int) -> Config:
    archive = {"name": "archive", "ae_title": "VNA", "host": "127.0.0.1", "port": archive_port, "objects": ["original"]}
    base = receiver_config(data_dir, free_port()).model_dump()
    return Config.model_validate({**base, "destinations": [archive], "rules": RULES, "queue": {"poll_s": 0.02}})


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def config(tmp_path: Path, archive: Archive) -> Config:
    return config_of(tmp_path / "data", archive.port)


@pytest.fixture
def repository(config: Config) -> Iterator[Repository]:
    config.node.data_dir.mkdir(parents=True)
    opened = Repository.open(config.database_url)
    opened.migrate()
    yield opened
    opened.close()


def small_image(uid: str, **attributes: object) -> Dataset:
    return us_image(np.full((8, 8), 100, np.uint8), SOPInstanceUID=uid, **attributes)


def send_all(config: Config, repository: Repository, objects: Sequence[Dataset], syntax: str) -> list[Request]:
    requests = [Request.of(one) for one in objects]
    with receiver_thread(config, repository):
        for request in requests:
            with association(config.node.port, [request.sop_class_uid], [syntax]) as assoc:
                assert store(assoc, request).status == 0
    return requests


def test_originals_arrive_as_the_scanner_sent_them_measured_or_not(
    config: Config, repository: Repository, archive: Archive
) -> None:
    ignored = small_image("1.2.1", SpecificCharacterSet="ISO_IR 192", SeriesDescription="Écho cardiaque")
    report = small_image("1.2.2", SOPClassUID=COMPREHENSIVE_SR, Modality="SR")
    usual = small_image("1.2.3")
    own = small_image(f"{UID_ROOT}.77", SOPClassUID=COMPREHENSIVE_SR, Modality="SR")
    requests = send_all(config, repository, (ignored, report, usual, own), JPEGBaseline8Bit)
    with listening(archive), running_courier(config, repository):
        eventually(lambda: len(archive.received) == 3)

    for request in requests[:3]:
        assert archive.received[request.sop_instance_uid] == (str(JPEGBaseline8Bit), request.data)
    assert own.SOPInstanceUID not in archive.received
    assert repository.delivery_counts()["archive"] == {"sent": 3}
    (job,) = repository.jobs((), 10)
    assert repository.instance(job.instance_id).sop_instance_uid == "1.2.3"


def test_a_rule_decides_what_is_measured_and_when(config: Config, repository: Repository) -> None:
    capture = small_image("1.2.1", SOPClassUID=SECONDARY_CAPTURE)
    cine = small_image("1.2.2", NumberOfFrames=2)
    send_all(config, repository, (capture, cine), ExplicitVRLittleEndian)

    jobs = {repository.instance(job.instance_id).sop_instance_uid: job.kind for job in repository.jobs((), 10)}
    assert jobs == {"1.2.1": JobKind.MEASURE, "1.2.2": JobKind.MEASURE}
    (low,) = repository.versions("1.2.2")
    assert (low.route.rules, low.route.priority, low.route.send) == (("cines",), Priority.LOW, ())
    assert repository.deliveries((), 10) == ()


def test_the_explanation_is_the_decision_of_the_receiver(config: Config, repository: Repository) -> None:
    objects = [
        small_image("1.2.1", SpecificCharacterSet="ISO_IR 100", PatientName="Doe^Ève", SeriesDescription="Écho"),
        small_image("1.2.2", SOPClassUID=COMPREHENSIVE_SR, Modality="SR"),
        small_image("1.2.3", SOPClassUID=SECONDARY_CAPTURE),
        small_image("1.2.4", NumberOfFrames=3),
        small_image("1.2.5"),
    ]
    send_all(config, repository, objects, ExplicitVRLittleEndian)
    for one in objects:
        path = save(one, config.node.data_dir / "one.dcm")
        (stored,) = repository.versions(str(one.SOPInstanceUID))
        assert explain(path, config, Sender(SCANNER, OUR_AE, "127.0.0.1")).decision.route == stored.route
