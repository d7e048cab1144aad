"""UIDs are valid, stable and distinct; our own objects are known under any disguise an archive may give them."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from sr_templates import uids
from sr_templates.uids import (
    StudyEntropy,
    UidEntropy,
    equipment,
    is_own_object,
    result_uid,
    result_uids,
    series_uid,
    tracking_uid,
    with_study,
)

ENTROPY = UidEntropy(
    study_instance_uid="1.2.3",
    source_sop_instance_uid="1.2.3.4.5",
    revision=0,
    frames=(1, 2),
    weights_sha256="ab" * 32,
    software_version="0.1.0",
    backend="torch-cpu/fp32",
    configuration=(("equation", "hadlock-1984"), ("cine_frames", "16")),
)

CHANGES = {
    "study_instance_uid": "1.2.4",
    "source_sop_instance_uid": "1.2.3.4.6",
    "revision": 1,
    "frames": (1,),
    "weights_sha256": "cd" * 32,
    "software_version": "0.1.1",
    "backend": "torch-cpu/bf16",
    "configuration": (("equation", "reference-system"), ("cine_frames", "16")),
    "schema_version": uids.RESULT_SCHEMA_VERSION + 1,
    "beside": "what the machine's report says",
}

PINNED_INSTANCE = "2.25.473925948349511451002940949205300.3470609631282848954352359"
PINNED_TRACKING = "2.25.473925948349511451002940949205300.2790617002863559526563552"

entropies = st.builds(
    UidEntropy,
    study_instance_uid=st.text("0123456789.", min_size=1, max_size=64),
    source_sop_instance_uid=st.text("0123456789.", min_size=1, max_size=64),
    revision=st.integers(0, 1000),
    frames=st.lists(st.integers(1, 512), max_size=5).map(tuple),
    weights_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    software_version=st.text(max_size=10),
    backend=st.text(max_size=10),
    configuration=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3).map(lambda d: tuple(d.items())),
)


def test_the_root_is_the_documented_uuid() -> None:
    assert f"2.25.{uuid.UUID('0000175d-c954-42b1-a9fa-b1ff64ab1134').int}" == uids.UID_ROOT


@given(entropies)
def test_uids_are_valid_stable_and_ours(entropy: UidEntropy) -> None:
    made = result_uids(entropy)
    everything = [
        made.tid1500.sop_instance_uid,
        made.tid1500.series_instance_uid,
        made.pdf.sop_instance_uid,
        made.pdf.series_instance_uid,
        made.overlay.sop_instance_uid,
        made.overlay.series_instance_uid,
        made.tid5000.sop_instance_uid,
        made.tid5000.series_instance_uid,
        made.tracking,
    ]
    assert len(set(everything)) == len(everything)
    for uid in everything:
        assert UID(uid).is_valid
        assert len(uid) <= 64
        assert uid.startswith(uids.UID_ROOT + ".")
    assert result_uids(entropy) == made


@given(entropies, entropies)
def test_other_questions_get_other_uids(one: UidEntropy, other: UidEntropy) -> None:
    same = dataclasses.replace(one, configuration=()) == dataclasses.replace(other, configuration=()) and dict(
        one.configuration
    ) == dict(other.configuration)
    assert (result_uid(one, "pdf") == result_uid(other, "pdf")) == same
    assert (one.fingerprint() == other.fingerprint()) == same


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_counts(name: str) -> None:
    changed = dataclasses.replace(ENTROPY, **{name: CHANGES[name]})
    assert result_uid(changed, "tid1500") != result_uid(ENTROPY, "tid1500")
    assert changed.fingerprint() != ENTROPY.fingerprint()


def test_every_field_is_tried() -> None:
    assert set(CHANGES) == {f.name for f in dataclasses.fields(UidEntropy)}


def test_the_order_of_the_configuration_does_not_count() -> None:
    turned = dataclasses.replace(ENTROPY, configuration=ENTROPY.configuration[::-1])
    assert result_uids(turned) == result_uids(ENTROPY)


def test_what_a_report_said_in_between_makes_no_other_series() -> None:
    after_the_report = dataclasses.replace(ENTROPY, beside="LMP")
    assert series_uid(after_the_report, "pdf") == series_uid(ENTROPY, "pdf")
    assert result_uid(after_the_report, "pdf") != result_uid(ENTROPY, "pdf")


def test_images_of_a_study_share_a_series_and_corrections_do_not() -> None:
    other_image = dataclasses.replace(ENTROPY, source_sop_instance_uid="1.2.3.4.9", frames=(1,))
    assert series_uid(other_image, "pdf") == series_uid(ENTROPY, "pdf")
    assert series_uid(ENTROPY, "pdf") != series_uid(ENTROPY, "overlay")
    assert series_uid(dataclasses.replace(ENTROPY, revision=1), "pdf") != series_uid(ENTROPY, "pdf")


STUDY = StudyEntropy("1.2.3", 1, ("f1", "f2"), "0.1.0", (("page_size", "a4"),))
STUDY_CHANGES = {
    "beside": "150 days",
    "study_instance_uid": "1.2.4",
    "version": 2,
    "results": ("f1", "f3"),
    "software_version": "0.1.1",
    "configuration": (("page_size", "letter"),),
    "schema_version": uids.RESULT_SCHEMA_VERSION + 1,
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(StudyEntropy)])
def test_every_field_of_a_study_counts_for_object_and_series(name: str) -> None:
    changed = dataclasses.replace(STUDY, **{name: STUDY_CHANGES[name]})
    assert result_uid(changed, "study_sr") != result_uid(STUDY, "study_sr")
    assert series_uid(changed, "study_sr") != series_uid(STUDY, "study_sr")
    assert changed.fingerprint() != STUDY.fingerprint()


def test_the_order_of_a_studys_results_does_not_count() -> None:
    turned = dataclasses.replace(STUDY, results=STUDY.results[::-1])
    assert with_study(result_uids(ENTROPY), turned) == with_study(result_uids(ENTROPY), STUDY)


def test_the_uids_of_a_study_do_not_follow_the_image_that_speaks() -> None:
    other_image = dataclasses.replace(ENTROPY, source_sop_instance_uid="1.2.3.4.9")
    one, other = (with_study(result_uids(entropy), STUDY) for entropy in (ENTROPY, other_image))
    assert (one.study_sr, one.study_pdf) == (other.study_sr, other.study_pdf)
    assert one.study_sr != one.study_pdf
    assert one.overlay == result_uids(ENTROPY).overlay


def test_a_head_keeps_its_tracking_uid_under_another_model() -> None:
    other_model = dataclasses.replace(ENTROPY, weights_sha256="ef" * 32)
    assert result_uids(other_model).tracking == result_uids(ENTROPY).tracking
    assert tracking_uid("1.2.3", 1) != tracking_uid("1.2.3", 2)


def test_uids_do_not_drift_between_releases() -> None:
    """Stored objects would get twins if the hash changed; a deliberate change raises RESULT_SCHEMA_VERSION."""
    assert result_uid(ENTROPY, "tid1500") == PINNED_INSTANCE
    assert tracking_uid("1.2.3.4.5") == PINNED_TRACKING


def test_installations_have_their_own_device_uid() -> None:
    assert equipment("0.1.0", "A").device_uid != equipment("0.1.0", "B").device_uid
    assert equipment("0.1.0", "A").device_uid == equipment("0.2.0", "A").device_uid


def our_equipment() -> Dataset:
    item = Dataset()
    item.Manufacturer = uids.MANUFACTURER
    item.ManufacturerModelName = uids.MODEL_NAME
    return item


def test_own_objects_are_known_by_uid_by_equipment_and_by_contribution() -> None:
    by_uid = Dataset()
    by_uid.SOPInstanceUID = result_uid(ENTROPY, "overlay")
    by_contribution = Dataset()
    by_contribution.Manufacturer = "Some archive"
    by_contribution.ContributingEquipmentSequence = Sequence([Dataset(), our_equipment()])
    assert is_own_object(by_uid)
    assert is_own_object(our_equipment())
    assert is_own_object(by_contribution)


def test_foreign_and_malformed_objects_are_not_ours() -> None:
    foreign = Dataset()
    foreign.SOPInstanceUID = uids.UID_ROOT + "5.1"
    foreign.Manufacturer = "Scanner"
    foreign.ManufacturerModelName = uids.MODEL_NAME
    malformed = Dataset()
    malformed.add_new(0x0018A001, "LO", "not a sequence")
    malformed.add_new(0x00080070, "LO", ["Fetal", "HC"])
    for header in (Dataset(), foreign, malformed):
        assert not is_own_object(header)
