"""The verbs of `dicom-node`. Exit status: 0 done, 1 the thing asked for failed, 2 bad arguments.

Each verb loads only what it needs: no listing imports torch.
"""

from __future__ import annotations

import functools
import getpass
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from sqlalchemy import make_url

from dicom_node import __version__, app, logs
from dicom_node.additions import standing
from dicom_node.app import Role, existing_repository, open_repository
from dicom_node.audit import AuditEntry, AuditEvent, AuditRecord
from dicom_node.config import Config, PeerEntry, checked_ae_title, find_config, load_config
from dicom_node.deliver import scu
from dicom_node.deliver.peers import address_of, state_name
from dicom_node.deliver.scu import EchoAnswer, Outgoing, PeerAddress, Sent, outgoing
from dicom_node.deliver.ways import DicomWay, StowWay, link_to, way_to
from dicom_node.domain import Delivery, DeliveryState, DestinationState, Job, JobState
from dicom_node.errors import DatabaseRefused, InstanceRefused, NodeError, Refused
from dicom_node.filewalk import files_below
from dicom_node.listing import show, told
from dicom_node.queue import utc_now
from dicom_node.routing import is_address
from dicom_node.sharing import Share
from dicom_node.storage.accounts import Accounts
from dicom_node.storage.engine import masked
from dicom_node.storage.files import FILE_MODE, UNKNOWN
from dicom_node.storage.repository import Repository
from dicom_node.storage.trail import Wanted
from dicom_node.supervisor import REFUSED_STATUS
from dicom_node.users import NAME, UserRole, new_secret
from inference.domain import ModelError, PixelSpacingMm

PROGRAM = "dicom-node"
P = ParamSpec("P")
Word = TypeVar("Word", bound=StrEnum)

cli = typer.Typer(
    name=PROGRAM,
    help="DICOM node that measures fetal head circumference. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
jobs_cli = typer.Typer(invoke_without_command=True, help="List the work of the node; retry, cancel or confirm it.")
rules_cli = typer.Typer(invoke_without_command=True, help="The rules of routing; what they decide about a file.")
audit_cli = typer.Typer(invoke_without_command=True, help="Who did what: list, export or verify the audit trail.")
user_cli = typer.Typer(invoke_without_command=True, help="Who may use the console: list, add, change, new links.")
db_cli = typer.Typer(no_args_is_help=True, help="The node's database.")
cli.add_typer(jobs_cli, name="jobs")
cli.add_typer(rules_cli, name="rules")
cli.add_typer(db_cli, name="db")
cli.add_typer(user_cli, name="user")
cli.add_typer(audit_cli, name="audit")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="configuration file; else $DICOM_NODE_CONFIG, else ./config.yaml")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document instead of a table")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="how many, newest first")]
Peer = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME|AET@HOST:PORT]",
        help="a destination, the AE title of a peer that `listens`, or an address; none: all of the configuration",
    ),
]
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="leave when standard input ends")]
ShareText = Annotated[str, typer.Option("--share", hidden=True, help="of ports that several receivers have")]
RowId = Annotated[int, typer.Argument(min=1, help="the id that the listing shows")]
OptionalRowId = Annotated[int | None, typer.Argument(min=1, help="the id that the listing shows")]
Since = Annotated[datetime | None, typer.Option(help="from this time on; local time")]
Until = Annotated[datetime | None, typer.Option(help="before this time; local time")]
Study = Annotated[str | None, typer.Option(help="only this Study Instance UID")]
Events = Annotated[list[str] | None, typer.Option("--event", help="only this event; may be repeated")]
AllDead = Annotated[bool, typer.Option("--all-dead", help="all that are dead instead of one")]
_ALL = 1_000_000
DataFolder = Annotated[
    Path, typer.Option("--data", exists=True, file_okay=False, help="the challenge's own folder layout")
]


def main() -> None:
    """Entry point. What nobody foresaw is told in one line, by type and place, as in the logs."""
    try:
        cli(prog_name=PROGRAM)
    except Exception as error:  # noqa: BLE001  the last edge: an operator gets a line, never a traceback
        _fail(f"unexpected {type(error).__name__} ({logs.where(error)})")


def _fail(message: str, status: int = 1) -> NoReturn:
    for line in message.splitlines():
        print(f"{PROGRAM}: {line}", file=sys.stderr)
    sys.exit(status)


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Named failures become one line on standard error and exit status 1."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (NodeError, ModelError) as error:
            _fail(str(error))

    return run


def _version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@cli.callback()
def _common(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    pass


# --- the service ---------------------------------------------------------------------------------------------------


@cli.command()
@verb
def serve(config: ConfigFile = None, supervised: Supervised = False) -> None:
    """Run receiver, worker, courier and console; one that dies is started again."""
    path = find_config(config)
    app.serve(load_config(path), path, supervised)


@cli.command()
@verb
def receiver(config: ConfigFile = None, supervised: Supervised = False, share: ShareText = "") -> None:
    """Run only the receiver, or as many as node.receivers says: takes objects from scanners."""
    _run_role(Role.RECEIVER, config, supervised, Share.of(share) if share else None)


@cli.command()
@verb
def worker(config: ConfigFile = None, supervised: Supervised = False) -> None:
    """Run only a worker: measures and reports."""
    _run_role(Role.WORKER, config, supervised)


@cli.command()
@verb
def courier(config: ConfigFile = None, supervised: Supervised = False) -> None:
    """Run only the courier: sends results to destinations."""
    _run_role(Role.COURIER, config, supervised)


@cli.command()
@verb
def web(config: ConfigFile = None, supervised: Supervised = False) -> None:
    """Run only the console: pages and REST interface in a browser."""
    _run_role(Role.WEB, config, supervised)


def _run_role(role: Role, config: Path | None, supervised: bool, share: Share | None = None) -> None:
    """A supervisor must know a refusal, which stays one, from a failure that may pass."""
    try:
        path = find_config(config)
        app.run_role(role, load_config(path), supervised, path, share)
    except (Refused, ModelError) as error:
        _fail(str(error), REFUSED_STATUS if supervised else 1)


# --- without a server ----------------------------------------------------------------------------------------------


@cli.command()
@verb
def measure(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="FILE_OR_FOLDER...", help="DICOM, PNG or JPEG")],
    config: ConfigFile = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="ROW,COLUMN", help="mm per pixel, for pictures that are not DICOM")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line and file")] = False,
) -> None:
    """Measure files without a server. Abstaining is handling: status 0 when every file was handled."""
    given = None if spacing is None else parse_spacing(spacing)
    loaded = _config(config)
    logs.configure("WARNING", "text")  # without it, Python would print the text of an exception
    from dicom_node.measuring import measure_paths  # noqa: PLC0415  brings torch

    answers = measure_paths(paths, loaded, given)
    if as_json:
        for answer in answers:
            print(json.dumps(answer), flush=True)
        return
    columns = ("file", "status", "HC_mm", "interval_mm", "GA", "reason")
    show([_told_answer(answer) for answer in answers], columns, as_json=False, empty="no file found")


