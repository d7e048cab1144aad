"""`check-config`: whether the node could start here, said before it does."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, make_url, select

from dicom_node.additions import standing
from dicom_node.config import (
    LOOPBACK,
    NARRATIVE_KEY_VARIABLE,
    OIDC_SECRET_VARIABLE,
    SMTP_PASSWORD_VARIABLE,
    WEBHOOK_SECRET_VARIABLE,
    AuditMessagesSection,
    Config,
    NarrativeSection,
    NodeSection,
    NodeTlsSection,
    WebOidcSection,
    WebTlsSection,
)
from dicom_node.deliver.reminders import waiting_for_nobody
from dicom_node.domain import CallerTls, Destination, ResultKind, Right
from dicom_node.errors import ConfigError, NodeError
from dicom_node.queue import utc_now
from dicom_node.routing import SENDER
from dicom_node.rules import ConditionEntry
from dicom_node.storage import schema
from dicom_node.storage.engine import masked, named_errors, open_engine, refuse_network, sqlite_file
from dicom_node.storage.repository import Repository
from dicom_node.tls import TlsFiles, calling_context, expiry_remark, listening_context
from inference.domain import ModelError
from inference.models import find_model

CLOCK_SHARE_OF_LEASE = 4
"""A clock may be off by the lease over this: a lease is renewed when a third of it has passed."""


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str


def check(config: Config) -> Iterator[Check]:
    """Look at everything that the configuration names on this machine."""
    for name, port in (("port", config.node.port), ("tls.port", config.node.tls.port)):
        if port is not None:
            yield _check_port(name, config.node.host, port)
    yield from _check_tls(config.node.tls)
    folder = _check_data_dir(config.node.data_dir)
    yield folder
    if folder.verdict is not Verdict.FAILED:
        yield _check_space(config.node)
        database = _check_database(config)
        yield database
        if database.verdict is not Verdict.FAILED:
            yield from _check_waiting(config)
    yield from _check_models(config)
    yield from _check_web(config.web.tls)
    yield from _check_oidc(config.web.oidc)
    yield from _check_notifications(config)
    if config.narrative.mode == "llm":
        yield _check_narrative(config.narrative)
    yield from _check_rules(config)
    yield from _check_others(config)


def _check_others(config: Config) -> Iterator[Check]:
    """Those who call us, and those whom we call; nobody is called."""
    if not config.peers:
        yield Check("peers", Verdict.WARNING, "no peer is listed, so every association is refused")
    if not config.destinations:
        yield Check("destinations", Verdict.WARNING, "no destination is listed, so results stay on this machine")
    for destination in config.destination_list():
        if destination.tls is not None:
            yield _check_way(f"destination {destination.name}", destination.tls)
    yield from _check_in_clear(config.destination_list())
    yield from _check_alternates(config.destination_list())
    for peer in config.peer_list():
        if not peer.hosts and peer.certificate_name is None:
            text = f"{peer.ae_title} has no `hosts`: any machine that knows this AE title may send, and has its rights"
            yield Check("peers", Verdict.WARNING, text)
        if peer.listens is not None and peer.listens.tls is not None:
            yield _check_way(f"peer {peer.ae_title}", peer.listens.tls)
    if config.storage_commitment.offer:
        yield from _check_commitment(config)
    yield from _check_mpps(config)
    yield from _check_audit_messages(config.audit_messages)


def resolved(config: Config) -> dict[str, Any]:
    """The whole configuration with every default, without the database's password."""
    document: dict[str, Any] = config.model_dump(mode="json")
    document["node"]["data_dir"] = str(config.node.data_dir.resolve())
    document["database"]["url"] = masked(make_url(config.database_url))
    document["inference"]["weights_dir"] = str(config.weights)
    return document


def _check_port(name: str, host: str, port: int) -> Check:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"{host} port {port} is in use: by a running node, or by something else"
                return Check(name, Verdict.WARNING, text)
            return Check(name, Verdict.FAILED, f"cannot listen on {host} port {port} ({error.strerror})")
    return Check(name, Verdict.OK, f"{host} port {port} is free")


