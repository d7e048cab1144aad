"""A reader of TID 5000 that shares nothing with its writer: DCMTK makes XML of the report, XPath finds the numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree


def biometry(path: Path) -> dict[str, tuple[float, str]]:
    """Code value to (value, unit) of the numbers that a section or group contains; the first of each code counts."""
    command = ["dsr2xml", "+Ec", "+Er", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=True)
    document = ElementTree.fromstring(done.stdout)  # noqa: S314  our own object, through DCMTK
    found: dict[str, tuple[float, str]] = {}
    for number in document.findall(".//container/num[@relType='CONTAINS']"):
        concept, unit = number.find("concept[@codScheme]"), number.find("unit[@codScheme='UCUM']")
        assert concept is not None
        assert unit is not None
        found.setdefault(concept.attrib["codValue"], (float(number.findtext("value", "")), unit.attrib["codValue"]))
    return found