def parse_spacing(text: str) -> PixelSpacingMm:
    """`0.2,0.2` (row, column) in mm per pixel. Raises typer.BadParameter."""
    try:
        row, column = (float(part) for part in text.split(","))
        return PixelSpacingMm(row, column)
    except ValueError as error:
        raise typer.BadParameter("two positive numbers are needed, as in 0.2,0.2", param_hint="--spacing") from error


def _told_answer(answer: dict[str, Any]) -> dict[str, Any]:
    low, high = answer["hc_low_mm"], answer["hc_high_mm"]
    return {
        "file": answer["file"],
        "status": answer["status"],
        "HC_mm": answer["hc_mm"],
        "interval_mm": None if low is None else f"{low} to {high}",
        "GA": told_age(answer["ga_days"]),
        "reason": answer["reason_text"] or answer["ga_reason"],
    }


def told_age(days: int | None) -> str | None:
    """Whole weeks and days, as sonographers write them: 21w3d."""
    return None if days is None else f"{days // 7}w{days % 7}d"


# --- peers ---------------------------------------------------------------------------------------------------------


@cli.command()
@verb
def send(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="FILE_OR_FOLDER...")],
    to: Annotated[str, typer.Option(metavar="NAME|AET@HOST:PORT", help="where to")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a peer by C-STORE (or STOW-RS, where the destination has a url), as they are."""
    loaded = _with_added(_config(config))
    way = resolve_way(to, loaded)
    readable, rows = _readable(paths)
    for item, outcome in way.send(readable):
        word = outcome.status_word
        rows.append(
            {
                "file": str(item.path),
                "sop_instance_uid": item.sop_instance_uid,
                "outcome": "sent" if isinstance(outcome, Sent) else outcome.cause.value,
                "status": None if word is None else f"0x{word:04X}",
                "comment": outcome.comment or None,
            }
        )
    show(rows, ("file", "outcome", "status", "comment"), as_json, empty="no file found")
    failed = sum(row["outcome"] != "sent" for row in rows)
    if failed or not rows:
        _fail(f"{failed} of {len(rows)} files were not sent")


def _readable(paths: Sequence[Path]) -> tuple[list[Outgoing], list[dict[str, Any]]]:
    """The files that can be sent, and a row for each that cannot."""
    readable: list[Outgoing] = []
    rows: list[dict[str, Any]] = []
    for path in files_below(paths):
        try:
            readable.append(outgoing(path))
        except InstanceRefused as error:
            rows.append({"file": str(path), "outcome": error.reason.value, "comment": str(error)})
        except OSError as error:
            failure = scu.unreadable(error)
            rows.append({"file": str(path), "outcome": failure.cause.value, "comment": failure.comment})
    return readable, rows


@cli.command()
@verb
def echo(peer: Peer = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Ask by C-ECHO who is there and knows us; a DICOMweb service by a question about nobody."""
    loaded = _with_added(_config(config))
    if peer is None:
        _echo_all(loaded, as_json)
        return
    way = resolve_way(peer, loaded)
    answer, address, where = _asked(way)
    if as_json:
        print(json.dumps({**address, **asdict(answer), "answered": answer.answered}))
    elif answer.answered:
        print(f"{where} answered in {answer.seconds * 1000:.0f} ms")
    if not answer.answered:
        _fail(f"{where}: {answer.text}" + ("" if answer.cause is None else f" [{answer.cause.value}]"))


def _with_added(loaded: Config) -> Config:
    """With the destinations that were added in the console; without a database there are none."""
    try:
        with existing_repository(loaded) as repository:
            return standing(loaded, repository.additions())
    except NodeError:
        return loaded


def _echo_all(config: Config, as_json: bool) -> None:
    """All destinations, and all peers that can be called, one after the other."""
    rows = []
    for name in (*(d.name for d in config.destinations), *(p.ae_title for p in config.peers if p.listens is not None)):
        answer, _, where = _asked(resolve_way(name, config))
        cause = None if answer.cause is None else answer.cause.value
        row = {"name": name, "address": where, "answered": answer.answered, "cause": cause, "remark": answer.text}
        rows.append({**row, "seconds": round(answer.seconds, 3)})
    show(rows, ("name", "address", "answered", "cause", "remark"), as_json, "nobody is listed who could be called")
    silent = [str(row["name"]) for row in rows if not row["answered"]]
    if silent:
        _fail(f"no answer from {', '.join(silent)}")


def _asked(way: DicomWay | StowWay) -> tuple[EchoAnswer, dict[str, Any], str]:
    """The answer, who was asked, and the same in words."""
    if isinstance(way, DicomWay):
        peer = way.link.peer
        return scu.echo(way.link), asdict(peer), f"{peer.ae_title} at {peer.host}:{peer.port}"
    began = time.monotonic()
    failure = way.ask()
    cause, text = (None, "answered") if failure is None else (failure.cause, failure.text)
    return EchoAnswer(cause, text, None, time.monotonic() - began), {"url": way.url}, way.url


_ADDRESS = re.compile(r"(?P<ae_title>.+)@(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@:\s\[\]]+):(?P<port>[0-9]{1,5})")


def resolve_way(text: str, config: Config) -> DicomWay | StowWay:
    """The way to a destination by its name, to a peer by its AE title, or to AET@HOST:PORT.

    Raises:
        typer.BadParameter: none of them.
    """
    for destination in config.destination_list():
        if destination.name == text:
            return way_to(config, destination)
    for peer in config.peer_list():
        address = address_of(peer)
        if address is not None and peer.listens is not None and peer.ae_title == text:
            return DicomWay(link_to(config, address, peer.listens.tls))
    return DicomWay(link_to(config, resolve_peer(text, config)))


def resolve_peer(text: str, config: Config) -> PeerAddress:
    """AET@HOST:PORT (an IPv6 host in brackets).

    Raises:
        typer.BadParameter: it is not, nor is it the name of a destination.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        names = ", ".join(d.name for d in config.destinations) or "none"
        raise typer.BadParameter(
            f"{text!r} is neither a destination ({names}), nor a peer that listens, nor AET@HOST:PORT"
        )
    try:
        ae_title = checked_ae_title(match["ae_title"])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise typer.BadParameter("a port is a number from 1 to 65535")
    return PeerAddress(ae_title, match["host"].strip("[]"), port)


@cli.command()
@verb
def peers(config: ConfigFile = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Who may talk to this node, and who was refused lately, why, and what would let it in (200 are kept)."""
    loaded = _config(config)
    with existing_repository(loaded) as repository:
        states = repository.destination_states()
        entries = standing(loaded, repository.additions()).peers
        allowed = [{**_told_peer(entry), **_state_of(entry, states)} for entry in entries]
        refused = [asdict(record) for record in repository.refusals(limit)]
    if as_json:
        print(json.dumps({"peers": allowed, "refused": refused}, default=told, indent=1))
        return
    print("May talk to us:")
    shown = [{**row, "hosts": row["hosts"] or "any", "limits": _told_limits(row)} for row in allowed]
    show(shown, ("ae_title", "hosts", "may", "tls", "certificate_name", "limits", "answers", "remark"), False, "nobody")
    print("\nRefused lately:")
    columns = ("refused_at", "calling_ae", "called_ae", "host", "reason", "advice")
    show(refused, columns, as_json=False, empty="nobody")


def _told_peer(entry: PeerEntry) -> dict[str, Any]:
    return {**entry.model_dump(mode="json"), "tls": "required" if entry.secure else "allowed"}


def _state_of(entry: PeerEntry, states: Mapping[str, DestinationState]) -> dict[str, Any]:
    """Whether a peer answered when the courier last asked."""
    address = address_of(entry.peer())
    return _told_state(None if address is None else states.get(state_name(address)))


def _told_limits(row: dict[str, Any]) -> str | None:
    limits = {
        "associations": row["maximum_associations"],
        "objects a minute": row["objects_per_minute"],
        "MB an object": row["maximum_object_mb"],
    }
    return ", ".join(f"{limit} {name}" for name, limit in limits.items() if limit is not None) or None


@cli.command()
@verb
def destinations(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Where results go, and how many are in which state there."""
    loaded = _config(config)
    with existing_repository(loaded) as repository:
        loaded = standing(loaded, repository.additions())
        counts, states = repository.delivery_counts(), repository.destination_states()
    rows: list[dict[str, Any]] = [
        {
            **asdict(d),
            "objects": [kind.value for kind in d.objects],
            "configured": True,
            **_told_state(states.get(d.name)),
        }
        for d in loaded.destination_list()
    ]
    known = {row["name"] for row in rows}
    rows += [{"name": name, "configured": False} for name in sorted(set(counts) - known)]
    for row in rows:
        row |= {state.value: counts.get(row["name"], {}).get(state, 0) for state in DeliveryState}
    columns = ("name", "configured", "ae_title", "host", "port", "answers", "since", "remark", "objects")
    show(rows, (*columns, *(s.value for s in DeliveryState)), as_json, empty="no destination is configured")


def _told_state(state: DestinationState | None) -> dict[str, Any]:
    """Whether it answers, as the courier found; nothing is known of one that was never asked."""
    if state is None:
        return {"answers": None, "since": None, "checked_at": None, "cause": None, "remark": None}
    return {
        "answers": state.reachable,
        "since": state.since,
        "checked_at": state.checked_at,
        "cause": state.cause,
        "remark": state.comment,
    }


@rules_cli.callback()
@verb
def rules(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """The rules in their order: what has to hold, and what is done then."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    loaded = _config(config)
    rows = [
        {"when": None, **entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)} for entry in loaded.rules
    ]
    if not as_json:
        rows = [{name: _told_setting(value) for name, value in row.items()} for row in rows]
    columns = ("name", "when", "action", "model", "priority", "send")
    show(rows, columns, as_json, empty="no rule is configured")


def _told_setting(value: Any) -> str | None:
    """As it may be written in the file, on one line."""
    if not isinstance(value, dict):
        return "always" if value is None else str(value)
    import yaml  # noqa: PLC0415

    return str(yaml.safe_dump(value, default_flow_style=True, width=1000)).strip()


@rules_cli.command("test")
@verb
def explain_rules(  # noqa: PLR0913, PLR0917  the options of the verb
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="FILE_OR_FOLDER...")],
    calling_ae: Annotated[str | None, typer.Option(help="AE title of the machine that would send it")] = None,
    called_ae: Annotated[str | None, typer.Option(help="AE title it would call; else node.ae_title")] = None,
    host: Annotated[str | None, typer.Option(help="address it would come from")] = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line and file")] = False,
) -> None:
    """Explain what would become of files: which rules hold and why, what is measured, what goes where."""
    loaded = _config(config or context.obj)
    if host is not None and not is_address(host):
        _fail(f"--host {host} is not an IP address: rules see where a call comes from, not its name")
    from dicom_node.explaining import Sender, explain  # noqa: PLC0415

    sender = Sender(calling_ae, called_ae or loaded.node.ae_title, host)
    failed = 0
    for path in files_below(paths):
        try:
            explained = explain(path, loaded, sender)
        except (InstanceRefused, OSError) as error:
            print(f"{PROGRAM}: {path}: {_told_refusal(error)}", file=sys.stderr)
            failed += 1
            continue
        print(json.dumps(explained.document()) if as_json else "\n".join(explained.lines()), flush=True)
    if failed:
        _fail(f"{failed} files could not be read")