def _check_tls(tls: NodeTlsSection) -> Iterator[Check]:
    """The files of the port over TLS: whether they can be used, when the certificate ends, who may read the key."""
    if tls.port is None or tls.certificate is None or tls.private_key is None:
        return
    try:
        listening_context(tls.files())
        remark = expiry_remark(tls.certificate, utc_now())
    except ConfigError as error:
        yield Check("tls", Verdict.FAILED, str(error))
        return
    asks = "callers are not asked for one" if tls.authorities is None else "callers need one too"
    text = f"{tls.certificate} can be used; {asks}"
    yield Check("tls", Verdict.OK if remark is None else Verdict.WARNING, remark or text)
    if tls.private_key.stat().st_mode & 0o077:
        yield Check("tls key", Verdict.WARNING, f"{tls.private_key} can be read by others: chmod 600")


def _check_data_dir(folder: Path) -> Check:
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return Check("data_dir", Verdict.FAILED, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check("data_dir", Verdict.FAILED, f"{existing} is not writable")
    text = "is writable" if existing == folder.resolve() else "will be made"
    return Check("data_dir", Verdict.OK, f"{folder.resolve()} {text}")


def _check_space(node: NodeSection) -> Check:
    existing = node.data_dir.resolve()
    while not existing.exists():
        existing = existing.parent
    free_mb = shutil.disk_usage(existing).free // (1024 * 1024)
    text = f"{free_mb} MB are free"
    if free_mb < node.minimum_free_mb:
        return Check("space", Verdict.FAILED, f"{text}, less than node.minimum_free_mb: no object would be taken")
    if free_mb < node.low_free_mb:
        return Check("space", Verdict.WARNING, f"{text}, less than node.low_free_mb")
    if node.low_free_mb < node.minimum_free_mb:
        text = f"{text}; node.low_free_mb is below node.minimum_free_mb, so objects are refused without a warning"
        return Check("space", Verdict.WARNING, text)
    return Check("space", Verdict.OK, text)


def _check_database(config: Config) -> Check:
    url = make_url(config.database_url)
    file = sqlite_file(config.database_url)
    try:
        if file is not None:
            refuse_network(file)
            if not file.exists():
                return Check("database", Verdict.OK, f"{masked(url)} will be made")
        newest = _has_newest_schema(config)
        ahead_s = _ahead_of_database_s(config)
    except NodeError as error:
        return Check("database", Verdict.FAILED, str(error))
    if abs(ahead_s) > config.queue.lease_s / CLOCK_SHARE_OF_LEASE:
        text = f"this machine's clock is {ahead_s:+.0f} s off that of {masked(url)}: set it (NTP)"
        return Check("database", Verdict.FAILED, text)
    return Check("database", Verdict.OK, f"{masked(url)} answers" + ("" if newest else "; `serve` will migrate it"))


def _check_waiting(config: Config) -> Iterator[Check]:
    """What waits for a destination that is configured neither in the file nor in the console waits for ever."""
    file = sqlite_file(config.database_url)
    if (file is not None and not file.exists()) or not _has_newest_schema(config):
        return
    with closing(Repository.open(config.database_url)) as repository:
        known = standing(config, repository.additions())
        for name, count in waiting_for_nobody(known, repository.delivery_counts()).items():
            text = f"{count} objects wait for {name}, which is no destination: add it again"
            yield Check("destinations", Verdict.WARNING, text)


def _has_newest_schema(config: Config) -> bool:
    """False for an empty or older one, which is no fault. Raises DatabaseRefused for one of a newer version."""
    engine = open_engine(config.database_url)
    try:
        with named_errors(engine.url), engine.connect() as connection:
            return schema.is_newest(connection)
    finally:
        engine.dispose()


def _ahead_of_database_s(config: Config) -> float:
    """How far this machine's clock is ahead of a database server's; 0 for SQLite, which has none."""
    engine = open_engine(config.database_url)
    try:
        if engine.dialect.name == "sqlite":
            return 0.0
        with named_errors(engine.url), engine.connect() as connection:
            theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return (utc_now() - theirs).total_seconds()
    finally:
        engine.dispose()


def _check_narrative(narrative: NarrativeSection) -> Check:
    """Whether there is a key; nobody is asked."""
    if narrative.key() is None:
        where = NARRATIVE_KEY_VARIABLE if narrative.key_file is None else str(narrative.key_file)
        return Check("narrative", Verdict.WARNING, f"{where} holds no API key, so fixed sentences are taken")
    return Check("narrative", Verdict.OK, f"numbers of every report go to {narrative.endpoint}")


def _check_notifications(config: Config) -> Iterator[Check]:
    """Whether there is what each way needs; nobody is asked."""
    email, hook = config.notifications.email, config.notifications.webhook
    for name, authorities in (("e-mail", email.authorities), ("webhook", hook.authorities)):
        try:
            calling_context(TlsFiles(authorities=authorities))
        except ConfigError as error:
            yield Check(name, Verdict.FAILED, str(error))
    if email.host is not None:
        lacking = email.user is not None and email.password() is None
        where = SMTP_PASSWORD_VARIABLE if email.password_file is None else str(email.password_file)
        if lacking:
            yield Check("e-mail", Verdict.FAILED, f"{where} holds no password for {email.user}")
        else:
            yield Check("e-mail", Verdict.OK, f"incidents are told to {len(email.recipients)} by {email.host}")
    if hook.url is not None:
        where = WEBHOOK_SECRET_VARIABLE if hook.secret_file is None else str(hook.secret_file)
        if hook.secret() is None and hook.secret_file is not None:
            yield Check("webhook", Verdict.FAILED, f"{where} holds no secret")
        elif hook.secret() is None:
            yield Check("webhook", Verdict.WARNING, f"{where} holds no secret, so documents are not signed")
        else:
            yield Check("webhook", Verdict.OK, f"incidents are told to {urlsplit(hook.url).hostname}, signed")


def _check_web(tls: WebTlsSection) -> Iterator[Check]:
    """Certificate and key of the console."""
    if tls.certificate is None or tls.private_key is None:
        return
    try:
        listening_context(TlsFiles(tls.certificate, tls.private_key))
        remark = expiry_remark(tls.certificate, utc_now())
    except ConfigError as error:
        yield Check("web.tls", Verdict.FAILED, str(error))
        return
    yield Check(
        "web.tls", Verdict.OK if remark is None else Verdict.WARNING, remark or f"{tls.certificate} can be used"
    )
    if tls.private_key.stat().st_mode & 0o077:
        yield Check("web.tls key", Verdict.WARNING, f"{tls.private_key} can be read by others: chmod 600")


def _check_oidc(oidc: WebOidcSection) -> Iterator[Check]:
    """Whether there is what the sign-in needs; nobody is asked."""
    if oidc.issuer is None:
        return
    where = OIDC_SECRET_VARIABLE if oidc.client_secret_file is None else str(oidc.client_secret_file)
    try:
        calling_context(TlsFiles(authorities=oidc.authorities))
    except ConfigError as error:
        yield Check("web.oidc", Verdict.FAILED, str(error))
    if oidc.secret() is not None:
        yield Check("web.oidc", Verdict.OK, f"people are signed in by {urlsplit(oidc.issuer).hostname}")
    elif oidc.client_secret_file is not None:
        yield Check("web.oidc", Verdict.FAILED, f"{where} holds no secret")
    else:
        yield Check("web.oidc", Verdict.WARNING, f"{where} holds no secret, so the node is a public client")


def _check_models(config: Config) -> Iterator[Check]:
    """The configured one, and those that rules name."""
    for name in dict.fromkeys((config.inference.model, *(rule.model for rule in config.rules if rule.model))):
        try:
            find_model(config.weights, name).verify(config.weights)
        except ModelError as error:
            yield Check("model", Verdict.FAILED, str(error))
        else:
            yield Check("model", Verdict.OK, f"{name} is there and its sha256 is the manifest's")


def _check_rules(config: Config) -> Iterator[Check]:
    """A rule behind one that always holds is never asked where the first speaks alone; a sender needs a port."""
    entries = config.rules
    if config.routing.match == "first":
        always = next((place for place, rule in enumerate(entries) if rule.when == ConditionEntry()), len(entries))
        for rule in entries[always + 1 :]:
            text = f"{rule.name} stands behind {entries[always].name}, which always holds, and never speaks"
            yield Check("rules", Verdict.WARNING, text)
    if any(SENDER in (rule.send or ()) for rule in entries):
        known = {destination.ae_title for destination in config.destinations}
        for title in sorted({peer.ae_title for peer in config.peers} - known):
            text = f"no destination has the AE title {title}: a rule that sends to the sender sends nothing there"
            yield Check("rules", Verdict.WARNING, text)


def _check_in_clear(destinations: Sequence[Destination]) -> Iterator[Check]:
    """Patients' names would cross the network readable to everybody on the way."""
    for one in destinations:
        parts = urlsplit(one.url or "")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            text = f"{one.url} is http to another machine: objects, with the patient's name, cross the network in clear"
            yield Check(f"destination {one.name}", Verdict.WARNING, text)


def _check_alternates(destinations: Sequence[Destination]) -> Iterator[Check]:
    """Retention waits for a commitment that an alternate is never asked for."""
    committing = {destination.name for destination in destinations if destination.commitment}
    for one in destinations:
        if one.commitment and one.alternate is not None and one.alternate not in committing:
            text = (
                f"its alternate {one.alternate} has no `commitment: true`: what that took is never deleted for its age"
            )
            yield Check(f"destination {one.name}", Verdict.WARNING, text)


def _check_commitment(config: Config) -> Iterator[Check]:
    """Whether anything could ever be committed, and who would be told of it."""
    committing = {entry.name for entry in config.destinations if entry.commitment}
    lists = {d.name for d in config.destination_list() if ResultKind.ORIGINAL in d.objects}
    lists |= {
        name
        for rule in config.rules
        for name, kinds in (rule.send or {}).items()
        if ResultKind.ORIGINAL in (kinds or ())
    }
    if not committing & lists:
        text = "no destination with commitment: true gets objects of the kind original, so every answer will be no"
        yield Check("commitment", Verdict.WARNING, text)
    for peer in config.peers:
        if Right.COMMITMENT in peer.may and peer.listens is None:
            text = f"{peer.ae_title} has no `listens`: it is told only on the association on which it asks"
            yield Check("commitment", Verdict.WARNING, text)


def _check_mpps(config: Config) -> Iterator[Check]:
    """Whether those who may tell of their examinations are heard, and whether anybody may."""
    tellers = [peer.ae_title for peer in config.peers if Right.MPPS in peer.may]
    if tellers and not config.mpps.offer:
        yield Check("mpps", Verdict.WARNING, f"{', '.join(tellers)} may use MPPS, and mpps.offer is off")
    if config.mpps.offer and not tellers:
        yield Check("mpps", Verdict.WARNING, "mpps.offer is on, and no peer here has the right: `may: [mpps]`")
    if config.mpps.offer and config.mpps.quiet_s >= config.results.study_quiet_s:
        text = "mpps.quiet_s is not below results.study_quiet_s, so no study is reported sooner"
        yield Check("mpps", Verdict.WARNING, text)


def _check_audit_messages(section: AuditMessagesSection) -> Iterator[Check]:
    """How the trail leaves this machine; nobody is called."""
    if section.host is None:
        return
    if section.transport == "udp":
        text = "over udp audit messages go in clear, Patient IDs among them, and are lost unnoticed: use transport: tls"
        yield Check("audit_messages", Verdict.WARNING, text)
        return
    yield _check_way("audit_messages", CallerTls() if section.tls is None else section.tls.caller())


def _check_way(name: str, tls: CallerTls) -> Check:
    """Whether the files can be used, and for how long; nobody is called."""
    files = TlsFiles(tls.certificate, tls.private_key, tls.authorities)
    try:
        calling_context(files, check_host_name=tls.check_host_name)
        given = (file for file in (tls.certificate, tls.authorities) if file is not None)
        remarks = [remark for file in given if (remark := expiry_remark(file, utc_now())) is not None]
    except ConfigError as error:
        return Check(name, Verdict.FAILED, str(error))
    if remarks:
        return Check(name, Verdict.WARNING, "; ".join(remarks))
    return Check(name, Verdict.OK, "its TLS files can be used")
