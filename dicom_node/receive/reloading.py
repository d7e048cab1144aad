"""What the receiver takes up while it runs: who may talk to us, by file and by database, and the files of TLS."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dicom_node.additions import Added, AddedEntry, look, nothing_added, standing
from dicom_node.config import Config, load_config
from dicom_node.errors import ConfigError
from dicom_node.file_watch import FileWatch
from dicom_node.receive.authorisation import Policy
from dicom_node.tls import EXPIRY_WARNING, expires_at, listening_context

_log = logging.getLogger(__name__)

_REMIND_EVERY = timedelta(days=1)

TAKEN_UP = frozenset({"peers", "node.ae_title", "node.other_ae_titles", "node.maximum_associations", "node.tls"})
"""Keys whose change the receiver heeds while it runs; of node.tls the files, not the port."""

UsePolicy = Callable[[Policy], None]
UseTls = Callable[[ssl.SSLContext], None]


def policy_of(config: Config) -> Policy:
    """Who may talk to us, as the configuration has it."""
    node = config.node
    return Policy(node.ae_titles, config.caller_list(), node.maximum_associations, node.tls.port)


class Reloading:
    """Keeps policy and TLS context what the files say. A file with a mistake in it changes nothing."""

    def __init__(
        self,
        config: Config,
        config_path: Path | None,
        use_policy: UsePolicy,
        use_tls: UseTls,
        added: Added = nothing_added,
    ) -> None:
        self._config, self._path = config, config_path
        self._added, self._entries = added, tuple[AddedEntry, ...]()
        self._use_policy, self._use_tls = use_policy, use_tls
        self._config_watch = FileWatch([config_path])
        self._tls_watch = self._watch_tls()
        self._remind_at = datetime.min.replace(tzinfo=UTC)

    def begin(self) -> Policy:
        """Who may talk to us when the receiver starts; nobody has changed anything, and nothing is recorded."""
        self._entries = look(self._added, self._entries)
        return policy_of(standing(self._config, self._entries))

    def look(self, now: datetime) -> None:
        """Take up what was changed since the last look; never raises for a mistake in a file."""
        tls_before = self._config.node.tls
        entries = look(self._added, self._entries)
        changed, self._entries = entries != self._entries, entries
        if self._config_watch.changed():
            self._read_again()
        elif changed:
            self._take_up()
        tls = self._config.node.tls
        if tls != tls_before:
            self._tls_watch = self._watch_tls()
        if self._tls_watch.changed() or tls != tls_before:
            self._renew_tls()
        if now >= self._remind_at:
            self._remind_at = now + _REMIND_EVERY
            self._remind(now)

    def _read_again(self) -> None:
        try:
            config = load_config(self._path)
        except ConfigError as error:
            _log.error("receiver.config_refused", extra={"error": type(error).__name__})
            return
        if not config.model_fields_set:  # good for a first start; here somebody is about to write it
            _log.error("receiver.config_refused", extra={"error": "empty"})
            return
        for key in _waiting_for_a_restart(self._config, config):
            _log.warning("receiver.restart_needed", extra={"what": key})
        port = self._config.node.tls.port
        tls = config.node.tls.model_copy(update={"port": port})
        self._config = config.model_copy(update={"node": config.node.model_copy(update={"tls": tls})})
        self._take_up()

    def _take_up(self) -> None:
        """Those of the file, and those that were added."""
        whole = standing(self._config, self._entries)
        self._use_policy(policy_of(whole))
        _log.info("receiver.config_taken_up", extra={"count": len(whole.peers)})

    def _renew_tls(self) -> None:
        tls = self._config.node.tls
        if tls.port is None:
            return
        try:
            context = listening_context(tls.files())
        except ConfigError as error:
            _log.error("receiver.tls_refused", extra={"error": type(error).__name__})
            return
        self._use_tls(context)
        self._remind_at = datetime.min.replace(tzinfo=UTC)
        _log.info("receiver.tls_taken_up")

    def _remind(self, now: datetime) -> None:
        tls = self._config.node.tls
        if tls.port is None or tls.certificate is None:
            return
        try:
            left = expires_at(tls.certificate) - now
        except ConfigError:  # said where it is taken up
            return
        if left <= EXPIRY_WARNING:
            _log.warning("receiver.certificate_ends", extra={"days_left": left.days})

    def _watch_tls(self) -> FileWatch:
        files = self._config.node.tls.files()
        return FileWatch([files.certificate, files.private_key, files.authorities])


def _waiting_for_a_restart(before: Config, after: Config) -> Iterator[str]:
    """Keys that differ and are read at the start only."""
    old, new = _keys(before), _keys(after)
    for key in sorted(old.keys() | new.keys()):
        if key not in TAKEN_UP and old.get(key) != new.get(key):
            yield key
    if before.node.tls.port != after.node.tls.port:
        yield "node.tls.port"


def _keys(config: Config) -> dict[str, Any]:
    """The first two levels of the configuration, by path."""
    keys: dict[str, Any] = {}
    for section, content in config.model_dump().items():
        if isinstance(content, dict):
            keys |= {f"{section}.{name}": value for name, value in content.items()}
        else:
            keys[section] = content
    return keys
