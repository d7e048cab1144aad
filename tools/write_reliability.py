"""Write docs/reliability.md, and the region of docs/scaling.md, from what long tests and benchmarks wrote down.

They wrote it in benchmarks/*.json. With --check nothing is written; status 1 tells that a page differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
SCALING = ROOT / "docs" / "scaling.md"
REGION_BEGIN, REGION_END = "<!-- region -->\n", "<!-- end of region -->\n"
RECORDS = ROOT / "benchmarks"

Row = dict[str, Any]

HEAD = """# Reliability

Two laws: **no number beats a wrong number**, and **nothing acknowledged is ever lost**. This page says what was done to
break the second, how often, and by which command. `tools/write_reliability.py` writes it from the files in
`benchmarks`, and a test holds it in step; nobody writes a figure here by hand, and what was not recorded is not
claimed.

## kill -9

`make soak` plays rounds and adds them to `benchmarks/soak.json`. In a round four machines push eight images at once,
and send again what was not acknowledged, while a random process is killed at a random moment and the PACS, an Orthanc,
is killed or taken down and comes back. It ends when the node has settled; nothing is cleared before the next. Then what
Orthanc's REST lists is compared with the node's database and with the stored results.
"""

KILL_COLUMNS = {
    "outages": "PACS taken down",
    "acknowledged": "images acknowledged",
    "results": "results in the PACS",
    "lost": "acknowledged and lost",
    "doubled": "there twice",
    "falsely_sent": "called sent, not there",
    "broken": "rounds that did not end",
}

HOSTS = """
## Several hosts

`make soak`, as root, plays these rounds too and adds them to `benchmarks/hosts.json`. Two receivers, three workers, a
courier, PostgreSQL, an Orthanc, the machines that push and the proxies between have each a network namespace of their
own, joined by a switch. In a round four machines push twelve images. Meanwhile the host of one role loses its cable for
good and runs on alone, or all its processes are killed (-9); two other hosts, of any kind, lose cable or network card
for a while, are killed, or every connection that goes through a proxy is reset; and of the next connections to
receivers, PACS and database some are slow, stall, are cut or reset. What is compared is the same, and nothing is
cleared before the next round.
"""

BEFALLEN = {
    "lost": "hosts that never came back",
    "killed": "hosts killed",
    "pulled": "cables pulled for a while",
    "off": "cards off for a while",
    "reset": "all connections reset",
    "connection": "single connections that suffered",
}

LOAD = """
## Load

Beside a peer in the same run where one is named; both had the same machine.
"""

CLAIMS = (
    (
        "Success is said after file, folder and row are on the disk, in this order",
        "test_success_is_said_after_everything_is_durable",
        "integration/test_receive_process.py",
    ),
    (
        "whoever is killed, every acknowledged image is answered once",
        "test_every_acknowledged_image_is_answered_once_whoever_is_killed",
        "acceptance/test_kill.py",
    ),
    (
        "the same where PostgreSQL and the PACS are killed too",
        "test_on_postgresql_its_server_and_the_pacs_are_killed_too_while_four_machines_push",
        "acceptance/test_kill.py",
    ),
    (
        "a worker and the courier whose hosts vanish for good in the middle of their work are replaced by others",
        "test_a_worker_and_the_courier_that_vanish_for_good_are_replaced_by_others",
        "acceptance/test_hosts.py",
    ),
    (
        "an object whose answer was lost is sent again under the same UID",
        "test_an_object_whose_answer_was_lost_is_sent_again_under_the_same_uid",
        "integration/test_faulty_network.py",
    ),
    (
        "over connections that stall, are cut or reset all arrives, and nothing is called sent too soon",
        "test_over_a_bad_network_all_arrives_and_nothing_is_called_sent_too_soon",
        "integration/test_faulty_network.py",
    ),
    (
        "what was acknowledged over such connections is kept, once",
        "test_over_a_bad_network_everything_acknowledged_is_there",
        "integration/test_faulty_network.py",
    ),
    (
        "a job is finished once, also while workers die",
        "test_every_job_is_finished_exactly_once_while_workers_die",
        "integration/test_queue_processes.py",
    ),
    (
        "node and database server ask within seconds whether the other's machine is still there",
        "test_both_ends_ask_whether_the_other_is_there",
        "unit/dicom_node/storage/test_vanishing.py",
    ),
    (
        "a database server that is reached and answers nothing more is given up",
        "test_a_server_that_answers_nothing_more_is_given_up",
        "unit/dicom_node/storage/test_silence.py",
    ),
    (
        "a full disk is answered with 0xA700 and leaves no half file",
        "test_a_full_disk_is_out_of_resources_and_leaves_no_half_file",
        "integration/test_receive_process.py",
    ),
    (
        "a backup during writes is whole",
        "test_a_backup_during_writes_is_whole_and_of_one_moment",
        "integration/test_backup.py",
    ),
    (
        "slow and broken callers keep nobody waiting",
        "test_slow_senders_keep_nobody_waiting",
        "fuzz/test_bad_peers.py",
    ),
    (
        "a configuration that would grow without end is refused by name",
        "test_a_bomb_is_a_mistake_in_the_file",
        "unit/dicom_node/test_yaml_text.py",
    ),
    (
        "an answer of a DICOMweb service that would is no answer",
        "test_an_answer_that_cannot_be_read_settles_nothing_and_breaks_nothing",
        "unit/dicom_node/deliver/test_stow.py",
    ),
)

LIMITS = """
## What is not claimed