def _told_refusal(error: InstanceRefused | OSError) -> str:
    return str(error) if isinstance(error, InstanceRefused) else f"cannot be read ({error.strerror})"


# --- work ----------------------------------------------------------------------------------------------------------


@jobs_cli.callback()
@verb
def jobs(  # noqa: PLR0913, PLR0917  the options of the verb
    context: typer.Context,
    config: ConfigFile = None,
    deliveries: Annotated[bool, typer.Option("--deliveries", help="deliveries instead of jobs")] = False,
    state: Annotated[list[str] | None, typer.Option(help="only those in this state; may be repeated")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs (or deliveries), newest first; or retry, cancel, confirm one."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    if deliveries:
        _list_deliveries(config, _states(DeliveryState, state), limit, as_json)
    else:
        _list_jobs(config, _states(JobState, state), limit, as_json)


def _list_deliveries(config: Path | None, states: Sequence[DeliveryState], limit: int, as_json: bool) -> None:
    with existing_repository(_config(config)) as repository:
        rows = [_delivery_row(delivery) for delivery in repository.deliveries(states, limit)]
    show(rows, _DELIVERY_COLUMNS, as_json, empty="no delivery")


def _list_jobs(config: Path | None, states: Sequence[JobState], limit: int, as_json: bool) -> None:
    with existing_repository(_config(config)) as repository:
        rows = [_job_row(job, repository) for job in repository.jobs(states, limit)]
    show(rows, _JOB_COLUMNS, as_json, empty="no job")


_JOB_COLUMNS = (
    *("id", "kind", "state", "attempts", "available_at"),
    *("sop_instance_uid", "revision", "relation", "result", "reason", "error"),
)
_DELIVERY_COLUMNS = ("id", "destination", "kind", "state", "via", "attempts", "available_at", "status", "comment")


def _states(kind: type[Word], given: Sequence[str] | None) -> list[Word]:
    """The enum members called so. Raises typer.BadParameter."""
    try:
        return [kind(text) for text in given or ()]
    except ValueError as error:
        raise typer.BadParameter(f"{' '.join(given or ())}: use one of {', '.join(kind)}") from error


def _job_row(job: Job, repository: Repository) -> dict[str, Any]:
    if job.study_version_id is not None:
        return _study_job_row(job, repository)
    instance, result = repository.instance(job.instance_id), repository.result_of(job.instance_id)
    return {
        **asdict(job),
        "sop_instance_uid": instance.sop_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "revision": instance.revision,
        "relation": instance.relation,
        "result": None if result is None else result.status,
        "reason": None if result is None else result.reason,
    }


def _study_job_row(job: Job, repository: Repository) -> dict[str, Any]:
    """`revision` is the version of the study's report."""
    version = repository.study_version(job.study_version_id)
    told = {said.version: said for said in repository.study_results(version.study_instance_uid)}.get(version.version)
    return {
        **asdict(job),
        "sop_instance_uid": None,
        "study_instance_uid": version.study_instance_uid,
        "revision": version.version,
        "relation": None,
        "result": None if told is None else told.status,
        "reason": None if told is None else told.reason,
    }


def _delivery_row(delivery: Delivery) -> dict[str, Any]:
    word = delivery.status_word
    return {**asdict(delivery), "status": None if word is None else f"0x{word:04X}"}


@jobs_cli.command("retry")
@verb
def retry_job(
    context: typer.Context, job: OptionalRowId = None, all_dead: AllDead = False, config: ConfigFile = None
) -> None:
    """Start a dead or cancelled job afresh, or all dead ones."""
    _require_one(job, all_dead)

    def change(repository: Repository) -> None:
        dead = (found.id for found in repository.jobs([JobState.DEAD], _ALL))
        for one in dead if job is None else [job]:
            repository.retry_job(one, utc_now())

    _change(config or context.obj, change)


@jobs_cli.command("rerun")
@verb
def rerun_job(context: typer.Context, job: RowId, config: ConfigFile = None) -> None:
    """Look at the image of a done job once more, since a model or settings have changed; else nothing new is said."""
    _change(config or context.obj, lambda repository: repository.rerun_job(job, utc_now()))


@jobs_cli.command("cancel")
@verb
def cancel_job(context: typer.Context, job: RowId, config: ConfigFile = None) -> None:
    """Cancel a job that is not running; a cancelled correction releases what it held back."""
    _change(config or context.obj, lambda repository: repository.cancel_job(job, utc_now()))


@jobs_cli.command("confirm")
@verb
def confirm_job(context: typer.Context, job: RowId, config: ConfigFile = None) -> None:
    """Accept a held correction of identity: it is measured, if it can be, and replaces the earlier version."""
    _change(config or context.obj, lambda repository: repository.confirm_job(job, utc_now()))


@jobs_cli.command("attempts")
@verb
def attempts(context: typer.Context, delivery: RowId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every attempt of a delivery: who was asked, when, for how long, and what was said."""
    with existing_repository(_config(config or context.obj)) as repository:
        made = repository.attempts(delivery)
    rows = [{**asdict(one), "status": None if one.status_word is None else f"0x{one.status_word:04X}"} for one in made]
    columns = ("began_at", "asked", "seconds", "outcome", "cause", "status", "comment")
    show(rows, columns, as_json, empty="no attempt yet")


@jobs_cli.command("retry-delivery")
@verb
def retry_delivery(
    context: typer.Context,
    delivery: OptionalRowId = None,
    all_dead: AllDead = False,
    destination: Annotated[str | None, typer.Option(help="with --all-dead: only those for this destination")] = None,
    config: ConfigFile = None,
) -> None:
    """Send a dead delivery afresh, or a waiting one now, or all dead ones."""
    _require_one(delivery, all_dead)

    def change(repository: Repository) -> None:
        dead = repository.deliveries([DeliveryState.DEAD], _ALL)
        wanted = (found.id for found in dead if destination in (None, found.destination))
        for one in wanted if delivery is None else [delivery]:
            repository.retry_delivery(one, utc_now())

    _change(config or context.obj, change)


@jobs_cli.command("resend")
@verb
def resend_delivery(context: typer.Context, delivery: RowId, config: ConfigFile = None) -> None:
    """Send once more what was delivered: the stored bytes, for a destination that has lost them."""
    _change(config or context.obj, lambda repository: repository.resend_delivery(delivery, utc_now()))


def _require_one(row: int | None, all_dead: bool) -> None:
    if (row is not None) == all_dead:
        raise typer.BadParameter("name an id or say --all-dead, not both")


def _change(config: Path | None, change: Callable[[Repository], None]) -> None:
    with existing_repository(_config(config)) as repository:
        change(repository.acting_as(person()))
    print("done")


@cli.command("fhir")
@verb
def fhir(result: RowId, config: ConfigFile = None) -> None:
    """Print the answer about an image, by the id of its result, as FHIR R4: DiagnosticReport and Observations."""
    loaded = _config(config)
    from dicom_node.fhir import exported  # noqa: PLC0415  brings the classes of FHIR

    with existing_repository(loaded) as repository:
        instance, bundle = exported(repository, loaded.node.data_dir.resolve(), result)
        read = AuditEntry(
            AuditEvent.OBJECT_READ,
            person(),
            outcome="fhir",
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
        )
        repository.record(read, utc_now())
    print(json.dumps(bundle, indent=1))


# --- the audit trail ------------------------------------------------------------------------------------------------


@audit_cli.callback()
@verb
def audit(  # noqa: PLR0913, PLR0917  the options of the verb
    context: typer.Context,
    config: ConfigFile = None,
    event: Events = None,
    since: Since = None,
    until: Until = None,
    study: Study = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """The latest acts, newest first; to have read them is one too."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with existing_repository(_config(config)) as repository:
        wanted = _wanted(event, since, until, study)
        rows = [_audit_row(found) for found in repository.audit_trail(wanted, limit)]
        _tell_reading(repository, "list", len(rows))
    columns = ("at", "event", "actor", "host", "outcome", "sop_instance_uid", "study_instance_uid", "detail")
    show([row if as_json else {**row, "detail": _told_detail(row["detail"])} for row in rows], columns, as_json)


@audit_cli.command("export")
@verb
def export_audit(  # noqa: PLR0913, PLR0917  the options of the verb
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="file to be written; it must not exist")],
    config: ConfigFile = None,
    event: Events = None,
    since: Since = None,
    until: Until = None,
    study: Study = None,
) -> None:
    """Write the trail to a file, oldest first, one JSON object a line with its place and hash in the chain."""
    with existing_repository(_config(config or context.obj)) as repository:
        wanted, count = _wanted(event, since, until, study), 0
        while repository.seal_trail():
            pass
        try:
            with out.open("x", encoding="utf-8") as file:
                out.chmod(FILE_MODE)
                for count, found in enumerate(repository.whole_audit_trail(wanted), 1):  # noqa: B007
                    print(json.dumps(_audit_row(found), default=str), file=file)
        except OSError as error:
            _fail(f"{out}: cannot be written ({error.strerror})")
        _tell_reading(repository, "export", count)
    print(f"{count} records")


@audit_cli.command("verify")
@verb
def verify_audit(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Compute the hash chain again: whether a record was altered or removed since it was sealed."""
    with existing_repository(_config(config or context.obj)) as repository:
        found = repository.verify_trail()
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.sealed} records are as they were written, {found.unsealed} not sealed yet")
        print(f"hash of the last one: {found.head or '-'}")
    if found.broken_at is not None:
        _fail(f"the chain is broken at number {found.broken_at}: {found.why}")
    if found.slipped_in:
        _fail(f"{found.slipped_in} records were put in past the chain: they have no seal, and later ones have")


def _wanted(events: Sequence[str] | None, since: datetime | None, until: datetime | None, study: str | None) -> Wanted:
    """Times without a zone are local ones."""
    begin, end = (None if time is None else time.astimezone() for time in (since, until))
    return Wanted(_states(AuditEvent, events), begin, end, study)


def _audit_row(found: AuditRecord) -> dict[str, Any]:
    return {
        "id": found.id,
        "at": found.at,
        "node": found.node,
        **asdict(found.entry),
        "number": found.number,
        "sha256": found.seal,
    }


def _told_detail(detail: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in detail.items() if value is not None)


def _tell_reading(repository: Repository, how: str, count: int) -> None:
    entry = AuditEntry(AuditEvent.TRAIL_READ, person(), outcome=how, detail={"count": count})
    repository.record(entry, utc_now())


def _tell_change(repository: Repository, what: str, **detail: int) -> None:
    entry = AuditEntry(AuditEvent.ADMIN_CHANGE, person(), outcome=what, detail=detail)
    repository.record(entry, utc_now())


# --- users of the console ------------------------------------------------------------------------------------------

UserName = Annotated[str, typer.Argument(metavar="NAME", help="letters, digits, dots, hyphens, underscores")]
WantedRole = Annotated[UserRole, typer.Option("--role", help="what they may do")]


@user_cli.callback()
@verb
def user(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the users of the console; or add one, change one, make a one-time link."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    with existing_repository(_config(config)) as repository:
        rows = [asdict(one) for one in repository.accounts.users()]
    show(rows, ("name", "role", "active", "has_password", "external", "locked_until"), as_json, empty="no user")


@user_cli.command("add")
@verb
def add_user(
    context: typer.Context, name: UserName, role: WantedRole = UserRole.VIEWER, config: ConfigFile = None
) -> None:
    """Add a user and print the link with which they set a password; it works once, for 24 hours."""
    if not re.fullmatch(NAME, name):
        raise typer.BadParameter("a name has 1 to 64 letters, digits, dots, hyphens or underscores")

    def add(accounts: Accounts) -> None:
        accounts.add_user(name, role, utc_now())

    _print_link(config or context.obj, name, add)


@user_cli.command("link")
@verb
def link_user(context: typer.Context, name: UserName, config: ConfigFile = None) -> None:
    """Print a new one-time link, for somebody who has no password or forgot it."""
    _print_link(config or context.obj, name, lambda _accounts: None)


def _print_link(config: Path | None, name: str, before: Callable[[Accounts], None]) -> None:
    from dicom_node.web.first_admin import LINK_LASTS, link_address  # noqa: PLC0415  brings the web framework

    loaded, secret, now = _config(config), new_secret(), utc_now()
    with existing_repository(loaded) as repository:
        accounts = repository.acting_as(person()).accounts
        before(accounts)
        accounts.add_link(name, secret, now + LINK_LASTS, now)
    print(link_address(loaded, secret))


@user_cli.command("change")
@verb
def change_user(
    context: typer.Context,
    name: UserName,
    role: Annotated[UserRole | None, typer.Option(help="another role")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="they may not sign in any more")] = False,
    config: ConfigFile = None,
) -> None:
    """Give a user another role, end their access, or without --inactive give it back; their sessions end."""
    with existing_repository(_config(config or context.obj)) as repository:
        accounts = repository.acting_as(person()).accounts
        found = accounts.credentials(name)
        if found is None:
            raise Refused(f"There is no user {name}.")
        accounts.change_user(name, role or found.user.role, not inactive, utc_now())


def person() -> str:
    """Who runs this program, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"uid-{os.getuid()}"


# --- the installation ----------------------------------------------------------------------------------------------


@cli.command()
@verb
def models(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """The weight files, whether they are the ones that were measured, and their figures."""
    from inference.models import read_manifest  # noqa: PLC0415  brings OpenCV

    loaded = _config(config)
    rows = [
        {
            "name": entry.name,
            "architecture": entry.architecture,
            "parameters": entry.parameters,
            "file": entry.file,
            "sha256": entry.sha256,
            "verified": entry.verified(loaded.weights),
            "configured": entry.name == loaded.inference.model,
            "figures": entry.figures,
            "data": entry.data,
            "card": entry.card,
        }
        for entry in read_manifest(loaded.weights)
    ]
    show(rows, ("name", "architecture", "parameters", "file", "verified", "configured"), as_json, empty="no model")
    altered = [row["name"] for row in rows if not row["verified"]]
    if altered:
        _fail(f"missing or altered: {', '.join(map(str, altered))}")


@cli.command("check-config")
@verb
def check_config(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Read the configuration, show it with every default, say whether the node could start and what it can decode."""
    from dicom_node import checks  # noqa: PLC0415  brings OpenCV

    path = find_config(config)
    loaded = load_config(path)
    found = list(checks.check(loaded))
    from dicom_node.transfer_syntaxes import supported  # noqa: PLC0415  brings every decoder

    syntaxes = [asdict(one) for one in supported()]
    if as_json:
        document = {"file": None if path is None else str(path), "config": checks.resolved(loaded)}
        print(json.dumps({**document, "checks": [asdict(one) for one in found], "syntaxes": syntaxes}, indent=1))
    else:
        import yaml  # noqa: PLC0415

        print(f"# {path or 'built-in defaults'}")
        print(yaml.safe_dump(checks.resolved(loaded), sort_keys=False))
        show([asdict(one) for one in found], ("verdict", "name", "text"), as_json=False)
        _show_syntaxes(syntaxes)
    failed = [one.name for one in found if one.verdict is checks.Verdict.FAILED]
    if failed:
        _fail(f"the node cannot start: {', '.join(failed)}")


def _show_syntaxes(syntaxes: Sequence[dict[str, Any]]) -> None:
    """Which transfer syntaxes are decoded here, and what brings the others."""
    print("\nTransfer syntaxes; an object in one that is not decoded is stored and refused by name:")
    show([{**one, "decoder": _told_decoder(one)} for one in syntaxes], ("uid", "name", "decoder"), as_json=False)
    missing = dict.fromkeys(package for one in syntaxes for package in one["install"])
    if missing:
        print("To decode the missing ones: pip install", *(f"'{package}'" for package in missing))


def _told_decoder(syntax: dict[str, Any]) -> str:
    if syntax["decoder"]:
        return str(syntax["decoder"])
    return f"needs {', '.join(syntax['install'])}" if syntax["install"] else "none is known"


@db_cli.command("upgrade")
@verb
def db_upgrade(config: ConfigFile = None) -> None:
    """Bring the tables to those of this version; `serve` does so too."""
    with open_repository(_config(config)) as repository:
        _tell_change(repository, "upgraded")
        print("done")


@db_cli.command("info")
@verb
def db_info(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Where the database is and how much is in it."""
    loaded = _config(config)
    with existing_repository(loaded) as repository:
        counts = repository.counts(utc_now())
    facts = {"url": masked(make_url(loaded.database_url)), **counts}
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    show([{"what": name, "value": value} for name, value in facts.items()], ("what", "value"), as_json=False)


@db_cli.command("adopt")
@verb
def db_adopt(config: ConfigFile = None) -> None:
    """Register objects of the data folder that the database does not know; after pg_restore, while the node is down."""
    from dicom_node.storage.pairing import begin_adoption  # noqa: PLC0415

    loaded = _config(config)
    with app.undisturbed(loaded):
        begin_adoption(loaded.node.data_dir.resolve())
        _adopt(loaded, "adopted")


@cli.command()
@verb
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="a new file")], config: ConfigFile = None
) -> None:
    """Write the database, as it is, to a file while the node runs; copy objects/ and results/ afterwards."""
    from dicom_node.storage.backup import back_up  # noqa: PLC0415

    loaded = _config(config)
    app.expect_database(loaded)
    back_up(loaded.database_url, to)
    with suppress(DatabaseRefused), existing_repository(loaded) as repository:  # older tables stay as they are
        _tell_change(repository, "backed_up")
    print(to)


@cli.command()
@verb
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="what `backup` wrote")],
    config: ConfigFile = None,
) -> None:
    """Go back to a backup while the node is down; objects that came after it are registered again and measured."""
    from dicom_node.storage.backup import restore as put_back  # noqa: PLC0415
    from dicom_node.storage.backup import serial_in  # noqa: PLC0415
    from dicom_node.storage.pairing import begin_adoption, check_mark  # noqa: PLC0415

    loaded = _config(config)
    with app.undisturbed(loaded):
        data_dir = loaded.node.data_dir.resolve()
        if (serial := serial_in(loaded.database_url, source)) is not None:
            check_mark(data_dir, serial)
        put_back(loaded.database_url, source, data_dir, lambda: begin_adoption(data_dir))
        _adopt(loaded, "restored")


