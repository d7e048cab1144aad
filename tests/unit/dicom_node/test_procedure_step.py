"""What a scanner says of its procedure steps, and what is no such thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node.domain import StepState
from dicom_node.procedure_step import INVALID_VALUE, MISSING_ATTRIBUTE, Unacceptable, objects_of, state_of, studies_of


def step(state: str | None = "IN PROGRESS", studies: Sequence[str] = ("1.2.3",)) -> Dataset:
    made = Dataset()
    if state is not None:
        made.PerformedProcedureStepStatus = state
    made.ScheduledStepAttributesSequence = [_item(StudyInstanceUID=uid) for uid in studies]
    return made


def series(images: Sequence[str], others: Sequence[str] = ()) -> Dataset:
    return _item(
        SeriesInstanceUID="1.2.3.4",
        ReferencedImageSequence=[_item(ReferencedSOPInstanceUID=uid) for uid in images],
        ReferencedNonImageCompositeSOPInstanceSequence=[_item(ReferencedSOPInstanceUID=uid) for uid in others],
    )


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        made.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE))  # as the receiver reads
    return made


def test_a_step_belongs_to_the_studies_of_its_scheduled_steps() -> None:
    assert studies_of(step(studies=("1.2.3", "1.2.4", "1.2.3"))) == ("1.2.3", "1.2.4")


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (step("COMPLETED"), INVALID_VALUE),
        (step("STARTED"), INVALID_VALUE),
        (step(None), INVALID_VALUE),
        (step(studies=()), MISSING_ATTRIBUTE),
        (step(studies=("",)), MISSING_ATTRIBUTE),
        (step(studies=("1.2\0",)), INVALID_VALUE),
        (Dataset(), INVALID_VALUE),
    ],
    ids=["final", "unknown", "stateless", "studyless", "blank", "no_uid", "empty"],
)
def test_a_step_begins_in_progress_and_names_a_study(begun: Dataset, status: int) -> None:
    with pytest.raises(Unacceptable) as refused:
        studies_of(begun)
    assert refused.value.status == status


def test_what_was_made_is_named_series_by_series_images_and_others() -> None:
    told = _item(PerformedSeriesSequence=[series(["1.1", "1.2"]), series(["1.3"], ["1.9"])])
    assert objects_of(told) == ("1.1", "1.2", "1.3", "1.9")
    assert objects_of(_item(PerformedSeriesSequence=[series([])])) == ()
    assert objects_of(Dataset()) is None


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (step("FINISHED"), state_of),
        (_item(PerformedSeriesSequence=[series(["../../etc"])]), objects_of),
        (_item(PerformedSeriesSequence=[series([""])]), objects_of),
        (_item(PerformedSeriesSequence=[series(["1" * 65])]), objects_of),
    ],
    ids=["state", "path", "blank", "long"],
)
def test_what_is_none_is_refused(told: Dataset, read: Callable[[Dataset], object]) -> None:
    with pytest.raises(Unacceptable) as refused:
        read(told)
    assert refused.value.status == INVALID_VALUE


def test_the_state_may_be_left_out() -> None:
    assert state_of(Dataset()) is None
    assert state_of(step("DISCONTINUED")) is StepState.DISCONTINUED
