import time

import pytest

from dicom_node.logs import FIELDS
from dicom_node.stopwatch import Stopwatch


def test_each_stage_is_timed_and_may_be_logged() -> None:
    watch = Stopwatch()
    for stage in ("decode", "examine", "report", "commit"):
        with watch(stage):
            time.sleep(0.002)
    assert set(watch.seconds) <= set(FIELDS)
    assert all(0.002 <= seconds < 1.0 for seconds in watch.seconds.values())


def test_a_stage_that_fails_is_timed_too() -> None:
    watch = Stopwatch()
    with pytest.raises(OSError, match="gone"), watch("decode"):
        raise OSError("gone")
    assert list(watch.seconds) == ["decode_s"]
