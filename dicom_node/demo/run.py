"""The demonstration: a node and a stand-in PACS on this machine, a study pushed through, and what came back."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import rich.box
import yaml
from pydicom import dcmread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dicom_node.deliver.scu import Link, PeerAddress, Sent, echo, outgoing, send
from dicom_node.demo.stand_in_pacs import AE_TITLE as PACS_TITLE
from dicom_node.demo.stand_in_pacs import stand_in_pacs, unpack
from dicom_node.demo.study import DemoImage, write_study
from dicom_node.domain import ResultKind
from dicom_node.errors import InstanceRefused, Refused
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository

NODE_TITLE, SCANNER_TITLE = "FETALHC", "SCANNER"
_POLL_S = 0.2
_SPOKEN = {
    ResultKind.TID1500: "SR",
    ResultKind.PDF: "PDF",
    ResultKind.OVERLAY: "overlay",
    ResultKind.TID5000: "OB-GYN SR",
    ResultKind.GRADCAM: "GradCAM++",
    ResultKind.UNCERTAINTY: "uncertainty",
    ResultKind.STUDY_SR: "study SR",
    ResultKind.STUDY_PDF: "study PDF",
}
_UNDER_WAY = ("jobs_queued", "jobs_running", "studies_waiting", "deliveries_pending", "deliveries_sending")
_QUIET_S = 3.0
"""Nobody wants to watch a minute and a half of silence."""
_FAILED = ("jobs_dead", "deliveries_dead")


class DemoFailed(Refused):
    """The demonstration did not come to its end."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Where the demonstration writes."""

    folder: Path

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def received(self) -> Path:
        return self.folder / "received"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{(self.folder / 'data' / 'node.sqlite3').resolve()}"