def _adopt(loaded: Config, outcome: str) -> None:
    from dicom_node.receive.adoption import adopt  # noqa: PLC0415
    from dicom_node.storage.pairing import check_mark, end_adoption, pair, take_over  # noqa: PLC0415

    data_dir = loaded.node.data_dir.resolve()
    with open_repository(loaded) as repository:
        take_over(data_dir, repository)
        check_mark(data_dir, repository.installation_serial())  # another node's rows say nothing of our files
        found = adopt(loaded, repository)
        end_adoption(data_dir)
        pair(data_dir, repository)
        _tell_change(repository, outcome, count=found.registered)
    print(f"{found.registered} objects registered")
    if found.unreadable or found.overtaken:
        why = f"{found.unreadable} objects cannot be read, {found.overtaken} are older than what the database knows"
        _fail(f"{why}: they were set aside in {data_dir / UNKNOWN}")


@cli.command()
@verb
def demo(
    images: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, envvar="DEMO_IMAGES", help="your own DICOM files instead"),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for everything the demonstration writes")] = Path("demo-out"),
    serve_on: Annotated[bool, typer.Option("--serve", help="leave node and PACS running until Ctrl-C")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="seconds until it gives up")] = 300.0,
) -> None:
    """Push an ultrasound study through a node into a stand-in PACS and show what comes back."""
    from dicom_node.demo.run import run_demo  # noqa: PLC0415  brings pictures and fonts

    run_demo(images, out, serve_on, timeout_s)


