"""What all parts of the console share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from fastapi import Request

from dicom_node.additions import standing
from dicom_node.config import Config
from dicom_node.queue import utc_now
from dicom_node.storage.accounts import Lifetime
from dicom_node.storage.repository import Repository
from dicom_node.trial.desk import Desk
from dicom_node.trial.shelf import Shelf
from dicom_node.users import Caller
from dicom_node.web.frames import FrameShelf
from dicom_node.web.oidc import Provider
from dicom_node.web.overview import Overview, look
from dicom_node.web.remembered import Remembered
from dicom_node.web.throttle import Doors, Throttle

REMEMBER_S = 1.0
"""However many pages are open, the node is looked at so often and no more."""


@dataclass(frozen=True)
class Console:
    """`config_path`: where the configuration came from; None: built-in defaults."""

    config: Config
    repository: Repository
    config_path: Path | None = None
    now: Callable[[], datetime] = utc_now
    doors: Doors = field(default_factory=Doors)
    looked_at: Throttle = field(default_factory=lambda: Throttle(1, 600.0))
    vouched_for: Throttle = field(default_factory=lambda: Throttle(1, 3600.0))
    stop: threading.Event = field(default_factory=threading.Event)
    frames: FrameShelf = field(default_factory=FrameShelf)

    @cached_property
    def pulse(self) -> Remembered[tuple[int, int]]:
        """Whether something happened."""
        return Remembered(self.repository.browsing.pulse, REMEMBER_S)

    @cached_property
    def overview(self) -> Remembered[Overview]:
        """What the first page shows."""
        return Remembered(self._look, REMEMBER_S)

    @property
    def standing(self) -> Config:
        """The configuration with the peers and destinations that were added since."""
        return standing(self.config, self.repository.additions())

    def _look(self) -> Overview:
        return look(self.standing, self.repository, self.now())

    @property
    def data_dir(self) -> Path:
        return self.config.node.data_dir.resolve()

    @property
    def lifetime(self) -> Lifetime:
        """Of a session."""
        web = self.config.web
        return Lifetime(timedelta(minutes=web.session_idle_min), timedelta(hours=web.session_h))

    @cached_property
    def provider(self) -> Provider | None:
        """Who signs people in beside their passwords; None: nobody."""
        oidc = self.config.web.oidc
        if oidc.issuer is None:
            return None
        return Provider(oidc, (oidc.address or address_of(self.config)).rstrip("/"))

    @cached_property
    def desk(self) -> Desk:
        """Where files that nobody received are looked at."""
        return Desk(self.config, self.config.web.look_s)

    @cached_property
    def shelf(self) -> Shelf:
        """Where what was tried out lies for a while."""
        spare_mb = self.config.node.minimum_free_mb + 2 * self.config.web.upload_mb
        return Shelf(self.data_dir, spare_bytes=spare_mb * 1024 * 1024)

    def acting_as(self, caller: Caller) -> Repository:
        """The repository for what this person changes."""
        return self.repository.acting_as(caller.actor)


def address_of(config: Config) -> str:
    """How browsers call the console, without a slash at the end."""
    web = config.web
    host = socket.gethostname() if web.host in ("0.0.0.0", "::") else web.host  # noqa: S104  compared, not listened on
    named = f"[{host}]" if ":" in host else host
    return f"{'https' if web.secure else 'http'}://{named}:{web.port}"


def console_of(request: Request) -> Console:
    """As a dependency, or from wherever a request is at hand."""
    console: Console = request.app.state.console
    return console
