"""A console with something in it, and programs with tokens that ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from io import BytesIO

import pydicom
from httpx import Response

from dicom_node.domain import Destination, NewResult, NewStudyResult, Quiet, ResultKind
from dicom_node.storage.files import OBJECTS, durable_write, make_folder
from dicom_node.users import TOKEN_PREFIX, ApiToken, UserRole, new_secret
from dicom_node.web.console import Console
from tests.ultrasound import us_phantom
from tests.unit.dicom_node.storage.rooms import answer, claimed, image
from tests.unit.dicom_node.web.browser import NAMES, Browser

STUDY = "1.2.3"
PACS = Destination("pacs", "PACS", "localhost", 104, (ResultKind.TID1500, ResultKind.OVERLAY))


@dataclass
class Program:
    """Something that asks with a token."""

    browser: Browser
    headers: dict[str, str]

    def get(self, path: str, **kwargs: object) -> Response:
        return self.browser.get(path, headers=self.headers, **kwargs)

    def post(self, path: str, **kwargs: object) -> Response:
        return self.browser.client.post(path, headers=self.headers, follow_redirects=False, **kwargs)


def program(console: Console, role: UserRole) -> Program:
    accounts, name, secret = console.repository.accounts, NAMES[role], TOKEN_PREFIX + new_secret()
    if accounts.credentials(name) is None:
        accounts.add_user(name, role, console.now())
    accounts.add_token(name, ApiToken(0, name, "tests", role, console.now(), None, None), secret, console.now())
    return Program(Browser(console), {"Authorization": f"Bearer {secret}"})


def written(console: Console, dataset: pydicom.Dataset) -> str:
    """The path, relative to the data folder, of an object that was stored."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    make_folder(console.data_dir / OBJECTS)
    return durable_write(console.data_dir / OBJECTS, buffer.getvalue()).relative_to(console.data_dir).as_posix()


def measured(console: Console, uid: str = "1.2.3.1", study: str = STUDY) -> int:
    """Receive and measure an image with objects that lie on the disk; its instance id."""
    repository, now = console.repository, console.now()
    repository.register(replace(image(uid, study=study), path=written(console, us_phantom(1))), now)
    said = answer(uid, (ResultKind.TID1500, ResultKind.OVERLAY))
    objects = tuple(replace(made, path=written(console, us_phantom(2))) for made in said.objects)
    document = json.dumps({"hc_mm": 170.0, "status": "measured", "model": "net", "model_sha256": "ab" * 32})
    job = claimed(repository, now)
    repository.commit_result(job, replace(said, objects=objects, document=document), (PACS,), now)
    assert job.instance_id is not None
    return job.instance_id


def reported(console: Console, study: str = STUDY) -> None:
    """The report of a study that has been quiet."""
    repository, later = console.repository, console.now() + timedelta(seconds=100)
    assert repository.enqueue_quiet_studies(Quiet(1.0), later) == 1
    said = NewResult(f"f {study}", "measured", None, "{}", ())
    repository.commit_study(claimed(repository, later), NewStudyResult(said), (), later)
