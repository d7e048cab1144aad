"""Connections that have not asked yet."""

from __future__ import annotations

import gc
import socket
import warnings
import weakref

from dicom_node.receive.waiting import WaitingRoom


def test_the_newest_stay_and_the_oldest_make_room() -> None:
    gone: list[socket.socket] = []
    room = WaitingRoom(3, gone.append)
    connections = [socket.socket() for _ in range(5)]
    for connection in connections[:3]:
        room.enter(connection)
    assert gone == []
    room.leave(connections[1])  # it asked
    room.enter(connections[3])
    assert gone == []
    room.enter(connections[4])
    assert gone == [connections[0]]

    room.clear()
    assert gone == [connections[0], connections[2], connections[3], connections[4]]
    for connection in connections:
        connection.close()


def test_who_was_closed_takes_no_place() -> None:
    gone: list[socket.socket] = []
    room = WaitingRoom(1, gone.append)
    for _ in range(3):
        connection = socket.socket()
        room.enter(connection)
        connection.close()

    assert gone == []


def test_a_forgotten_connection_is_not_kept_alive() -> None:
    room = WaitingRoom(3, lambda _: None)
    connection, other = socket.socketpair()
    room.enter(connection)
    watched = weakref.ref(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that it was not closed is the point
        del connection
        gc.collect()
    assert watched() is None
    assert other.recv(1) == b""
    other.close()
    room.clear()
