"""What well-behaved senders say to the node, recorded byte for byte and cut into PDUs."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pynetdicom import AE, build_context
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from tests.receiving import OUR_AE, SCANNER, send
from tests.ultrasound import US_IMAGE, save, us_image, us_multiframe

VERIFICATION = "1.2.840.10008.1.1"
PATIENT = "Tweety"
"""The name of the patient in every object; none of it may come out in a log."""

PROGRAMS = ("storescu", "dcmsend", "echoscu")


@dataclass(frozen=True)
class Exchange:
    """One recorded association: the sender's PDUs in their order (PS3.8 9.3)."""

    name: str
    pdus: tuple[bytes, ...]


class Tap:
    """Passes one connection on to the node and keeps what the sender said."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.said = bytearray()
        self._node = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._thread = threading.Thread(target=self._pass)
        self._thread.start()

    def _pass(self) -> None:
        sender, _ = self._listener.accept()
        back = threading.Thread(target=_pump, args=(self._node, sender, None))
        back.start()
        _pump(sender, self._node, self.said)
        back.join()
        sender.close()
        self._node.close()

    def pdus(self) -> tuple[bytes, ...]:
        """All that was said, once the association is over."""
        self._thread.join(timeout=60)
        self._listener.close()
        return cut(bytes(self.said))


def _pump(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if kept is not None:
                kept += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def cut(stream: bytes) -> tuple[bytes, ...]:
    """A stream of whole PDUs, cut into them."""
    pdus = []
    while stream:
        end = 6 + struct.unpack(">L", stream[2:6])[0]
        pdus.append(stream[:end])
        stream = stream[end:]
    return tuple(pdus)


def record(port: int, folder: Path) -> tuple[Exchange, ...]:
    """Let each sender talk to the node at `port`, which takes everything."""
    images = [_image(folder / f"{number}.dcm") for number in range(3)]
    cine = save(us_multiframe(np.full((4, 32, 32), 90, np.uint8)), folder / "cine.dcm")
    senders: dict[str, Callable[[int], object]] = {
        "echoscu": _echo,
        "storescu": lambda tap: send("storescu", tap, images[0], options=["-xe"]),
        "storescu_three": lambda tap: send("storescu", tap, *images, options=["-xi"]),
        "dcmsend_cine": lambda tap: send("dcmsend", tap, cine, images[1]),
        "storescu_small_pdus": lambda tap: send("storescu", tap, images[2], options=["-pdu", "4096"]),
        "everything_negotiated": _negotiate_everything,
    }
    return tuple(_record(name, sender, port) for name, sender in senders.items())


def _record(name: str, sender: Callable[[int], object], port: int) -> Exchange:
    tap = Tap(port)
    sender(tap.port)
    pdus = tap.pdus()
    assert len(pdus) >= 3, f"{name} said only {len(pdus)} PDUs"
    return Exchange(name, pdus)


def _image(path: Path) -> Path:
    return save(us_image(np.full((16, 16), 100, np.uint8), PatientName=f"{PATIENT}^Jane"), path)


def _echo(port: int) -> None:
    command = ["echoscu", "-aet", SCANNER, "-aec", OUR_AE, "--repeat", "3", "127.0.0.1", str(port)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _negotiate_everything(port: int) -> None:
    """Every item of PS3.7 annex D that a requestor may propose."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"word"
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = US_IMAGE, True, True
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = US_IMAGE, b"\x02\x00\x03\x00\x01\x00"
    contexts = [build_context(uid) for uid in _classes()]
    entity = AE(SCANNER)
    items = [identity, role, window, extended]
    association = entity.associate("127.0.0.1", port, contexts, OUR_AE, ext_neg=items)
    assert association.is_established
    assert association.send_c_echo().Status == 0x0000
    association.release()


def _classes() -> Sequence[str]:
    from dicom_node.receive.contexts import KEPT_CLASSES, MEASURED_CLASSES

    return VERIFICATION, *MEASURED_CLASSES, *KEPT_CLASSES