- `kill -9` ends a process, not the machine. That the disk keeps what it was told to sync is the disk's word; the order
  of write, sync and commit is what a test looks at. PostgreSQL runs without fsync in the kill test, where only
  processes die.
- The network of the kill test is the shipped one on a coarse grid: it is about durability, not about figures.
- The several hosts are namespaces of one Linux machine: one kernel, one clock, one disk. The shared folder is a folder
  of that disk, which a host without its cable still reaches; how NFS or a cluster file system behaves when its server
  vanishes is not tried, nor clocks that differ, nor a standby of PostgreSQL that takes over.
- A PACS that says Success and loses the object is found by storage commitment, where it is asked for
  ([delivery](delivery.md)).
"""


STUDIES, IMAGES_OF_EACH, OBJECTS_OF_EACH, DAY_S, PEAK = 100_000, 30, 3, 36_000.0, 2.0
"""A region of 200 hospitals: studies a day, their images, what is made of a study beside one SR of each image, seconds
of the working day, and how much more than on average comes at its peak."""


def region() -> str:
    """What the peak of the region asks for, over what one of each was measured to do."""
    studies = STUDIES / DAY_S * PEAK
    images = studies * IMAGES_OF_EACH
    parts = (
        ("worker of one thread", "images answered, as it comes, workers of one thread: 1", images),
        ("receiver", "frames of 480 kB, associations: 4, on PostgreSQL", images),
        (
            "courier, for each destination",
            "objects sent by one courier, one destination",
            images + studies * OBJECTS_OF_EACH,
        ),
        ("database, as far as jobs go", "claim and finish, 4 workers, PostgreSQL", images + studies),
    )
    known = {row["name"]: row for row in _results()}
    found = [(part, known[name], asked) for part, name, asked in parts]
    head = ("part", "asked at the peak", "one does", "so many", "measured by")
    return _table(head, (_region_cells(*one) for one in found)) + "\n"


def _region_cells(part: str, row: Row, asked: float) -> list[object]:
    does = f"{row['value']:.3g} {row['unit']}"
    return [part, f"{asked:.0f} {row['unit']}", does, ceil(asked / row["value"]), f"`{row['command']}`"]


def scaling() -> str:
    """The page on many machines with its table as the records have it now."""
    before, _, rest = SCALING.read_text(encoding="utf-8").partition(REGION_BEGIN)
    _, _, after = rest.partition(REGION_END)
    return f"{before}{REGION_BEGIN}{region()}{REGION_END}{after}"


def page() -> str:
    """The whole page."""
    return "".join((HEAD, _kills(), *_hosts(), *_broken(), LOAD, _load(), *_claims(), LIMITS))


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *([str(cell) for cell in row] for row in rows)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _kills() -> str:
    record = _read("soak.json")
    rows = [*sorted(record.get("benches", {}).items()), ("all", record)]
    return _table(("database", "rounds", "killed", *KILL_COLUMNS.values()), (_kill_cells(*row) for row in rows))


def _kill_cells(name: str, row: Row) -> list[object]:
    victims = ", ".join(f"{victim} {count}" for victim, count in row.get("killed", {}).items())
    return [name, row["rounds"], f"{row['kills']}{victims and f' ({victims})'}", *(row[key] for key in KILL_COLUMNS)]


def _hosts() -> Iterator[str]:
    record = _read("hosts.json")
    if not record:
        return
    yield HOSTS
    (row,) = record["benches"].values()
    befallen = [_befallen(row["killed"], fate) for fate in BEFALLEN]
    sums = {name: label for name, label in KILL_COLUMNS.items() if name != "outages"}
    head = ("rounds", *BEFALLEN.values(), *sums.values())
    yield _table(head, [[row["rounds"], *befallen, *(row[name] for name in sums)]])
    if "remark" in row:
        yield f"\n{row['remark']}\n"


def _befallen(counts: dict[str, int], fate: str) -> str:
    """How often, and whom: "lost worker" and the like are the names of the counts."""
    words = [(name.partition(" "), count) for name, count in counts.items()]
    whom = {rest: count for (first, _, rest), count in words if first == fate}
    return f"{sum(whom.values())} ({', '.join(f'{name} {count}' for name, count in sorted(whom.items()))})"


def _broken() -> Iterator[str]:
    """Files and conversations that were broken on purpose."""
    yield "\n## What others send\n\n`make soak` does both again.\n\n"
    if files := _read("fuzz.json"):
        kinds = ("crashes", "hangs", "over_memory", "unanswered", "bad_answers", "leaks", "noise")
        yield f"- Mutated files (`benchmarks/fuzz.json`): {files['files']} were looked at, and "
        yield f"{sum(files[kind] for kind in kinds)} crashed, hung, leaked or had an answer that is none; at most "
        yield f"{files['highest_peak_mb']} MB, and {files['slowest_s']} s for one.\n"
    if peers := _read("bad_peers.json"):
        before, after = peers["before"], peers["after"]
        yield f"- Mutated PDUs (`benchmarks/bad_peers.json`): {peers['mutated']} in {peers['conversations']}"
        yield " conversations."
        yield f" Memory was {before['memory_mb']} MB before and {after['memory_mb']} MB after them, threads"
        yield f" {before['threads']} and {after['threads']}, descriptors {before['descriptors']} and"
        yield f" {after['descriptors']}. Of the honest objects meanwhile {peers['honest_objects_stored']} were stored"
        yield f" and {peers['honest_objects_refused']} were not; the slowest took {peers['slowest_honest_s']} s.\n"


def _load() -> str:
    told = [row for row in _results() if row["command"].endswith((" receive", " claims", " workers"))]
    return _table(("what", "value", "peer", "ratio", "n", "command"), map(_load_cells, told))


def _results() -> list[Row]:
    rows: list[Row] = json.loads((RECORDS / "results.json").read_text(encoding="utf-8"))
    return rows


def _load_cells(row: Row) -> list[object]:
    peer = "" if row["peer"] is None else f"{row['peer']}: {row['peer_value']:.3g}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2g}"
    return [row["name"], f"{row['value']:.3g} {row['unit']}", peer, ratio, row["n"], f"`{row['command']}`"]


def _claims() -> Iterator[str]:
    yield "\n## What each run of the tests proves again\n"
    yield _table(("claim", "test"), ((claim, f"[`{test}`](../tests/{path})") for claim, test, path in CLAIMS))


def _read(name: str) -> Row:
    """{} where it was never recorded."""
    path = RECORDS / name
    record: Row = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record


def main(arguments: list[str]) -> int:
    texts = {PAGE: page(), SCALING: scaling()}
    if "--check" in arguments:
        return int(any(not path.is_file() or path.read_text(encoding="utf-8") != text for path, text in texts.items()))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
