"""An SR content tree as text: one line an item, so that a change of content shows as a diff."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset


def tree(item: Dataset, depth: int = 0) -> Iterator[str]:
    """Indented lines, parents first."""
    relationship = item.get("RelationshipType")
    if "ReferencedContentItemIdentifier" in item:  # by reference
        yield f"{'  ' * depth}{relationship} -> {'.'.join(map(str, item.ReferencedContentItemIdentifier))}"
        return
    head = f"{relationship} " if relationship else ""
    name = item.get("ConceptNameCodeSequence")
    concept = f" ({_code(name[0])})" if name else ""
    yield f"{'  ' * depth}{head}{item.ValueType}{concept}{_value(item)}"
    for child in item.get("ContentSequence") or ():
        yield from tree(child, depth + 1)


def _value(item: Dataset) -> str:
    match item.ValueType:
        case "CODE":
            return f" = ({_code(item.ConceptCodeSequence[0])})"
        case "TEXT":
            return f" = {item.TextValue}"
        case "DATE":
            return f" = {item.Date}"
        case "UIDREF":
            return f" = {item.UID}"
        case "NUM":
            measured = item.MeasuredValueSequence[0]
            return f" = {measured.NumericValue} ({_code(measured.MeasurementUnitsCodeSequence[0])})"
        case "SCOORD":
            return f" = {item.GraphicType}, {len(item.GraphicData) // 2} points"
        case "IMAGE":
            reference = item.ReferencedSOPSequence[0]
            frame = reference.get("ReferencedFrameNumber")
            return f" = {reference.ReferencedSOPInstanceUID}{'' if frame is None else f' frame {frame}'}"
        case "CONTAINER":
            template = item.get("ContentTemplateSequence")
            return f" {item.ContinuityOfContent}{f' TID {template[0].TemplateIdentifier}' if template else ''}"
        case other:
            raise AssertionError(f"unexpected value type {other}")


def _code(code: Dataset) -> str:
    return f"{code.CodeValue}, {code.CodingSchemeDesignator}, {code.CodeMeaning}"
