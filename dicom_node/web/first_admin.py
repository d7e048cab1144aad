"""How the first administrator gets in, and where one-time links lead to."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from dicom_node.config import Config
from dicom_node.errors import NodeError, Refused
from dicom_node.storage.files import FILE_MODE, named_disk_errors
from dicom_node.users import UserRole, new_secret
from dicom_node.web.console import Console, address_of

_log = logging.getLogger(__name__)

FIRST_ADMIN = "admin"
LINK_LASTS = timedelta(hours=24)
LINK_FILE = "first-admin-link.txt"


def welcome(console: Console) -> None:
    """Where nobody can administer the node yet: a link for the first one, in a file for the node's own user alone."""
    try:
        accounts = console.repository.accounts
        accounts.forget_sessions(console.lifetime, console.now())
        if accounts.any_admin():
            return
        file = write_link(console)
    except NodeError as error:
        _log.warning("web.no_first_link", extra={"error": type(error).__name__})
        return
    _log.warning("web.first_admin", extra={"what": str(file)})
    if sys.stderr.isatty():
        print(f"\n  Set the administrator's password: {file.read_text(encoding='ascii')}", file=sys.stderr, flush=True)


def write_link(console: Console) -> Path:
    """A link with which the first administrator sets a password, in a file of the data folder.

    Raises:
        StorageUnavailable, DiskFull: the file cannot be written.
    """
    accounts, now, secret = console.repository.accounts, console.now(), new_secret()
    if accounts.credentials(FIRST_ADMIN) is None:
        with suppress(Refused):  # another web process was quicker
            accounts.add_user(FIRST_ADMIN, UserRole.ADMIN, now)
    accounts.add_link(FIRST_ADMIN, secret, now + LINK_LASTS, now)
    file = console.data_dir / LINK_FILE
    with named_disk_errors():
        file.unlink(missing_ok=True)
        file.touch(mode=FILE_MODE, exist_ok=False)
        file.write_text(f"{link_address(console.config, secret)}\n", encoding="ascii")
    return file


def link_address(config: Config, secret: str) -> str:
    """Where a one-time link leads to."""
    return f"{address_of(config)}/welcome/{secret}"
