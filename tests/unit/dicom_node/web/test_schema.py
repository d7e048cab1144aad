"""The REST interface is asked what its own description allows, and more: nothing may break it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from dicom_node.config import Config, NodeSection
from dicom_node.storage.repository import Repository
from dicom_node.users import UserRole
from dicom_node.web.application import build_app
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import Clock
from tests.unit.dicom_node.web.filled import measured, program


class Nobody:
    """The process that looks is not what is asked here."""

    def ask(self, _asked: object) -> dict[str, Any]:
        return {"status": "abstained"}


@pytest.fixture(scope="module")
def console(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("schema")
    (folder / "node.sqlite3").write_bytes(migrated.read_bytes())
    config = Config(node=NodeSection(data_dir=folder))
    repository = Repository.open(config.database_url)
    made = Console(config, repository, None, Clock())
    made.__dict__["desk"] = Nobody()
    measured(made)
    yield made
    repository.close()


QUICKLY = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_nothing_that_is_described_breaks_it(console: Console) -> None:
    """/readyz answers 503 here, since nothing listens on the node's port."""
    asking = {**program(console, UserRole.ADMIN).headers, "Host": "127.0.0.1:8080"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", build_app(console), headers=asking)
    asked = []
    for operation in (found.ok() for found in schema.get_all_operations()):
        if operation.path == "/readyz":
            continue

        @given(case=operation.as_strategy())
        @QUICKLY
        def ask(case: schemathesis.Case) -> None:
            checks = [not_a_server_error, status_code_conformance, content_type_conformance]
            case.validate_response(case.call(headers=asking), checks=checks)

        ask()
        asked.append(operation.label)
    assert len(asked) > 25