# --- training ------------------------------------------------------------------------------------------------------


@cli.command()
@verb
def train(  # noqa: PLR0913, PLR0917  the options of the verb
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="folder of the run; a cut-off run goes on")],
    recipe_file: Annotated[
        Path | None,
        typer.Option("--recipe", dir_okay=False, exists=True, help="recipe.json of a run; else the architecture's own"),
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="efficientnet-lite0-unet or residual-unet")] = None,
    width: Annotated[float | None, typer.Option(help="share of the network's channels, for a slow processor")] = None,
    fold: Annotated[int | None, typer.Option(help="hold out this fold, 0 to 4; else the first split is used")] = None,
    every_exam: Annotated[bool, typer.Option("--all", help="train on every exam; figures come from the folds")] = False,
    start_from: Annotated[
        Path | None, typer.Option("--start-from", help="average.pt of a run with the same fold, to go on from")
    ] = None,
    epochs: Annotated[
        tuple[int, int] | None, typer.Option(metavar="COARSE FINE", help="other numbers of epochs than the recipe's")
    ] = None,
    export: Annotated[
        bool, typer.Option("--export", help="also write the weights folder, calibrated on unseen validation exams")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Train a network again, from the challenge's images; the recipe is written beside the weights."""
    loaded = _config(config)
    logs.configure(loaded.logging.level, "text")
    from inference.architectures.registry import ARCHITECTURES, ArchitectureError  # noqa: PLC0415
    from inference.training.challenge import ChallengeFolderError  # noqa: PLC0415
    from inference.training.folds import FoldsError  # noqa: PLC0415
    from inference.training.recipe import RecipeError, basic_recipe, recipe_from_json  # noqa: PLC0415
    from inference.training.train import train as run_training  # noqa: PLC0415

    wanted: dict[str, Any] = {
        "architecture": architecture,
        "width": width,
        "held_out_fold": fold,
        "every_exam": every_exam or None,
        "start_from": None if start_from is None else str(start_from),
        "start_from_sha256": None if start_from is None else "",
        "coarse_epochs": None if epochs is None else epochs[0],
        "fine_epochs": None if epochs is None else epochs[1],
        "threads": loaded.inference.threads,
    }
    try:
        given = None if recipe_file is None else recipe_from_json(recipe_file.read_text(encoding="utf-8"))
        recipe = given or basic_recipe(architecture)
        recipe = replace(recipe, **{name: value for name, value in wanted.items() if value is not None})
        print(run_training(data, out, recipe))
    except (ArchitectureError, ChallengeFolderError, FoldsError, RecipeError) as error:
        _fail(str(error))
    if export:
        from inference.training.export import Shipment  # noqa: PLC0415
        from inference.training.export import export as ship  # noqa: PLC0415

        configured = loaded.inference.model
        name = recipe.architecture if configured in ARCHITECTURES else configured  # no network under another's name
        entry = ship(data, out, loaded.weights, Shipment(name=name))
        print(loaded.weights / entry.file)


@cli.command()
@verb
def evaluate(  # noqa: PLR0913, PLR0917  the options of the verb
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="folder for tables and figures")] = Path(
        "docs/evaluation"
    ),
    runs: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="folder with fold0 to fold4: predict every image out of fold"),
    ] = None,
    folds: Annotated[
        list[int] | None, typer.Option("--fold", help="with --runs: only this fold, for screening; may be repeated")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="judge the file on its train, validation or test exams; opening the test exams is recorded"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="name in the manifest; else the configured one")] = None,
    name: Annotated[str | None, typer.Option(help="with --runs: name of the rows, if not the model's")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="with --split: folder of the training run, for its learning curve")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="also write the figures into manifest, model cards and README.md")
    ] = False,
    pictures: Annotated[
        Path, typer.Option(file_okay=False, help="folder for the worst cases with their images; outside git")
    ] = Path("runs/worst-cases"),
    non_heads: Annotated[
        int,
        typer.Option("--non-heads", min=0, help="also judge the model on pictures without a head: so many a family"),
    ] = 0,
    config: ConfigFile = None,
) -> None:
    """Write the evaluation: by folds, the figures of a split, or (given neither) all again from the committed rows."""
    loaded = _config(config)
    logs.configure(loaded.logging.level, "text")
    if model is not None:
        loaded = loaded.model_copy(update={"inference": loaded.inference.model_copy(update={"model": model})})
    from dicom_node.examiner import build_examiner, find_entry  # noqa: PLC0415  brings torch
    from inference.training import report  # noqa: PLC0415
    from inference.training.challenge import ChallengeFolderError, Split  # noqa: PLC0415
    from inference.training.evaluate import RowsError  # noqa: PLC0415
    from inference.training.export import Shipment  # noqa: PLC0415
    from inference.training.folds import FoldsError  # noqa: PLC0415
    from inference.training.outoffold import RunError  # noqa: PLC0415
    from inference.training.recipe import RecipeError  # noqa: PLC0415

    entry = find_entry(loaded)
    place = report.Place(data, out, loaded.weights)
    try:
        if runs is not None:
            report.predict_folds(place, runs, Shipment(name=name or entry.name), folds)
        if split is not None:
            (wanted,) = _states(Split, [split])
            report.judge_split(place, wanted, build_examiner(loaded, entry), entry, run)
        told = report.renew(place, pictures)
        if record:
            report.record(place, entry.name)
        if non_heads:
            told.append(_judge_non_heads(data, out, loaded, non_heads))
    except (ChallengeFolderError, FoldsError, RecipeError, RowsError, RunError) as error:
        _fail(str(error))
    print("\n".join(told))


