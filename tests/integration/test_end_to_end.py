"""First light with nothing of ours at either end: DCMTK's storescu sends, Orthanc and DCMTK's storescp receive.

One node, which makes all but the explanations, serves the whole module: a full scanner screen, a plain image, one
without a head and one without a scale go in once; every test looks at what came out.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.config import Config
from dicom_node.domain import ResultKind
from dicom_node.examiner import build_examiner, find_entry
from inference.measure import inside_distance_px
from inference.training.challenge import Annotated
from inference.training.evaluate import predict
from tests.acceptance.node import Node, running_node, wait_for
from tests.acceptance.pacs import kind_of, source_of
from tests.acceptance.scanner import SMALL, head_image, uid_of
from tests.integration.orthanc import Orthanc, Storescp, running_orthanc, running_storescp
from tests.integration.report_reader import biometry
from tests.objects import IMAGE_OBJECTS
from tests.phantoms import head_phantom
from tests.receiving import send
from tests.ultrasound import save, us_phantom

pytestmark = pytest.mark.peer("storescu", "storescp", "Orthanc")

UNPAIRED = "Error - Missing attribute Type 2C Conditional Element=<Laterality> Module=<GeneralSeries>"
MEASURED = ("screen", "plain")
WEEKS_20 = {"LastMenstrualDate": "20250815"}  # of an image of 2 January 2026
PLAIN_HEAD = 2
KINDS = (*IMAGE_OBJECTS, ResultKind.TID5000)


@dataclass(frozen=True)
class Light:
    """What went in (by name) and the peers that it came out at."""

    sources: dict[str, Path]
    node: Node
    orthanc: Orthanc
    storescp: Storescp

    def source(self, name: str) -> Dataset:
        return dcmread(self.sources[name], stop_before_pixels=True)

    def received(self) -> dict[str, dict[ResultKind, Path]]:
        """What storescp got: source SOP Instance UID -> kind -> file."""
        found: dict[str, dict[ResultKind, Path]] = {}
        for path in sorted(p for p in self.storescp.folder.iterdir() if p.is_file()):
            ds = dcmread(path, stop_before_pixels=True)
            found.setdefault(source_of(ds), {})[kind_of(ds)] = path
        return found


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    folder = tmp_path_factory.mktemp("light")
    identity: dict[str, Any] = {"PatientName": "Müller^Žofia", "PatientBirthDate": None, "AccessionNumber": None}
    sources = {
        "screen": save(us_phantom(1), folder / "screen.dcm"),
        "plain": save(
            head_image(PLAIN_HEAD, StudyID=None, PatientSex=None, **identity, **WEEKS_20), folder / "plain.dcm"
        ),
        "no head": save(us_phantom(3, head=False), folder / "no_head.dcm"),
        "no scale": save(head_image(4, SequenceOfUltrasoundRegions=None), folder / "no_scale.dcm"),
    }
    with (
        running_orthanc(folder / "orthanc") as orthanc,
        running_storescp(folder / "storescp") as storescp,
        running_node(
            folder / "node",
            {"orthanc": orthanc, "storescp": storescp},
            results={"objects": [kind.value for kind in KINDS]},
        ) as node,
    ):
        status, said = send("storescu", node.port, *sources.values())
        assert status == 0, said
        node.wait_settled(len(sources), 180)
        yield Light(sources, node, orthanc, storescp)


def test_each_image_has_its_answer(light: Light) -> None:
    answers = {name: light.node.wait_answer(uid_of(path)) for name, path in light.sources.items()}
    told = {name: (answer["status"], answer["reason"]) for name, answer in answers.items()}
    assert told == {
        "screen": ("measured", None),
        "plain": ("measured", None),
        "no head": ("abstained", "no_head_found"),
        "no scale": ("abstained", "not_calibrated"),
    }


def test_a_last_menstrual_date_gives_size_for_age_in_the_answer_and_in_the_pacs(light: Light) -> None:
    answers = {name: light.node.wait_answer(uid_of(light.sources[name])) for name in MEASURED}
    assert answers["screen"]["ga_independent_reason"] == "no_independent_age"
    assert (answers["plain"]["ga_independent_days"], answers["plain"]["ga_independent_source"]) == (
        140,
        "last_menstrual_date",
    )
    told = {score["z_score"] for score in answers["plain"]["growth"].values()}
    stored = {
        name: dcmread(light.received()[str(uid_of(light.sources[name]))][ResultKind.TID1500]) for name in MEASURED
    }
    found = {name: [item for item in below(sr) if concept(item) == "125013"] for name, sr in stored.items()}
    assert {float(item.MeasuredValueSequence[0].NumericValue) for item in found["plain"]} == told
    assert found["screen"] == []


def below(item: Dataset) -> Iterator[Dataset]:
    """Every content item of a report."""
    for child in item.get("ContentSequence") or ():
        yield child
        yield from below(child)


def concept(item: Dataset) -> str | None:
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].CodeValue) if name else None


def test_measure_and_evaluation_say_what_the_node_said_to_the_last_digit(light: Light, tmp_path: Path) -> None:
    """Doubts are drawn at random: seeded by anything but the picture, the intervals would differ."""
    path = light.sources["plain"]
    node = light.node.wait_answer(uid_of(path))
    [line] = light.node.cli("measure", str(path), "--json").stdout.splitlines()
    besides = {"file", "seconds"}
    assert {k: v for k, v in json.loads(line).items() if k not in besides} == {
        k: v for k, v in node.items() if k not in besides
    }

    config = Config()
    [row] = predict([annotated(tmp_path)], build_examiner(config, find_entry(config)))
    assert (row.status, row.hc_forced_mm, row.hc_low_mm, row.hc_high_mm) == tuple(
        node[key] for key in ("status", "hc_mm", "hc_low_mm", "hc_high_mm")
    )


def annotated(folder: Path) -> Annotated:
    """The plain head as the challenge would hold it: a PNG, a drawn ellipse and a pixel size."""
    phantom = head_phantom(PLAIN_HEAD, shape=SMALL)
    assert phantom.spacing_mm.row == phantom.spacing_mm.column
    assert phantom.ellipse_px is not None
    drawn = np.abs(inside_distance_px(phantom.ellipse_px, *SMALL)) < 1
    picture, annotation = folder / "000_HC.png", folder / "000_HC_Annotation.png"
    cv2.imwrite(str(picture), phantom.luminance)
    cv2.imwrite(str(annotation), drawn.astype(np.uint8) * 255)
    return Annotated("000_HC", "000", picture, annotation, phantom.spacing_mm.row, 200.0)


def test_orthanc_holds_one_object_of_each_kind_in_the_study_of_each_measured_image(light: Light) -> None:
    for name in MEASURED:
        source = light.source(name)
        study = light.orthanc.find("Study", StudyInstanceUID=source.StudyInstanceUID)
        assert len(study) == 1
        assert study[0]["PatientMainDicomTags"]["PatientID"] == source.PatientID
        series = light.orthanc.find("Series", StudyInstanceUID=source.StudyInstanceUID)
        assert {(s["MainDicomTags"]["Modality"], s["MainDicomTags"]["SeriesDescription"]) for s in series} == {
            ("SR", "AI unverified: measurements of the head"),
            ("DOC", "AI unverified: PDF report on the head"),
            ("OT", "AI unverified: outline of the head"),
            ("SR", "AI unverified: OB-GYN report"),
        }
        assert [len(s["Instances"]) for s in series] == [1] * len(KINDS)


def test_orthanc_holds_nothing_else(light: Light) -> None:
    statistics = light.orthanc.get("/statistics")
    assert (statistics["CountStudies"], statistics["CountInstances"]) == (
        len(MEASURED),
        len(KINDS) * len(MEASURED),
    )


def test_the_patient_is_shown_as_the_machine_wrote_her(light: Light) -> None:
    source = light.source("plain")
    [study] = light.orthanc.find("Study", StudyInstanceUID=source.StudyInstanceUID)
    assert study["PatientMainDicomTags"]["PatientName"] == "Müller^Žofia"


def test_both_peers_hold_the_same_bytes(light: Light) -> None:
    for kinds in light.received().values():
        for path in kinds.values():
            uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
            [instance] = light.orthanc.find("Instance", SOPInstanceUID=uid)
            ours, theirs = path.read_bytes(), light.orthanc.get_bytes(f"/instances/{instance['ID']}/file")
            assert dataset_of(ours) == dataset_of(theirs)


def test_storescp_got_one_set_for_each_measured_image(light: Light) -> None:
    assert {uid: set(kinds) for uid, kinds in light.received().items()} == {
        uid_of(light.sources[name]): set(KINDS) for name in MEASURED
    }


@pytest.mark.peer("dsrdump")
def test_dsrdump_reads_what_storescp_got(light: Light) -> None:
    for name in MEASURED:
        uid = uid_of(light.sources[name])
        answer = light.node.wait_answer(uid)
        told = run("dsrdump", "+Pl", "+Pc", str(light.received()[uid][ResultKind.TID1500]))
        assert f'(11984-2,LN,"Head Circumference")="{answer["hc_mm"]:.1f}" (mm' in told
        assert f'="{answer["ga_days"]}" (d,UCUM' in told
        assert not [line for line in told.splitlines() if line.startswith("E: ")]


@pytest.mark.peer("dsr2xml")
def test_another_reader_of_the_ob_gyn_report_finds_the_numbers_of_the_answer(light: Light) -> None:
    for name in MEASURED:
        uid = uid_of(light.sources[name])
        answer = light.node.wait_answer(uid)
        found = biometry(light.received()[uid][ResultKind.TID5000])
        assert found["11984-2"] == (answer["hc_mm"], "mm")
        assert found["18185-9"] == (answer["ga_days"], "d")
        assert found.get("11885-1") == (None if answer["ga_independent_days"] is None else (140, "d"))


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_what_was_received(light: Light) -> None:
    checked = 0
    for kinds in light.received().values():
        for path in kinds.values():
            lines = run("dciodvfy", str(path)).splitlines()
            assert [line for line in lines if line.startswith("Error") and line != UNPAIRED] == []
            assert any(re.fullmatch(r"(ComprehensiveSR|EncapsulatedPDF|SCImage)", line) for line in lines), lines
            checked += 1
    assert checked == len(KINDS) * len(MEASURED)


@pytest.mark.peer("storescu")
def test_an_overlay_that_orthanc_routes_back_starts_no_loop(light: Light) -> None:
    before = light.orthanc.get("/statistics")["CountInstances"]
    results = [path for kinds in light.received().values() for path in kinds.values()]
    status, said = send("storescu", light.node.port, *results)
    assert status == 0, said
    wait_for(lambda: light.node.counts()["instances"] == len(light.sources) + len(results), "stored", 20, light.node)
    counts = light.node.wait_settled(len(light.sources) + len(results))
    assert counts["results"] == len(light.sources)
    assert light.orthanc.get("/statistics")["CountInstances"] == before


def dataset_of(file: bytes) -> bytes:
    """Without file meta information, which names the software that wrote the file (PS3.10 7.1)."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr
