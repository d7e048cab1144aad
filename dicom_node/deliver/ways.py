"""How a destination is reached, whatever it speaks: DICOM's own protocol or DICOMweb."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from dicom_node.config import Config
from dicom_node.deliver import scu, stow
from dicom_node.deliver.scu import Cause, Failure, Link, Outgoing, PeerAddress, Step
from dicom_node.deliver.stow import Service
from dicom_node.domain import CallerTls, Destination


class Way(Protocol):
    """What a lane knows of a destination."""

    def send(self, objects: Sequence[Outgoing]) -> Generator[Step, None, None]:
        """Send in order; yields what became of each object."""

    def ask(self) -> Failure | None:
        """Whether somebody is there who would listen to us: None, or why not."""


class DicomWay:
    """C-STORE and C-ECHO."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def send(self, objects: Sequence[Outgoing]) -> Generator[Step, None, None]:
        return scu.send(objects, self.link)

    def ask(self) -> Failure | None:
        """A peer that let us in and has no C-ECHO, or answers it with a failure, is there all the same."""
        answer = scu.echo(self.link)
        there = answer.cause in (None, Cause.STATUS, Cause.CONTEXT_REFUSED)
        return None if there or answer.cause is None else Failure(answer.cause, answer.text)


class StowWay:
    """STOW-RS."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def url(self) -> str:
        return self._service.url

    def send(self, objects: Sequence[Outgoing]) -> Generator[Step, None, None]:
        return stow.send(objects, self._service)

    def ask(self) -> Failure | None:
        return stow.ask(self._service)


def link_to(config: Config, peer: PeerAddress, tls: CallerTls | None = None) -> Link:
    """How this node, as configured, calls a peer."""
    times = config.delivery.connect_timeout_s, config.delivery.response_timeout_s
    return Link(config.node.ae_title, peer, *times, tls)


def link_of(config: Config, destination: Destination) -> Link:
    """The same for a destination that is an application entity."""
    peer = PeerAddress(destination.ae_title, destination.host, destination.port)
    return link_to(config, peer, destination.tls)


def way_to(config: Config, destination: Destination) -> DicomWay | StowWay:
    """The way to a destination of the configuration."""
    if destination.url is None:
        return DicomWay(link_of(config, destination))
    delivery = config.delivery
    waits = (delivery.connect_timeout_s, delivery.response_timeout_s)
    return StowWay(Service(destination.url, *waits, destination.tls, destination.authorization_file))
