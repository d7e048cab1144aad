"""What is offered in negotiation, and what of it is measured."""

from __future__ import annotations

import pytest
from pydicom.uid import UID, UID_dictionary
from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from dicom_node.commitment import PUSH_MODEL
from dicom_node.domain import Right
from dicom_node.procedure_step import MODALITY_PERFORMED_PROCEDURE_STEP
from dicom_node.receive import contexts
from dicom_node.receive.contexts import US_IMAGE, VERIFICATION, contexts_for, missing_rights, supported_contexts

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
NO_STORAGE = {contexts.VERIFICATION, PUSH_MODEL, MODALITY_PERFORMED_PROCEDURE_STEP}


def test_every_storage_class_is_offered_with_every_transfer_syntax() -> None:
    storage = [c for c in contexts.supported_contexts() if c.abstract_syntax not in NO_STORAGE]

    assert storage
    for context in storage:
        assert set(context.transfer_syntax) == set(ALL_TRANSFER_SYNTAXES)


def test_every_offered_class_has_a_storage_service_even_the_retired_ones() -> None:
    for context in contexts.supported_contexts():
        if context.abstract_syntax not in NO_STORAGE:
            assert uid_to_service_class(str(context.abstract_syntax)) is StorageServiceClass


def test_the_classes_are_the_ones_that_their_comments_name() -> None:
    offered = {str(c.abstract_syntax) for c in contexts.supported_contexts()}

    assert CT_IMAGE not in offered
    assert COMPREHENSIVE_SR in offered
    assert all(UID_dictionary[uid][1] == "SOP Class" for uid in offered)
    assert [(UID(uid).name, UID(uid).is_retired) for uid in contexts.MEASURED_CLASSES] == [
        ("Ultrasound Image Storage", False),
        ("Ultrasound Multi-frame Image Storage", False),
        ("Ultrasound Image Storage", True),
        ("Ultrasound Multi-frame Image Storage", True),
    ]


def test_no_class_is_offered_twice() -> None:
    offered = [str(c.abstract_syntax) for c in contexts.supported_contexts()]

    assert len(offered) == len(set(offered)) <= 128


@pytest.mark.parametrize("uid", contexts.MEASURED_CLASSES)
def test_ultrasound_images_are_measurable(uid: str) -> None:
    assert contexts.measurable(uid)


@pytest.mark.parametrize("uid", [*contexts.KEPT_CLASSES, CT_IMAGE, ""])
def test_nothing_else_is(uid: str) -> None:
    assert not contexts.measurable(uid)


def test_captures_are_where_a_rule_says_so_and_other_kept_classes_never() -> None:
    wanted = [
        uid for uid in (*contexts.KEPT_CLASSES, CT_IMAGE, "") if contexts.measurable(uid, secondary_captures=True)
    ]
    assert wanted == list(contexts.SECONDARY_CAPTURES)
    assert all(contexts.measurable(uid, secondary_captures=True) for uid in contexts.MEASURED_CLASSES)


def test_rights_open_contexts_and_name_what_is_missing() -> None:
    def classes(*may: Right) -> set[str]:
        return {str(context.abstract_syntax) for context in contexts_for(may)}

    every = {str(context.abstract_syntax) for context in supported_contexts()}
    assert classes(*Right) == every
    assert classes(Right.ECHO) == {VERIFICATION}
    assert classes(Right.STORE) == every - NO_STORAGE
    assert classes(Right.COMMITMENT) == {PUSH_MODEL}
    assert classes() == set()
    assert missing_rights([Right.ECHO], [US_IMAGE]) == (Right.STORE,)
    assert missing_rights([], [US_IMAGE, VERIFICATION]) == (Right.STORE, Right.ECHO)
    assert missing_rights([Right.ECHO], ["1.2.840.10008.5.1.4.1.1.2"]) == ()
    assert missing_rights([Right.ECHO], [PUSH_MODEL, MODALITY_PERFORMED_PROCEDURE_STEP]) == ()