@cli.command("train-cine")
@verb
def train_cine(  # noqa: PLR0913, PLR0917  the options of the verb
    data: DataFolder,
    still: Annotated[
        Path, typer.Option("--still", exists=True, file_okay=False, help="finished run of `train` to begin with")
    ],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="folder of the run; a cut-off run goes on")],
    brief: Annotated[bool, typer.Option("--brief", help="64 clips, few steps: minutes, not hours")] = False,
    clips: Annotated[
        int | None, typer.Option(min=1, help="how many synthetic clips; about 11 MB of cache each")
    ] = None,
    epochs: Annotated[
        tuple[int, int, int] | None, typer.Option(metavar="STAGE1 STAGE2 STAGE3", help="other numbers of epochs")
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention/--no-attention", help="without: the same clips, the module shut; to compare")
    ] = True,
    config: ConfigFile = None,
) -> None:
    """Train temporal attention on synthetic clips of the exams that a run of `train` has seen, in three stages."""
    loaded = _config(config)
    logs.configure(loaded.logging.level, "text")
    from inference.training.challenge import ChallengeFolderError  # noqa: PLC0415
    from inference.training.recipe import RecipeError  # noqa: PLC0415
    from inference.training.temporal import train_temporal  # noqa: PLC0415
    from inference.training.temporal_recipe import BRIEF, TemporalRecipe  # noqa: PLC0415

    recipe = replace(BRIEF if brief else TemporalRecipe(), attention=attention, threads=loaded.inference.threads or 1)
    if clips is not None:
        recipe = replace(recipe, clips=clips)
    if epochs is not None:
        recipe = replace(recipe, stage1_epochs=epochs[0], stage2_epochs=epochs[1], stage3_epochs=epochs[2])
    try:
        print(train_temporal(data, still, out, recipe))
    except (ChallengeFolderError, RecipeError) as error:
        _fail(str(error))


