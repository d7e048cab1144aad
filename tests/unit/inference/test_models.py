"""The manifest is read strictly, weights are checked by hash and never unpickled."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from inference.architectures.efficientnet_lite_unet import EfficientNetLiteUNet
from inference.architectures.registry import RESIDUAL, build_network
from inference.checkpoint import load_network
from inference.domain import ModelError
from inference.look import Look
from inference.models import MANIFEST, find_model, read_manifest, sha256_of
from inference.preprocess import Grid, Normalisation
from inference.training.export import write_entry
from inference.uncertainty import ConformalInterval, Scale
from tests.unit.inference.test_examine import MODEL


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    network = EfficientNetLiteUNet()
    save_file(network.state_dict(), folder / "net.safetensors")
    entry = replace(
        MODEL, name="net", architecture="efficientnet-lite0-unet", file="net.safetensors",
        sha256=sha256_of(folder / "net.safetensors"),
    )  # fmt: skip
    write_entry(folder, entry)
    write_entry(folder, replace(entry, name="altered", sha256="0" * 64))
    write_entry(folder, replace(entry, name="other", architecture="unheard-of"))
    write_entry(folder, replace(entry, name="absent", file="absent.safetensors"))
    return folder


def test_an_entry_survives_the_manifest(weights: Path) -> None:
    entry = find_model(weights, "net")
    assert entry.grid == MODEL.grid
    assert entry.gate == MODEL.gate
    assert entry.interval == MODEL.interval
    assert entry.verified(weights)


def test_the_network_is_the_one_that_was_saved(weights: Path) -> None:
    network = load_network(weights, find_model(weights, "net"))
    assert not network.training
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize(
    ("name", "message"),
    [("altered", "sha256 differs"), ("other", "unheard-of"), ("absent", "missing"), ("nobody", "known: ")],
)
def test_what_is_wrong_is_named(weights: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_network(weights, find_model(weights, name))


def test_a_narrower_network_is_built_as_narrow_as_it_was_saved(tmp_path: Path) -> None:
    save_file(build_network(RESIDUAL, 0.125).state_dict(), tmp_path / "net.safetensors")
    entry = replace(
        MODEL, architecture=RESIDUAL, file="net.safetensors", sha256=sha256_of(tmp_path / "net.safetensors")
    )
    write_entry(tmp_path, replace(entry, name="narrow", width=0.125))
    write_entry(tmp_path, replace(entry, name="full"))
    assert load_network(tmp_path, find_model(tmp_path, "narrow")).encode(torch.zeros(1, 1, 32, 32))[4].shape[1] == 64
    with pytest.raises(ModelError, match="do not fit"):
        load_network(tmp_path, find_model(tmp_path, "full"))


def test_a_manifest_from_before_widths_means_full_width(weights: Path, tmp_path: Path) -> None:
    manifest = json.loads((weights / MANIFEST).read_text())
    for row in manifest["models"]:
        del row["width"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert find_model(tmp_path, "net").width == 1.0


def test_weights_of_another_shape_are_refused(weights: Path, tmp_path: Path) -> None:
    save_file({"head.weight": torch.zeros(1)}, tmp_path / "net.safetensors")
    entry = replace(find_model(weights, "net"), sha256=sha256_of(tmp_path / "net.safetensors"))
    with pytest.raises(ModelError, match="do not fit"):
        load_network(tmp_path, entry)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": [{"name": "x"}]}', "not json"])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ModelError):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        read_manifest(tmp_path)


def test_manifest_keys_are_sorted_and_entries_replaced(weights: Path) -> None:
    write_entry(weights, replace(find_model(weights, "net"), data="again"))
    models = json.loads((weights / MANIFEST).read_text())["models"]
    assert sorted(m["name"] for m in models) == ["absent", "altered", "net", "other"]
    assert find_model(weights, "net").data == "again"


@pytest.mark.parametrize(
    "changed",
    [
        {"grid": Grid(64, 96)},
        {"normalisation": Normalisation(0.2, 0.2)},
        {"probability": 0.4},
        {"slope_power": 3.0},
        {"look": Look(dropout_passes=2)},
        {"interval": None},
    ],
)
def test_whatever_the_manifest_says_of_how_to_look_is_part_of_a_results_name(changed: dict[str, Any]) -> None:
    with_interval = replace(MODEL, interval=ConformalInterval(0.95, Scale(), (), (3.0,), (40,)))
    assert replace(with_interval, **changed).calibration_sha256 != with_interval.calibration_sha256


def test_a_limit_that_refuses_nothing_changes_no_hash_and_one_that_does_is_kept(weights: Path) -> None:
    limited = replace(MODEL, gate=replace(MODEL.gate, highest_weak_echo=0.8))
    assert limited.calibration_sha256 != MODEL.calibration_sha256
    write_entry(weights, limited)
    assert find_model(weights, MODEL.name).gate == limited.gate
    text = json.loads((weights / MANIFEST).read_text())
    for row in text["models"]:
        row["gate"] = {name: limit for name, limit in row["gate"].items() if limit is not None}
        row["gate"].pop("highest_weak_echo", None)
    (weights / MANIFEST).write_text(json.dumps(text))
    assert find_model(weights, MODEL.name).calibration_sha256 == MODEL.calibration_sha256
