"""Tells a FHIR server what studies were measured: one Bundle for each report, about the image that the report selected.

A thread of the courier's process. What is to be told stands in the database until the server has taken it, and is tried
again as deliveries are; a study of which there is no number, or whose number no longer stands, is not told. Who has
taken a Bundle twice has it once, so that a lost answer does no harm.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dicom_node.config import Config
from dicom_node.deliver.fhir_server import FhirServer
from dicom_node.domain import DeliveryState
from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.retry import GiveUp, RetryPolicy, decide, delivery_policy, describe
from dicom_node.storage.fhir_posts import FhirPost, Spoken
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import PostState

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
HELD_FOR_S = 60.0
"""So often it is looked whether a person has confirmed a correction."""

Post = Callable[[dict[str, Any]], str]


@contextmanager
def told_to_fhir(config: Config, repository: Repository, stop: threading.Event) -> Iterator[None]:
    """Beside the block, where a server is configured; `stop` ends it, too."""
    thread = None
    if config.fhir.url is not None:
        teller = teller_of(config, repository)
        thread = threading.Thread(target=teller.run, args=(stop,), name="fhir", daemon=True)
        thread.start()
    yield
    if thread is not None:
        thread.join()


def teller_of(config: Config, repository: Repository) -> Teller:
    """The one that is configured. `fhir.url` must not be None."""
    fhir = config.fhir
    server = FhirServer(fhir.url or "", fhir.authorization_file, fhir.authorities, config.delivery.response_timeout_s)
    lease_s = config.delivery.response_timeout_s + config.queue.lease_s
    policy = delivery_policy(config.queue, config.delivery)
    return Teller(repository, config.node.data_dir.resolve(), server.post, policy, lease_s)


@dataclass
class Teller:
    """`post` sends a transaction and says what the server said; see FhirServer.post."""

    repository: Repository
    data_dir: Path
    post: Post
    policy: RetryPolicy
    lease_s: float
    now: Callable[[], datetime] = utc_now
    rng: random.Random = field(default_factory=random.Random)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Whatever goes wrong is logged, and it goes on."""
        while not stop.is_set():
            try:
                self.repository.fhir_posts.enqueue(self.now())
                while not stop.is_set() and self.tell_one():
                    pass
            except NodeError as error:
                _log.warning("fhir.no_database", extra={"error": type(error).__name__})
            except Exception:  # noqa: BLE001  a thread that ends would hold everything back in silence
                _log.exception("fhir.failed", extra={"what": "unforeseen"})
            stop.wait(LOOK_EVERY_S)

    def tell_one(self) -> bool:
        """What is due the longest; False where nothing is. Raises NodeError: the database does not answer."""
        posts = self.repository.fhir_posts
        post = posts.claim(self.lease_s, self.now())
        if post is None:
            return False
        spoken = posts.spoken(post)
        if spoken is DeliveryState.HELD:
            posts.postpone(post, "A correction waits for a person.", self._after(HELD_FOR_S), self.now())
        elif not isinstance(spoken, Spoken):
            posts.settle(post, PostState.NOTHING, None, self.now())
        else:
            self._tell(post, spoken)
        return True

    def _tell(self, post: FhirPost, spoken: Spoken) -> None:
        try:
            said = self.post(self._bundle(spoken))
        except NodeError as error:
            self._failed(post, error)
            return
        self.repository.fhir_posts.settle(post, PostState.SENT, said, self.now())
        _log.info("fhir.sent", extra={"study_instance_uid": post.study_instance_uid, "attempts": post.attempts})

    def _bundle(self, spoken: Spoken) -> dict[str, Any]:
        """Raises Refused: it cannot be said in FHIR; InstanceRefused, StorageUnavailable: the image cannot be read."""
        from dicom_node.fhir import as_transaction, bundle_of  # noqa: PLC0415  brings OpenCV and FHIR, for those who tell

        return as_transaction(bundle_of(spoken.result, spoken.instance, self.data_dir))

    def _failed(self, post: FhirPost, error: NodeError) -> None:
        age_s = (self.now() - post.waiting_since).total_seconds()
        decision = decide(post.attempts, error, self.policy, self.rng, age_s)
        facts = {
            "study_instance_uid": post.study_instance_uid,
            "attempts": post.attempts,
            "error": type(error).__name__,
        }
        if isinstance(decision, GiveUp):
            self.repository.fhir_posts.settle(post, PostState.DEAD, decision.reason, self.now())
            _log.error("fhir.dead", extra=facts)
            return
        self.repository.fhir_posts.postpone(post, describe(error), self._after(decision.delay_s), self.now())
        _log.warning("fhir.not_taken", extra={**facts, "delay_s": decision.delay_s})

    def _after(self, seconds: float) -> datetime:
        return self.now() + timedelta(seconds=seconds)
