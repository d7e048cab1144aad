"""Our result objects before other people's programs: dciodvfy, dcentvfy, DCMTK's readers, and poppler on the page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from dicom_node.answers import finding_facts
from inference.dating import INTERGROWTH_2016, REFERENCE_SYSTEM
from inference.domain import CalibrationSource, Measurement, Reason, Remark
from sr_templates import page as layout
from sr_templates import wording
from sr_templates.abstention import build_abstention
from sr_templates.capture import build_cine_overlay, build_gradcam, build_overlay, build_uncertainty
from sr_templates.chart import GrowthChart
from sr_templates.key_object import build_key_object
from sr_templates.language import Words
from sr_templates.page import draw_page
from sr_templates.pdf import build_pdf
from sr_templates.presentation import build_presentation_state
from sr_templates.report import PageSize, Predecessor, ReportInput, SrClass
from sr_templates.sheet import SIZES, Box, Sheet
from sr_templates.source import PATIENT_AND_STUDY_TYPE_2
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import Candidate, build_tid5000
from tests.integration.report_reader import biometry
from tests.machine_report import machine_report
from tests.reports import (
    abstained,
    abstention,
    agreed,
    beside_operator,
    cine,
    explanation,
    measurement,
    multiframe_source,
    picture,
    report,
    source,
    stored,
    with_lmp,
    written,
)
from tests.ultrasound import US_IMAGE_RETIRED, US_MULTIFRAME_RETIRED, us_image, us_multiframe

AGREED = agreed([measurement(frame=number) for number in (1, 2, 3)])
BUILDERS: dict[str, Callable[[ReportInput], Dataset]] = {
    "tid1500": build_tid1500,
    "pdf": lambda facts: build_pdf(facts, picture()),
    "overlay": lambda facts: build_overlay(facts, picture()),
    "tid5000": build_tid5000,
    "gradcam": lambda facts: build_gradcam(facts, picture(), explanation(facts.measurement)),
    "uncertainty": lambda facts: build_uncertainty(facts, picture(), explanation(facts.measurement)),
    "presentation": lambda facts: build_presentation_state(facts, picture()),
    "key_object": build_key_object,
    "cine_overlay": lambda facts: build_cine_overlay(facts, cine()),
}
REPORTS = {kind: BUILDERS[kind] for kind in ("tid1500", "tid5000")}

UNSIDED = ("overlay", "gradcam", "uncertainty", "cine_overlay", "presentation")

UNPAIRED = "Error - Missing attribute Type 2C Conditional Element=<Laterality> Module=<GeneralSeries>"
"""A head is not a paired body part: absent is right (PS3.3 C.7.3.1), and present but empty draws a warning instead."""


NOT_A_CINE = (
    "Error - Shall not be present for Referenced SOP Class that is not multi-frame - attribute <ReferencedFrameNumber>"
)
"""The validator does not know the retired multi-frame class; dsrdump, which does, reads the frame."""


def request() -> Dataset:
    item = Dataset()
    item.RequestedProcedureID = "RP-1"
    item.RequestedProcedureDescription = "Second trimester scan"
    item.ScheduledProcedureStepID = "SPS-1"
    return item


def replaced() -> dict[str, Predecessor]:
    old = report(source(SOPInstanceUID="1.2.3.4.4"))
    return {kind: Predecessor.of(build(old)) for kind, build in BUILDERS.items()}


LOSSY = {
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": "12.5",
    "LossyImageCompressionMethod": "ISO_10918_1",
}

CASES: dict[str, Callable[[], ReportInput]] = {
    "single frame": report,
    "grey": lambda: report(stored(us_image(picture()[..., 0], SOPInstanceUID="1.2.3.4.5"))),
    "multi-frame": lambda: report(multiframe_source(), measurement=measurement(frame=2)),
    "cine that agrees": lambda: report(multiframe_source(), measurement=measurement(frame=2), together=AGREED),
    "lossy cine": lambda: report(multiframe_source(**LOSSY), measurement=measurement(frame=2)),
    "japanese cine": lambda: report(
        multiframe_source(
            SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
        ),
        measurement=measurement(frame=2),
    ),
    "missing type 2": lambda: report(source(**dict.fromkeys(PATIENT_AND_STUDY_TYPE_2))),
    "no manufacturer": lambda: report(source(Manufacturer=None, ManufacturerModelName=None)),
    "no character set": lambda: report(source(SpecificCharacterSet=None, PatientName="Doe^Jane")),
    "latin-1": lambda: report(source(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")),
    "cyrillic": lambda: report(source(SpecificCharacterSet="ISO_IR 144", PatientName="Иванова^Анна")),
    "japanese": lambda: report(
        source(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    ),
    "chinese": lambda: report(source(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东")),
    "retired class": lambda: report(source(SOPClassUID=US_IMAGE_RETIRED)),
    "grey of a retired class": lambda: report(
        stored(us_image(picture()[..., 0], SOPInstanceUID="1.2.3.4.5", SOPClassUID=US_IMAGE_RETIRED))
    ),
    "cine of a retired class": lambda: report(
        multiframe_source(SOPClassUID=US_MULTIFRAME_RETIRED), measurement=measurement(frame=2)
    ),
    "no interval": lambda: report(measurement=measurement(hc_interval=None), interval_coverage=None),
    "no age": lambda: report(measurement=measurement(hc_mm=400.0)),
    "first trimester": lambda: report(measurement=measurement(hc_mm=80.0)),
    "reference system": lambda: report(measurement=measurement(REFERENCE_SYSTEM)),
    "intergrowth": lambda: report(measurement=measurement(INTERGROWTH_2016)),
    "last menstrual date": lambda: report(measurement=with_lmp(measurement(), 150)),
    "beside the operator": lambda: report(
        measurement=beside_operator(with_lmp(measurement(), 150), 195.0),
        beside=(machine_report(StudyInstanceUID=source().StudyInstanceUID),),
    ),
    "discordant": lambda: report(measurement=with_lmp(measurement(), 175)),
    "everything is remarked": lambda: report(
        measurement=replace(with_lmp(measurement(hc_mm=80.0), 120), warnings=tuple(Remark)), predecessors=replaced()
    ),
    "requested": lambda: report(source(RequestAttributesSequence=[request()], TimezoneOffsetFromUTC="+0100")),
    "lossy": lambda: report(source(**LOSSY)),
    "typed spacing": lambda: report(
        measurement=measurement(
            calibration_source=CalibrationSource.PIXEL_SPACING, calibration_detail="FIDUCIAL: depth marks"
        )
    ),
    "scanned capture": lambda: report(
        source(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT", ConversionType="DF"),
        measurement=measurement(
            calibration_source=CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING,
            warnings=(Remark.PLANE_NOT_VERIFIED, Remark.SCALE_OF_SCANNED_MEDIUM),
        ),
    ),
    "correction": lambda: report(predecessors=replaced()),
    "letter": lambda: report(measurement=with_lmp(measurement(), 150), page_size=PageSize.LETTER),
}

CINES = ("multi-frame", "lossy cine", "japanese cine", "cine of a retired class")
OF_CINES = ("cine_overlay",)
"""What is made of cines alone."""

IDENTITIES = ("missing type 2", "no character set", "latin-1", "cyrillic", "japanese", "chinese")


def save(dataset: Dataset, folder: Path, name: str = "object.dcm") -> Path:
    path = folder / name
    path.write_bytes(written(dataset).content)
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize(
    ("case", "kind"), [*product(CASES, [kind for kind in BUILDERS if kind not in OF_CINES]), *product(CINES, OF_CINES)]
)
def test_dciodvfy_finds_no_error(case: str, kind: str, tmp_path: Path) -> None:
    output = run("dciodvfy", str(save(BUILDERS[kind](CASES[case]()), tmp_path)))
    unknown = NOT_A_CINE if case == "cine of a retired class" else None
    errors = [line for line in output.splitlines() if line.startswith("Error") and line != unknown]
    assert errors == ([UNPAIRED] if kind in UNSIDED else [])
    assert re.search(
        r"ComprehensiveSR|EncapsulatedPDF|SCImage|SoftcopyPresentation|KeyObject", output
    )  # it did recognise the object


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_would_find_an_error(tmp_path: Path) -> None:
    broken = build_tid1500(report())
    del broken.CompletionFlag
    assert "Error" in run("dciodvfy", str(save(broken, tmp_path)))


@pytest.mark.peer("dcentvfy")
@pytest.mark.parametrize("case", [*IDENTITIES, "single frame", "grey", *CINES, "requested"])
def test_dcentvfy_finds_one_patient_and_one_study(case: str, tmp_path: Path) -> None:
    facts = CASES[case]()
    kinds = [kind for kind in BUILDERS if case in CINES or kind not in OF_CINES]
    paths = [str(save(BUILDERS[kind](facts), tmp_path, f"{kind}.dcm")) for kind in kinds]
    assert "Error" not in run("dcentvfy", *paths)


@pytest.mark.peer("dcentvfy")
def test_dcentvfy_would_find_another_patient(tmp_path: Path) -> None:
    facts = report()
    other = build_tid5000(facts)
    other.PatientName = "Roe^Jane"
    paths = [str(save(made, tmp_path, f"{n}.dcm")) for n, made in enumerate((build_tid1500(facts), other))]
    assert "Error" in run("dcentvfy", *paths)


@pytest.mark.peer("dcmpschk", "dcmp2pgm")
@pytest.mark.parametrize(("frames", "measured"), [(1, 1), (3, 1), (3, 2)])
def test_dcmtk_shows_the_image_as_it_is_and_the_drawing_on_its_frame(
    frames: int, measured: int, tmp_path: Path
) -> None:
    grey = picture()[..., 0]
    image = us_image(grey, SOPInstanceUID="1.2.3.4.5") if frames == 1 else us_multiframe(np.stack([grey] * frames))
    facts = report(stored(image), measurement=measurement(frame=measured))
    state = save(build_presentation_state(facts, picture()), tmp_path)
    assert "Test passed." in run("dcmpschk", str(state))
    shown = tmp_path / "shown.pgm"
    said = run("dcmp2pgm", "-v", "-p", str(state), str(save(image, tmp_path, "image.dcm")), str(shown))
    on_the_first = measured == 1
    assert ("points=97 type=polyline filled=no units=pixel" in said) == on_the_first
    assert (f"HC {facts.measurement.hc_mm:.1f} mm" in said) == on_the_first
    assert np.array_equal(np.asarray(Image.open(shown)), grey)


@pytest.mark.peer("dsrdump")
@pytest.mark.parametrize("kind", [*REPORTS, "key_object"])
@pytest.mark.parametrize(
    ("case", "image"), [("retired class", "(USr image,)"), ("cine of a retired class", "(USf image,,2)")]
)
def test_dsrdump_reads_a_reference_to_the_class_that_the_image_came_with(
    case: str, image: str, kind: str, tmp_path: Path
) -> None:
    output = run("dsrdump", "+Pl", str(save(BUILDERS[kind](CASES[case]()), tmp_path)))
    assert "E: " not in output
    assert f'"Source")={image}' in output


@pytest.mark.peer("dsrdump")
@pytest.mark.parametrize(("case", "image"), [("single frame", "(US image,)"), ("multi-frame", "(USm image,,2)")])
def test_dsrdump_reads_the_key_object(case: str, image: str, tmp_path: Path) -> None:
    output = run("dsrdump", "+Pl", "+Pc", str(save(build_key_object(CASES[case]()), tmp_path)))
    assert "E: " not in output
    assert '(113000,DCM,"Of Interest")' in output
    assert f'"Source")={image}' in output


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_a_report_on_several_heads(tmp_path: Path) -> None:
    facts = report(multiframe_source(), measurement=measurement(frame=2))
    beside = [
        Candidate(facts.source, measurement(frame=3)),
        Candidate(source(SOPInstanceUID="1.2.3.4.9"), measurement()),
    ]
    path = save(build_tid5000(facts, beside), tmp_path)
    assert "Error" not in run("dciodvfy", str(path))
    assert "E: " not in run("dsrdump", str(path))


@pytest.mark.peer("dsr2xml")
@pytest.mark.parametrize("case", CASES)
def test_another_reader_of_the_ob_gyn_report_finds_the_numbers_of_the_answer(case: str, tmp_path: Path) -> None:
    facts = CASES[case]()
    answer = finding_facts(facts.measurement)
    found = biometry(save(build_tid5000(facts), tmp_path))
    assert found["11984-2"] == (answer["hc_mm"], "mm")
    assert found["11820-8"] == (answer["bpd_mm"], "mm")
    assert found["11851-3"] == (answer["ofd_mm"], "mm")
    assert found["11823-2"] == (answer["cephalic_index_percent"], "%")
    assert found.get("18185-9") == (None if answer["ga_days"] is None else (answer["ga_days"], "d"))
    independent = answer["ga_independent_days"]
    assert found.get("11885-1") == (None if independent is None else (independent, "d"))


@pytest.mark.peer("dsr2html")
@pytest.mark.parametrize("kind", REPORTS)
@pytest.mark.parametrize("case", ["single frame", "multi-frame", "japanese", "everything is remarked"])
def test_dsr2html_reads_the_reports(case: str, kind: str, tmp_path: Path) -> None:
    facts = CASES[case]()
    output = run("dsr2html", str(save(REPORTS[kind](facts), tmp_path)))
    assert "E: " not in output
    assert f"{facts.measurement.hc_mm:.1f}" in output
    assert wording.AI_NOT_VERIFIED in output


@pytest.mark.peer("dsrdump")
@pytest.mark.parametrize(
    ("case", "kind"), [*product(CASES, ["tid1500"]), *product(["multi-frame", "japanese", "no age"], ["tid5000"])]
)
def test_dsrdump_reads_the_reports(case: str, kind: str, tmp_path: Path) -> None:
    facts = CASES[case]()
    path = save(REPORTS[kind](facts), tmp_path)
    output = run("dsrdump", "+Pl", "+Pc", str(path))
    assert "E: " not in output
    assert f'NUM:(11984-2,LN,"Head Circumference")="{facts.measurement.hc_mm:.1f}" (mm,UCUM' in output
    assert (f'="{facts.measurement.age.days}" (d,UCUM' in output) == (facts.measurement.age.days is not None)
    assert wording.AI_NOT_VERIFIED in output
    assert f"calibration {facts.measurement.calibration_source}" in output
    assert f"Scale: {wording.scale(facts.measurement)}." in output


def page_text(facts: ReportInput, folder: Path) -> str:
    """The text of the page in the order in which it was written, runs of white space as one space."""
    path = folder / "page.pdf"
    path.write_bytes(draw_page(facts, picture()))
    return " ".join(run("pdftotext", "-raw", str(path), "-").split())


def expected_texts(head: Measurement, facts: ReportInput) -> list[str]:
    texts = [
        wording.millimetres(head.hc_mm),
        wording.millimetres(head.bpd_mm),
        wording.millimetres(head.ofd_mm),
        wording.percent(head.cephalic_index_percent),
        wording.scale(head),
        facts.model.sha256,
        facts.source.SOPInstanceUID,
        wording.AI_NOT_VERIFIED,
        wording.RESEARCH_USE,
        "The standard plane was not verified.",
        "Do not redate",
    ]
    if head.hc_interval is not None:
        texts += [str(wording.hc_range(head)), "expert's HC", "choice of plane"]
    if head.age.days is not None:
        texts += [wording.weeks_and_days(head.age.days), f"({head.age.days} days)", wording.equation_citation(head.age)]
    if head.age.interval is not None:
        texts.append(wording.days_range(head.age.interval))
    texts += [*wording.operator_lines(head), *wording.growth_lines(head), *wording.discordance(head)]
    return texts


@pytest.mark.peer("pdftotext")
@pytest.mark.parametrize("case", CASES)
def test_the_page_says_what_the_measurement_says(case: str, tmp_path: Path) -> None:
    facts = CASES[case]()
    text = page_text(facts, tmp_path)
    for expected in expected_texts(facts.measurement, facts):
        assert expected in text


@pytest.mark.peer("pdftotext")
@pytest.mark.parametrize(
    ("case", "names"),
    [
        (
            "single frame",
            ["Müller, Žofia", "P-1001", "1995-04-15", "A1001", "2026-01-02 09:30", "Phantom Works Speckle 1"],
        ),
        ("latin-1", ["Müller, Zoë"]),
        ("cyrillic", ["Иванова, Анна"]),
        ("japanese", ["Yamada, Tarou", "山田 太郎", "やまだ"]),
        ("chinese", ["Wang, XiaoDong", "王 小东"]),
        ("no age", ["HC lies outside 68 to 360 mm"]),
        ("first trimester", ["crown-rump length is preferred", "first"]),
        ("typed spacing", ["pixel spacing attribute (FIDUCIAL: depth marks), 0.5000 x 0.5000 mm"]),
        ("scanned capture", ["nominal scanned pixel spacing", "only if it was printed in life size"]),
        ("last menstrual date", ["percentile 83.3 (74.0 to 90.1)", "nobody checked it here"]),
        ("discordant", ["lies outside the 2 SD of the equation", "redating threshold of ACOG 700"]),
        (
            "letter",
            [
                "HC by age, percentiles of INTERGROWTH-21st 2014",
                *("3rd", "10th", "50th", "90th", "97th", "16 weeks", "18 20 22 24 26", "260 mm"),
                *("this head, 197.1 mm", "bar: 95 % interval", "Lancet 2014;384:869-879"),
                *("Reviewed by", "Signature", "page 2 of 2"),
            ],
        ),
        ("intergrowth", ["spread not known", "2016;48:719-726"]),
        ("no interval", [wording.NO_INTERVAL, "2 SD of the equation"]),
    ],
)
def test_the_page_names_patient_and_study(case: str, names: list[str], tmp_path: Path) -> None:
    text = page_text(CASES[case](), tmp_path)
    for name in names:
        assert name in text


@pytest.mark.peer("pdftoppm")
@pytest.mark.parametrize(
    ("case", "pages"),
    [
        ("single frame", 1),
        ("no age", 1),
        ("correction", 1),
        ("japanese", 1),
        ("discordant", 2),
        ("everything is remarked", 2),
        ("letter", 2),
    ],
)
def test_the_page_renders_inside_its_margins(case: str, pages: int, tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    facts = CASES[case]()
    path.write_bytes(draw_page(facts, picture()))
    width, height = {PageSize.A4: (595, 842), PageSize.LETTER: (612, 792)}[facts.page_size]  # at 72 dots an inch
    assert "Error" not in run("pdftoppm", "-r", "72", "-gray", "-png", str(path), str(tmp_path / "page"))
    rendered = sorted(tmp_path.glob("page*.png"))
    assert len(rendered) == pages
    for page in rendered:
        ink = np.asarray(Image.open(page).convert("L")) < 250
        rows, columns = np.nonzero(ink)
        assert ink.shape == pytest.approx((height, width), abs=1)
        assert columns.min() >= 43
        assert columns.max() <= width - 43
        assert rows.min() >= 40
        assert rows.max() <= height - 40
        assert not ink[height - 63 : height - 59].any()  # no note runs into the footer


@pytest.mark.peer("pdftoppm")
def test_the_point_of_the_chart_is_printed_at_its_age_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = CASES["discordant"]()  # below every curve, so that no other ink is near
    plots: list[Box] = []
    draw = layout.draw_chart

    def noted(sheet: Sheet, chart: GrowthChart, interval_name: str, words: Words) -> None:
        plots.append(chart.plot)
        draw(sheet, chart, interval_name, words)

    monkeypatch.setattr(layout, "draw_chart", noted)
    path = tmp_path / "page.pdf"
    path.write_bytes(draw_page(facts, picture()))
    (plot,) = plots
    # 25 weeks: the middle of 20 to 30; the axis holds the 3rd at 20 weeks (158.5 mm) and the 97th at 30 (295.8 mm)
    x = plot.left + 0.5 * plot.width
    y = plot.bottom + (facts.measurement.hc_mm - 150.0) / (300.0 - 150.0) * plot.height
    left, top = round(10 * (x - 4)), round(10 * (SIZES[PageSize.A4][1] - y - 4))  # 720 dots an inch: ten a point
    window = ("-x", str(left), "-y", str(top), "-W", "80", "-H", "80")
    run("pdftoppm", "-r", "720", "-gray", "-png", "-f", "1", "-l", "1", *window, str(path), str(tmp_path / "point"))
    (rendered,) = tmp_path.glob("point*.png")
    ink = np.asarray(Image.open(rendered).convert("L")) < 128
    across, down = np.nonzero(ink[40])[0], np.nonzero(ink[24:56, 52])[0]  # through the middle; beside the bar
    assert (left + across.mean() + 0.5) / 10 == pytest.approx(x, abs=0.1)
    assert SIZES[PageSize.A4][1] - (top + 24 + down.mean() + 0.5) / 10 == pytest.approx(y, abs=0.1)


@pytest.mark.peer("dciodvfy", "dcentvfy", "dsrdump")
@pytest.mark.parametrize("sr_class", SrClass)
@pytest.mark.parametrize("header", [source, multiframe_source])
def test_the_report_of_an_abstention_is_a_report(
    header: Callable[[], Dataset], sr_class: SrClass, tmp_path: Path
) -> None:
    facts = abstained(header(), sr_class=sr_class, abstention=abstention(reason=Reason.NO_HEAD_FOUND))
    path = save(build_abstention(facts), tmp_path)
    output = run("dciodvfy", str(path))
    assert "Error" not in output
    assert {SrClass.COMPREHENSIVE: "ComprehensiveSR", SrClass.COMPREHENSIVE_3D: "Comprehensive3DSR"}[sr_class] in output
    beside = save(BUILDERS["pdf"](report(facts.source)), tmp_path, "page.dcm")
    assert "Error" not in run("dcentvfy", str(path), str(beside))
    told = run("dsrdump", "+Pl", str(path))
    assert "E: " not in told
    assert "No fetal head was found." in told


@pytest.mark.peer("dciodvfy", "dsrdump")
@pytest.mark.parametrize("case", ["single frame", "multi-frame", "beside the operator", "correction", "requested"])
def test_comprehensive_3d_is_free_of_errors_too(case: str, tmp_path: Path) -> None:
    facts = replace(CASES[case](), sr_class=SrClass.COMPREHENSIVE_3D)
    path = save(build_tid1500(facts), tmp_path)
    output = run("dciodvfy", str(path))
    assert "Error" not in output
    assert "Comprehensive3DSR" in output
    assert "E: " not in run("dsrdump", str(path))