@cli.command("synth-cine")
@verb
def synth_cine(  # noqa: PLR0913, PLR0917  the options of the verb
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="the clip; its truth goes beside it as .json")],
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="the challenge's folder; else a phantom is drawn")
    ] = None,
    image: Annotated[str | None, typer.Option(help="with --data: the still, such as 010_HC")] = None,
    hc_mm: Annotated[
        float, typer.Option("--hc", min=40.0, max=400.0, help="without --data: HC of the phantom, mm")
    ] = 224.0,
    frames: Annotated[int, typer.Option(min=1, help="how many")] = 60,
    frame_time_ms: Annotated[float, typer.Option("--frame-time", min=1.0, help="ms from frame to frame")] = 50.0,
    degraded: Annotated[float, typer.Option(min=0.0, max=1.0, help="share of spoilt frames")] = 0.0,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="spoil by this alone: shadow, blur, drop_out or off_plane; may be repeated"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="decides everything that is drawn")] = 1,
    jpeg: Annotated[bool, typer.Option("--jpeg", help="JPEG baseline instead of uncompressed")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic cine loop as DICOM, with the true outline and HC of every frame."""
    from dicom_node.demo.cine import CineFile, cine_phantom, write_cine  # noqa: PLC0415  brings pictures
    from inference.synthetic_cine import DEGRADED, CineError, Condition, Sweep  # noqa: PLC0415
    from inference.training.challenge import ChallengeFolderError  # noqa: PLC0415
    from inference.training.cine_truth import Recorded  # noqa: PLC0415
    from inference.training.stills import named_still, still_of_phantom  # noqa: PLC0415

    kinds = DEGRADED if only is None else tuple(_states(Condition, only))
    try:
        sweep = Sweep(frames=frames, frame_time_s=frame_time_ms / 1000.0, degraded=degraded, conditions=kinds)
        still = still_of_phantom(cine_phantom(seed, hc_mm)) if data is None else named_still(data, image)
        clip = Recorded(still, sweep, seed)
        uid = write_cine(clip.pictures(), CineFile(still.spacing, frame_time_ms, jpeg), out)
        clip.write(out.with_suffix(".json"), uid)
    except (ChallengeFolderError, CineError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{out} cannot be written ({error.strerror or type(error).__name__})")
    row = {"path": str(out), "truth": str(out.with_suffix(".json")), **clip.facts()}
    show([row], ("path", "truth", "frames", "reference_hc_mm", "hc_deviation_mm"), as_json)


@cli.command("evaluate-cine")
@verb
def evaluate_cine(  # noqa: PLR0913, PLR0917  the options of the verb
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="folder for rows, page and figures")] = Path(
        "docs/evaluation"
    ),
    runs: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="folder with the still's runs fold0 to fold4")
    ] = None,
    temporal: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="with --runs: run of train-cine for that fold")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, max=4, help="with --runs: the fold whose exams judge")] = 0,
    images: Annotated[int | None, typer.Option(min=1, help="with --runs: so many images of it, not all")] = None,
    config: ConfigFile = None,
) -> None:
    """Judge the answers for synthetic cines of held-out exams, or (without --runs) write the page from its rows."""
    loaded = _config(config)
    logs.configure(loaded.logging.level, "text")
    from inference.training import cine_judge  # noqa: PLC0415  brings torch
    from inference.training.challenge import ChallengeFolderError  # noqa: PLC0415
    from inference.training.cine_rows import CineRowsError  # noqa: PLC0415
    from inference.training.evaluate import RowsError, read_rows  # noqa: PLC0415
    from inference.training.export import Shipment  # noqa: PLC0415
    from inference.training.outoffold import RunError, read_runs  # noqa: PLC0415
    from inference.training.recipe import RecipeError  # noqa: PLC0415

    place, name = cine_judge.CinePlace(data, out), loaded.inference.model
    try:
        if runs is not None:
            (run,) = read_runs(runs, [fold])
            stills = read_rows(out / "folds" / f"{name}.csv")
            examiner = cine_judge.calibrated_examiner(run, Shipment(name=name), stills)
            cine_judge.judge(place, run, examiner, temporal, images)
        print(cine_judge.renew(place))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")
    except (ChallengeFolderError, CineRowsError, RecipeError, RowsError, RunError, cine_judge.CineJudgeError) as error:
        _fail(str(error))


def _judge_non_heads(data: Path, out: Path, loaded: Config, count: int) -> str:
    """The headline of the page on pictures without a head."""
    from itertools import chain  # noqa: PLC0415

    from dicom_node.examiner import build_examiner, find_entry  # noqa: PLC0415  brings torch
    from dicom_node.sample_pictures import sample_pictures  # noqa: PLC0415
    from inference.training import silence  # noqa: PLC0415
    from inference.training.negatives import scaled  # noqa: PLC0415

    entry = find_entry(loaded)
    samples = (scaled(family, name, picture, seed) for seed, (family, name, picture) in enumerate(sample_pictures()))
    pictures = chain(silence.all_non_heads(data, count), samples)
    rows = silence.judge_negatives(build_examiner(loaded, entry), pictures)
    facts = {"model": entry.name, "sha256": entry.sha256, "calibration_sha256": entry.calibration_sha256}
    return silence.write_non_heads(out, rows, facts)


def _config(explicit: Path | None) -> Config:
    """Raises ConfigError."""
    return load_config(find_config(explicit))
