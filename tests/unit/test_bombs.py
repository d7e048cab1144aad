"""Archives, XML, PDF and pickles that would grow or act when somebody opens them: nobody here does.

Bombs in pixel data and headers: tests/fuzz; in YAML: dicom_node/test_yaml_text.py; in answers of services:
dicom_node/deliver/test_stow.py; in pictures that are tried out: tests/integration/test_trial_process.py.
"""

from __future__ import annotations

import ast
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_node.decode import read_instance, read_picture
from dicom_node.errors import InstanceRefused
from inference.checkpoint import load_network
from inference.domain import ModelError, Reason
from inference.models import find_model, sha256_of
from inference.training.export import write_entry
from tests.ultrasound import save, us_image
from tests.unit.inference.test_examine import MODEL
from tests.unit.test_imports import PACKAGES, ROOT, read_module

OPENERS = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "shelve", "pickle", "dill", "joblib", "marshal", "xml", "lxml"}
WRITES_XML = "dicom_node.audit_messages"
LARGE = 200_000_000
"""Bytes that a bomb of a few hundred kilobytes stands for."""


def zip_bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.dcm", bytes(LARGE))
    return made.getvalue()


def xml_bomb() -> bytes:
    """Ten times ten times ... the same word (the billion laughs)."""
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">{entities}]><a>&a9;</a>'.encode()


def pdf_bomb() -> bytes:
    packed = zlib.compress(bytes(LARGE))
    head = f"1 0 obj <</Filter /FlateDecode /Length {len(packed)}>> stream\n".encode()
    return b"%PDF-1.7\n" + head + packed + b"\nendstream endobj\n%%EOF\n"


BOMBS: dict[str, Callable[[], bytes]] = {"zip": zip_bomb, "xml": xml_bomb, "pdf": pdf_bomb}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_is_a_bomb_is_no_dicom_object_and_no_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{name}"
    path.write_bytes(BOMBS[name]())
    for read in (read_instance, lambda path: read_picture(path, None)):
        with pytest.raises(InstanceRefused) as refused:
            read(path)
        assert refused.value.reason is Reason.NOT_DICOM


@pytest.mark.parametrize("name", BOMBS)
def test_a_document_in_an_object_is_never_opened(name: str, tmp_path: Path) -> None:
    """Encapsulated PDF, CDA (XML) and archives (PS3.3 A.45): stored and passed on as they came."""
    document = us_image(np.zeros((4, 4), np.uint8), SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", Modality="DOC")
    del document.PixelData
    content = BOMBS[name]()
    document.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    with pytest.raises(InstanceRefused) as refused:
        read_instance(save(document, tmp_path / "document.dcm"))
    assert refused.value.reason is Reason.UNSUPPORTED_SOP_CLASS


def test_nothing_imports_what_opens_archives_xml_or_pickles() -> None:
    found = {
        (module.name, imported.target)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in [read_module(path, ROOT)]
        for imported in module.imports
        if imported.target.partition(".")[0] in OPENERS
    }
    assert {name for name, _ in found} == {WRITES_XML}


def test_the_one_that_writes_xml_reads_none() -> None:
    tree = ast.parse((ROOT / WRITES_XML.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "ET"
    }
    assert called == {"Element", "SubElement", "tostring"}


def test_training_reads_its_own_files_without_pickle_and_nothing_else_reads_any() -> None:
    """`torch.load` unpickles unless it is told not to, and a pickle does what it wants when it is read."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for call in _calls_of_torch_load(path):
                assert (ROOT / "inference" / "training") in path.parents, path
                assert "weights_only=True" in call, f"{path}: {call}"


def _calls_of_torch_load(path: Path) -> list[str]:
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return [text for call in calls if (text := ast.unparse(call)).startswith("torch.load(")]


class _Acts:
    """What it would do when it is unpickled: make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


def test_weights_that_are_a_pickle_are_refused_and_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(pickle.dumps(_Acts(tmp_path / "acted")))
    entry = replace(
        MODEL,
        name="net",
        architecture="efficientnet-lite0-unet",
        file="net.safetensors",
        sha256=sha256_of(tmp_path / "net.safetensors"),
    )
    write_entry(tmp_path, entry)
    with pytest.raises(ModelError, match="no safetensors"):
        load_network(tmp_path, find_model(tmp_path, "net"))
    assert not (tmp_path / "acted").exists()
