from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.decode import read_instance
from dicom_node.frame_times import FRAME_TIME, FRAME_TIME_VECTOR, frame_times_ms
from tests.ultrasound import save, us_image, us_multiframe

CINE = np.zeros((3, 8, 8), np.uint8)
EVERY_40_MS = (0.0, 40.0, 80.0)


def times(**attributes: Any) -> tuple[float, ...] | None:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return frame_times_ms(header, 3)


@pytest.mark.parametrize("keyword", ["CineRate", "RecommendedDisplayFrameRate"])
def test_a_rate_beyond_any_number_gives_no_time(keyword: str) -> None:
    header = Dataset()
    header.add(DataElement(keyword, "IS", 10**400, already_converted=True))
    assert frame_times_ms(header, 3) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"FrameTime": "40"},
        {"FrameTime": "40", "FrameIncrementPointer": FRAME_TIME},
        {"CineRate": "25"},
        {"RecommendedDisplayFrameRate": "25"},
        {"FrameTime": "40", "CineRate": "10"},
        {"FrameTime": "0", "CineRate": "25"},
        {"FrameTime": "", "CineRate": "0", "RecommendedDisplayFrameRate": "25"},
        {"FrameTimeVector": ["0", "40", "40"], "FrameIncrementPointer": FRAME_TIME_VECTOR},
        {"FrameTimeVector": ["40", "40", "40"]},
        {"FrameTimeVector": ["40", "40"]},
        {"FrameTimeVector": ["0", "10", "10"], "FrameTime": "40", "FrameIncrementPointer": FRAME_TIME},
        {"FrameTimeVector": ["0", "40", "40"], "FrameIncrementPointer": FRAME_TIME},
        {"FrameTimeVector": ["0", "40", "40"], "FrameTime": "0", "FrameIncrementPointer": FRAME_TIME},
    ],
)
def test_what_headers_say(attributes: dict[str, Any]) -> None:
    assert times(**attributes) == pytest.approx(EVERY_40_MS)


def test_uneven_increments() -> None:
    assert times(FrameTimeVector=["0", "20", "65.5"]) == (0.0, 20.0, 85.5)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"FrameTime": "-40"},
        {"FrameTime": "0.04"},  # seconds
        {"FrameTime": "1e9"},
        {"FrameTime": ["40", "40"]},
        {"CineRate": "-25"},
        {"FrameTimeVector": ["0", "40"] * 4, "FrameTime": "40"},
        {"FrameTimeVector": ["0", "40", "-40"], "FrameTime": "40"},
        {"FrameTimeVector": ["0", "40", "0"]},
        {"FrameTimeVector": "40"},
    ],
)
def test_nothing_rather_than_wrong(attributes: dict[str, Any]) -> None:
    assert times(**attributes) is None


def test_text_where_a_number_belongs() -> None:
    header = Dataset()
    header.add_new("FrameTime", "LO", "forty")
    assert frame_times_ms(header, 3) is None


def test_one_time_for_each_frame_of_a_cine_and_none_for_a_still(tmp_path: Path) -> None:
    cine = read_instance(save(us_multiframe(CINE, FrameTime="40"), tmp_path / "cine.dcm"))
    assert cine.frame_times_ms == EVERY_40_MS
    assert read_instance(save(us_image(CINE[0], FrameTime="40"), tmp_path / "still.dcm")).frame_times_ms is None
