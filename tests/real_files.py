"""The ultrasound objects of real machines that pydicom and pydicom-data ship, and what the node answers for each.

`python -m tests.real_files` writes docs/real-files.md; a test measures all files again and compares.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from dicom_node import decode
from dicom_node.answers import Answer
from dicom_node.config import Config
from dicom_node.measuring import measure_paths
from inference.domain import REASON_TEXT, Reason, Region

PAGE = Path(__file__).resolve().parents[1] / "docs" / "real-files.md"
PACKAGES = {"pydicom": "pydicom", "pydicom-data": "data_store"}
"""Distribution -> package; all their files are looked at, whatever they are."""


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


@cache
def all_files() -> tuple[tuple[str, Path], ...]:
    """(name with its distribution, path) of every data file of both packages, in name order."""
    return tuple(
        (f"{distribution}/{path.relative_to(folder_of(package)).as_posix()}", path)
        for distribution, package in PACKAGES.items()
        for path in sorted(folder_of(package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


@cache
def ultrasound_objects() -> tuple[tuple[str, Path, FileDataset], ...]:
    """Those of an ultrasound SOP class (retired ones too), or of modality US, with their headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these files are there because they are odd
        return tuple(_ultrasound())


def _ultrasound() -> Iterator[tuple[str, Path, FileDataset]]:
    for name, path in all_files():
        try:
            header = dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        sop_class = UID(str(header.get("SOPClassUID", "")))
        if "Ultrasound" in sop_class.name or header.get("Modality") == "US":
            yield name, path, header


def measure_all() -> dict[str, Answer]:
    """Name -> answer of `dicom-node measure` for every file of both packages, with the configured model."""
    answers = measure_paths([path for _, path in all_files()], Config(), None)
    return {name: answer for (name, _), answer in zip(all_files(), answers, strict=True)}


HEAD = """# Real files

What `dicom-node measure` answers for the ultrasound objects of real machines that {packages} ship.
Written by `python -m tests.real_files` and held in step by a test; not edited by hand. None of them shows a fetal head,
so none may yield a number: not one of these {ultrasound}, nor any of the {others} other files in those packages.

"Regions" counts the header's regions, "scale" is that of each two-dimensional picture, or why it has none.

| file | machine | transfer syntax | photometric | frames | rows × columns | regions | scale (mm per pixel) | answer |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

REST = """
## What the answers mean

{meanings}

The two that look most like a head, `{heads}`,
are hearts: the network outlines a ventricle or the aorta there well enough for every limit on fit, size and shape. What
stops them is the examination that the machine wrote into Image Type. An image of something else, sent from an obstetric
preset, has only the limits between it and a number: the node does not verify the plane, and says so with every
measurement.

## The other files

{counts}
"""

HEARTS = ("JPGLosslessP14SV1_1s_1f_8b.dcm", "color3d_jpeg_baseline.dcm")


def page(answers: Mapping[str, Answer]) -> str:
    """docs/real-files.md for these answers."""
    objects = ultrasound_objects()
    names = {name for name, _, _ in objects}
    others = Counter(_verdict(answer) for name, answer in answers.items() if name not in names)
    reasons = sorted({str(answers[name]["reason"]) for name in names})
    packages = " and ".join(f"{name} {version(name)}" for name in PACKAGES)
    head = HEAD.format(packages=packages, ultrasound=len(objects), others=len(answers) - len(objects))
    rest = REST.format(
        meanings="\n".join(f"- `{reason}`: {REASON_TEXT[Reason(reason)]}" for reason in reasons),
        heads="` and `".join(HEARTS),
        counts="\n".join(f"- {count} × {verdict}" for verdict, count in sorted(others.items())),
    )
    rows = (_row(name, decode.read_instance(path), answers[name]) for name, path, _ in objects)
    return head + "".join(rows) + rest


def _row(name: str, decoded: decode.DecodedInstance, answer: Answer) -> str:
    header = decoded.header
    machine = " ".join(str(header.get(keyword) or "") for keyword in ("Manufacturer", "ManufacturerModelName"))
    cells = (
        name,
        machine.strip(),
        str(header.file_meta.TransferSyntaxUID.name).partition(" (")[0].partition(",")[0],
        str(header.get("PhotometricInterpretation")),
        str(decoded.frame_count),
        f"{decoded.rows} × {decoded.columns}",
        str(len(header.get("SequenceOfUltrasoundRegions") or ())),
        ", ".join(map(_scale, decoded.calibration.regions)) or f"`{decoded.calibration.reason}`",
        _verdict(answer) + _why(answer),
    )
    return f"| {' | '.join(cells)} |\n"


def _scale(region: Region) -> str:
    spacing = region.spacing_mm
    if spacing is None:
        return f"`{region.reason or Reason.NOT_CALIBRATED}`"
    square = spacing.row == spacing.column
    return f"{spacing.row:.3f}" if square else f"{spacing.row:.3f} × {spacing.column:.3f}"


def _verdict(answer: Answer) -> str:
    return str(answer["status"]) + (f": `{answer['reason']}`" if answer["reason"] else "")


def _why(answer: Answer) -> str:
    """The detail where it is the header's; how well an ellipse fits may differ from processor to processor."""
    if answer["ellipse"] is not None or not answer["reason"]:
        return ""
    detail = str(answer["reason_text"]).removeprefix(REASON_TEXT[Reason(answer["reason"])]).strip()
    return f" {detail}" if detail else ""


if __name__ == "__main__":
    found = measure_all()
    PAGE.write_text(page(found), encoding="utf-8")
    print(json.dumps(Counter(_verdict(answer) for answer in found.values()), indent=1))