def run_demo(images: Path | None, out: Path, serve_on: bool, timeout_s: float) -> None:
    """Run the demonstration; everything it writes lies in a new folder below `out`.

    Raises:
        DemoFailed: something did not arrive; the message says what and where the log lies.
    """
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves through the blocks below, as Ctrl-C does
    rooms = Rooms(out / datetime.now().astimezone().strftime("%Y%m%d-%H%M%S"))
    rooms.folder.mkdir(parents=True)
    with console.status("Making an ultrasound study" if images is None else "Reading your images"):
        study = write_study(rooms.images) if images is None else _user_images(images)
    node_port, pacs_port, web_port = free_port(), free_port(), free_port() if serve_on else None
    _write_config(rooms, node_port, pacs_port, web_port)
    deadline = time.monotonic() + timeout_s
    link = Link(SCANNER_TITLE, PeerAddress(NODE_TITLE, "127.0.0.1", node_port), 5.0, 60.0)
    with stand_in_pacs(rooms.received, pacs_port), _node(rooms) as node:
        with console.status("Starting the node"):
            _wait_until_up(node, link, rooms, deadline)
        _push(study, link, console)
        _watch(rooms, node, deadline, console)
        unpack(rooms.received)
        _tell(study, rooms, console)
        if serve_on:
            _stay(rooms, console, node_port, pacs_port)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user_images(folder: Path) -> list[DemoImage]:
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            item = outgoing(path)
        except InstanceRefused:
            continue
        name = str(path.relative_to(folder))
        study = str(dcmread(path, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID", ""))
        found.append(DemoImage(path, item.sop_instance_uid, name, _syntax_name(item.transfer_syntax_uid), None, study))
    if not found:
        raise DemoFailed(f"there is no DICOM file in {folder}")
    return found


def _syntax_name(uid: str) -> str:
    from pydicom.uid import UID  # noqa: PLC0415

    return UID(uid).name


def _write_config(rooms: Rooms, node_port: int, pacs_port: int, web_port: int | None) -> None:
    web = {"enabled": False} if web_port is None else {"enabled": True, "port": web_port}
    document = {
        "node": {
            "ae_title": NODE_TITLE,
            "host": "127.0.0.1",
            "port": node_port,
            "data_dir": str((rooms.folder / "data").resolve()),
            "minimum_free_mb": 50,
        },
        "peers": [{"ae_title": SCANNER_TITLE, "hosts": ["127.0.0.1"]}],
        "results": {"study_quiet_s": _QUIET_S},
        "web": web,
        "destinations": [{"name": "pacs", "ae_title": PACS_TITLE, "host": "127.0.0.1", "port": pacs_port}],
    }
    rooms.config.write_text(yaml.safe_dump(document, sort_keys=False))


@contextmanager
def _node(rooms: Rooms) -> Iterator[subprocess.Popen[bytes]]:
    """`dicom-node serve` with its log in a file; it ends with the block, and also when this process is killed."""
    command = (sys.executable, "-m", "dicom_node", "serve", "--config", str(rooms.config), "--supervised")
    with rooms.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        with process:  # closes standard input, which ends it, and waits
            yield process


def _wait_until_up(node: subprocess.Popen[bytes], link: Link, rooms: Rooms, deadline: float) -> None:
    while not echo(link).answered:
        if node.poll() is not None:
            raise DemoFailed(f"the node did not start:\n{_last_lines(rooms.log)}")
        if time.monotonic() > deadline:
            raise DemoFailed(f"the node does not answer; its log is {rooms.log}")
        time.sleep(_POLL_S)


def _last_lines(log: Path, count: int = 5) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _push(study: Sequence[DemoImage], link: Link, console: Console) -> None:
    """C-STORE all images over one association, as a scanner does at the end of an exam."""
    refused = [
        f"{item.path.name}: {outcome.comment}"
        for item, outcome in send([outgoing(image.path) for image in study], link)
        if not isinstance(outcome, Sent)
    ]
    if refused:
        raise DemoFailed("the node did not take\n" + "\n".join(refused))
    console.print(f"{len(study)} objects pushed by C-STORE and acknowledged")


def _watch(rooms: Rooms, node: subprocess.Popen[bytes], deadline: float, console: Console) -> None:
    """Show progress until nothing is under way. Raises DemoFailed at the deadline or if something failed for good."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with closing(Repository.open(rooms.database_url)) as repository, Progress(*columns, console=console) as progress:
        measured, delivered = progress.add_task("answered", total=None), progress.add_task("delivered", total=None)
        while True:
            counts = repository.counts(utc_now())
            _advance(progress, measured, counts, "jobs_", "done")
            _advance(progress, delivered, counts, "deliveries_", "sent")
            failed = {name: counts[name] for name in _FAILED if counts[name]}
            if failed:
                raise DemoFailed(f"put aside as dead: {failed}; the node's log is {rooms.log}")
            if not any(counts[name] for name in _UNDER_WAY):
                return
            if node.poll() is not None or time.monotonic() > deadline:
                waiting = {name: counts[name] for name in _UNDER_WAY if counts[name]}
                raise DemoFailed(f"gave up waiting for {waiting}; the node's log is {rooms.log}")
            time.sleep(_POLL_S)


def _advance(progress: Progress, task: Any, counts: dict[str, int], prefix: str, done: str) -> None:
    total = sum(number for name, number in counts.items() if name.startswith(prefix) and not name.endswith("_due"))
    progress.update(task, total=total or None, completed=counts[prefix + done])


def _tell(study: Sequence[DemoImage], rooms: Rooms, console: Console) -> None:
    table = Table(header_style="bold", box=rich.box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("image", "transfer syntax"):
        table.add_column(name, overflow="fold", min_width=13)
    for name in ("known HC", "HC (mm)", "interval", "GA"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("received", overflow="fold")
    with closing(Repository.open(rooms.database_url)) as repository:
        for image in study:
            cells = (image.title, image.transfer_syntax, _number(image.known_hc_mm), *_answer(image, repository))
            table.add_row(*map(Text, cells))
    console.print(table)
    _tell_studies(study, rooms, console)
    if any(image.known_hc_mm is not None for image in study):
        console.print("Made-up images: the numbers show that the way works, not how well it measures.", style="dim")
    console.print(f"Received reports and overlays: {rooms.received}", soft_wrap=True)
    console.print(f"Sent images, configuration and log: {rooms.folder}", soft_wrap=True)


def _tell_studies(study: Sequence[DemoImage], rooms: Rooms, console: Console) -> None:
    """One line for each study that was reported."""
    table = Table(header_style="bold", box=rich.box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("study of", "heads", "selected HC (mm)", "received"):
        table.add_column(name, overflow="fold")
    with closing(Repository.open(rooms.database_url)) as repository:
        for uid in dict.fromkeys(image.study_instance_uid for image in study):
            titles = "; ".join(image.title for image in study if image.study_instance_uid == uid)
            for result in repository.study_results(uid):
                said = json.loads(result.document)
                chosen = said["selected"]
                told = str(said["reason"]).replace("_", " ") if chosen is None else _number(chosen["hc_mm"])
                kinds = ", ".join(_SPOKEN[stored.kind] for stored in result.objects)
                table.add_row(*map(Text, (titles, str(len(said["candidates"])), told, kinds)))
    console.print(table)


def _answer(image: DemoImage, repository: Repository) -> tuple[str, str, str, str]:
    """HC, interval, GA, and the objects that were delivered or the reason for none."""
    versions = repository.versions(image.sop_instance_uid)
    result = repository.result_of(versions[-1].id) if versions else None
    if result is None:
        return "-", "-", "-", "stored, not measured"
    answer = json.loads(result.document)
    kinds = ", ".join(_SPOKEN[stored.kind] for stored in repository.objects_of(versions[-1].id))
    if answer["hc_mm"] is None:
        return "-", "-", "-", str(answer["reason"]).replace("_", " ") + (f" ({kinds})" if kinds else "")
    low, high = answer["hc_low_mm"], answer["hc_high_mm"]
    interval = "not calibrated" if low is None else f"{low:.0f} to {high:.0f}"
    days = answer["ga_days"]
    age = "-" if days is None else f"{days // 7}w{days % 7}d"
    return _number(answer["hc_mm"]), interval, age, kinds


def _number(millimetres: float | None) -> str:
    return "-" if millimetres is None else f"{millimetres:.1f}"


def _stay(rooms: Rooms, console: Console, node_port: int, pacs_port: int) -> None:
    from dicom_node.web.first_admin import LINK_FILE  # noqa: PLC0415  brings the web framework

    console.print(
        f"\nNode {NODE_TITLE}@127.0.0.1:{node_port}, PACS {PACS_TITLE}@127.0.0.1:{pacs_port}. Ctrl-C ends both."
    )
    link = rooms.folder / "data" / LINK_FILE
    told = link.read_text(encoding="ascii").strip() if link.is_file() else f"stands in {link}"  # it starts last
    console.print("The console, by a link that sets the administrator's password, once:")
    console.print(told, soft_wrap=True, highlight=False)
    with suppress(KeyboardInterrupt):
        signal.pause()
