"""The objects that most tests ask for: three of every image, at once, and nothing of the study."""

from dicom_node.domain import ResultKind

IMAGE_OBJECTS = (ResultKind.TID1500, ResultKind.PDF, ResultKind.OVERLAY)
EVERY_IMAGE = {"objects": [kind.value for kind in IMAGE_OBJECTS], "study_quiet_s": 86_400.0}
"""The same as the section `results` of a configuration."""
