"""What is given for Prometheus and Grafana asks for numbers that the node has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from dicom_node.config import Config, DestinationEntry, NodeSection
from dicom_node.domain import DestinationState
from dicom_node.storage.repository import Repository
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from tests.unit.dicom_node.storage.rooms import START, measured

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "fetal-hc-node.rules.yml"
BOARD = DEPLOY / "grafana" / "fetal-hc-node.json"
NUMBER = re.compile(r"(dicom_node_[a-z_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'([a-z_]+)(?:=~|!=|=)"')
OF_PROMETHEUS = {"instance", "job"}

Numbers = dict[str, set[str]]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Numbers]:
    """Every number that /metrics has, and its labels."""
    pacs = DestinationEntry(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
    config = Config(node=NodeSection(data_dir=tmp_path_factory.mktemp("watched")), destinations=(pacs,))
    repository = Repository.open(config.database_url)
    repository.migrate()
    measured(repository, "1")
    repository.tell_destination(DestinationState("pacs", True, START, START, None, None))
    client = TestClient(
        build_app(Console(config, repository)), base_url="http://127.0.0.1:8080", client=("127.0.0.1", 50000)
    )
    found: Numbers = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield found
    repository.close()


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(BOARD.read_text())["panels"])


def asked() -> list[str]:
    """Every expression of rules and dashboard."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = [one["query"]["query"] for one in json.loads(BOARD.read_text())["templating"]["list"][1:]]
    return [rule["expr"] for rule in rules()] + shown + variables


def unknown(expressions: list[str], numbers: Numbers) -> list[str]:
    """Names and labels that no answer of /metrics has."""
    wrong = []
    for expression in expressions:
        for name, labels in NUMBER.findall(expression):
            wrong += [name] if name not in numbers else []
            known = numbers.get(name, set()) | OF_PROMETHEUS
            wrong += [f"{name}: {label}" for label in LABEL.findall(labels) if label not in known]
    return wrong


def test_everything_that_is_asked_for_is_there(numbers: Numbers) -> None:
    assert unknown(asked(), numbers) == []
    assert unknown(['dicom_node_jobs{stat="x"} / dicom_node_nothing'], numbers) == [
        "dicom_node_jobs: stat",
        "dicom_node_nothing",
    ]


def test_everything_that_is_there_is_shown_or_watched(numbers: Numbers) -> None:
    """But what people rarely ask for."""
    rarely = {"dicom_node_disk_size_bytes", "dicom_node_objects", "dicom_node_studies"}
    named = {name for expression in asked() for name, _ in NUMBER.findall(expression)}
    assert {*numbers} - named == rarely | {"dicom_node_destination_asked_seconds"}


def test_every_alert_says_what_to_do_and_its_placeholders_exist() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert {*rule["annotations"]} == {"summary", "description"}, rule["alert"]
    names = [rule["alert"] for rule in rules()]
    assert len({*names}) == len(names)


def test_no_two_panels_lie_on_each_other() -> None:
    places = [
        (x, y)
        for panel in panels()
        for box in [panel["gridPos"]]
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    assert len({*places}) == len(places)
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.peer("promtool")
def test_prometheus_takes_the_files() -> None:
    for what in (["check", "rules", str(RULES)], ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]):
        told = subprocess.run(["promtool", *what], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
