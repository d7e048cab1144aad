"""The receiver as the process it is: order of system calls, memory, a full disk, what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest

from dicom_node.domain import InstanceRef, JobState
from dicom_node.receive.spool import own_folder
from dicom_node.storage.repository import Repository
from tests.receiving import SCANNER, free_port, receiver_config, receiver_process, send
from tests.ultrasound import save, us_image, us_multiframe

MEGABYTE = 1024 * 1024
MEMORY_LIMIT = 200 * MEGABYTE


def stored(data_dir: Path) -> tuple[InstanceRef, ...]:
    repository = Repository.open(receiver_config(data_dir, 1).database_url)
    try:
        jobs = repository.jobs([JobState.QUEUED], 1000)
        return tuple(repository.instance(job.instance_id) for job in jobs)
    finally:
        repository.close()


@pytest.mark.peer("storescu", "strace")
def test_success_is_said_after_everything_is_durable(tmp_path: Path) -> None:
    """write, fsync of the file, rename, fsync of the directory, sync of the database's log, C-STORE response."""
    trace = tmp_path / "trace"
    calls = "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,sendto"
    strace = ["strace", "-f", "-y", "-s", "64", "-e", calls, "-e", "signal=none", "-o", str(trace)]
    image = save(us_image(np.zeros((64, 64), np.uint8)), tmp_path / "image.dcm")
    port = free_port()
    with receiver_process(tmp_path / "data", port, before=strace):
        status, said = send("storescu", port, image)
        assert status == 0, said

    lines = trace.read_text(errors="replace").splitlines()
    steps = [
        r"openat\(.*/spool/[\w.-]+/\w+\.part.*O_EXCL",
        r"write\(\d+<.*/spool/[\w.-]+/\w+\.part>",
        r"fsync\(\d+<.*/spool/[\w.-]+/\w+\.part>\)",
        r"rename\w*\(.*/spool/[\w.-]+/\w+\.part\", .*/objects/\w\w/\w+\.dcm",
        r"fsync\(\d+<.*/objects/\w\w>\)",
        r"(fsync|fdatasync)\(\d+<.*node\.sqlite3-wal>\)",
        r"sendto\(\d+<.*socket.*>, \"\\4\\0",  # P-DATA-TF: the response to the only request
    ]
    found: list[int] = []
    for step in steps:
        after = found[-1] + 1 if found else 0
        place = next((n for n in range(after, len(lines)) if re.search(step, lines[n])), None)
        assert place is not None, f"{step} does not follow {[lines[n] for n in found]}"
        found.append(place)

    written = [n for n, line in enumerate(lines) if re.search(steps[1], line)]
    assert written[-1] < found[2]
    assert sum(bool(re.search(steps[6], line)) for line in lines) == 1
    assert not any(re.search(r"pwrite64\(\d+<.*sqlite3-wal>", line) for line in lines[found[5] : found[6]])


@pytest.mark.peer("storescu")
@pytest.mark.parametrize(
    "megabytes", [pytest.param(150, id="150MB"), pytest.param(500, id="500MB", marks=pytest.mark.slow)]
)
def test_a_large_cine_does_not_pass_through_memory(tmp_path: Path, megabytes: int) -> None:
    frames = megabytes * MEGABYTE // (1024 * 768)
    cine = save(us_multiframe(np.zeros((frames, 768, 1024), np.uint8)), tmp_path / "cine.dcm")
    port = free_port()
    with receiver_process(tmp_path / "data", port) as process:
        receiver = psutil.Process(process.pid)
        status, said = send("storescu", port, cine, options=["-xe"])
        assert status == 0, said
        after = peak(receiver)

    assert after < MEMORY_LIMIT, f"{after / MEGABYTE:.0f} MB"
    (instance,) = stored(tmp_path / "data")
    assert instance.size_bytes > megabytes * MEGABYTE * 0.99


@pytest.mark.peer("storescu")
def test_a_full_disk_is_out_of_resources_and_leaves_no_half_file(tmp_path: Path) -> None:
    limit = 2 * MEGABYTE
    big = save(us_image(np.zeros((2000, 2000), np.uint8)), tmp_path / "big.dcm")
    small = save(us_image(np.zeros((64, 64), np.uint8)), tmp_path / "small.dcm")
    data_dir, port = tmp_path / "data", free_port()
    with receiver_process(data_dir, port, largest_file=limit):
        _, said = send("storescu", port, big, small, options=["-d", "-nh"])
        files = [path for path in data_dir.rglob("*") if path.suffix in {".part", ".dcm"}]

    assert re.findall(r"DIMSE Status\s+: (0x\w+)", said) == ["0xa700", "0x0000"]
    assert "[There is no room left on the storage file system.]" in said
    assert len(files) == 1
    (instance,) = stored(data_dir)
    assert (data_dir / instance.path) == files[0]
    assert instance.calling_ae == SCANNER


@pytest.mark.peer("storescu")
def test_what_a_crash_left_in_the_spool_is_gone_after_the_start(tmp_path: Path) -> None:
    spool = tmp_path / "data" / "spool"
    with own_folder(spool) as left:
        (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "0123.part").write_bytes(b"half received")
    (tmp_path / "copy").rename(left)
    port = free_port()
    with receiver_process(tmp_path / "data", port):
        pass

    assert list(spool.iterdir()) == []
    log = (tmp_path / "receiver.log").read_text()
    assert "receiver.ready" in log
    assert "receiver.stopped" in log


@pytest.mark.peer("storescu")
def test_an_acknowledged_object_survives_kill_9(tmp_path: Path) -> None:
    images = [save(us_image(np.full((8, 8), n, np.uint8)), tmp_path / f"{n}.dcm") for n in range(3)]
    port = free_port()
    with receiver_process(tmp_path / "data", port) as process:
        status, said = send("storescu", port, *images)
        process.kill()
        process.wait()

    assert status == 0, said
    instances = stored(tmp_path / "data")
    assert len(instances) == 3
    assert all((tmp_path / "data" / i.path).stat().st_size == i.size_bytes for i in instances)
    assert all(i.received_at <= datetime.now(UTC) for i in instances)


def test_the_receiver_imports_no_network(tmp_path: Path) -> None:
    """Importing it must not bring in torch: the process is small, starts fast and shares its GIL with nobody."""
    code = "import sys, dicom_node.receive.server, dicom_node.storage.repository; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert "'pynetdicom'" in done.stdout
    for heavy in ("torch", "cv2", "highdicom", "scipy"):
        assert f"'{heavy}'" not in done.stdout


def peak(process: psutil.Process) -> int:
    """Highest resident memory of the process so far, bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found.group(1)) * 1024
