"""The only reader of config.yaml and of the environment. Unknown key: an error that names its path."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from dicom_node import yaml_text
from dicom_node.domain import (
    USUAL_OBJECTS,
    USUAL_RIGHTS,
    CallerTls,
    CommitmentTerms,
    Destination,
    Listener,
    Peer,
    PeerLimits,
    Quiet,
    ResultKind,
    Right,
)
from dicom_node.errors import ConfigError
from dicom_node.routing import SENDER, Router
from dicom_node.rules import RuleEntry
from dicom_node.section import Section
from dicom_node.tls import TlsFiles
from dicom_node.users import UserRole
from inference.domain import AgeSource
from sr_templates.language import Language
from sr_templates.report import SrClass

ENVIRONMENT_VARIABLE = "DICOM_NODE_CONFIG"
DEFAULT_FILE = Path("config.yaml")

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Port = Annotated[int, Field(ge=1, le=65535)]


def checked_ae_title(value: str) -> str:
    """The title without padding. PS3.5 6.2: at most 16 characters of the default repertoire, no backslash, not blank.

    Raises:
        ValueError: it is none.
    """
    title = value.strip(" ")
    if not title or len(title) > 16:
        raise ValueError("an AE title has 1 to 16 characters")
    if any(ord(c) < 32 or ord(c) > 126 or c == "\\" for c in title):
        raise ValueError("an AE title holds printable ASCII without backslash")
    return title


class NodeTlsSection(Section):
    port: Port | None = Field(None, description="DICOM port over TLS, 2762 is the registered one; null: none")
    certificate: Path | None = Field(None, description="PEM file: our certificate, followed by its chain")
    private_key: Path | None = Field(None, description="PEM file: its private key without passphrase, mode 0600")
    authorities: Path | None = Field(
        None,
        description="PEM file: who vouches for callers, who then need a certificate (mutual TLS); null: no one asks",
    )

    @model_validator(mode="after")
    def _check_files(self) -> NodeTlsSection:
        if self.port is not None and (self.certificate is None or self.private_key is None):
            raise ValueError("a port over TLS needs `certificate` and `private_key`")
        return self

    def files(self) -> TlsFiles:
        return TlsFiles(self.certificate, self.private_key, self.authorities)


class NodeSection(Section):
    ae_title: str = Field("FETALHC", description="our AE title; callers must call it, or one of the following")
    other_ae_titles: tuple[str, ...] = Field(
        (), description="further AE titles of ours; what was sent to which is stored with every object"
    )
    host: str = Field("0.0.0.0", description="address to listen on; 127.0.0.1 keeps the node to this machine")  # noqa: S104
    port: Port | None = Field(11112, description="DICOM port without TLS; null: only the one over TLS")
    tls: NodeTlsSection = Field(NodeTlsSection(), description="a port over TLS, beside the plain one")
    data_dir: Path = Field(Path("./data"), description="folder for objects, spool and the SQLite database")
    receivers: int = Field(
        1, ge=1, le=16, description="processes that take objects, at the same ports; limits hold for all together"
    )
    maximum_associations: int = Field(32, ge=1, le=1000, description="associations at the same time")
    minimum_free_mb: int = Field(500, ge=0, description="below this much free space new objects get 0xA700")
    low_free_mb: int = Field(5000, ge=0, description="below this much free space the log warns every few minutes")

    _check_ae = field_validator("ae_title")(checked_ae_title)

    @field_validator("other_ae_titles")
    @classmethod
    def _check_others(cls, titles: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_ae_title, titles))

    @model_validator(mode="after")
    def _check_ports(self) -> NodeSection:
        if self.port is None and self.tls.port is None:
            raise ValueError("one of `port` and `tls.port` has to be given")
        if self.port == self.tls.port:
            raise ValueError("`port` and `tls.port` must differ")
        return self

    @property
    def ae_titles(self) -> tuple[str, ...]:
        """All our AE titles, the main one first."""
        return tuple(dict.fromkeys((self.ae_title, *self.other_ae_titles)))


class DatabaseSection(Section):
    url: str | None = Field(None, description="SQLAlchemy URL; null means SQLite in data_dir")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                make_url(url)
            except (ArgumentError, ValueError):
                raise ValueError("not a database URL, as in postgresql+psycopg://user@host/name") from None
        return url


_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"({_LABEL}\.)*(?=[A-Za-z0-9-]*[A-Za-z]){_LABEL}")
"""RFC 1123; the last label is not all digits, so that a mistyped address is none."""


def checked_host(value: str) -> str:
    """An address, a CIDR block or a host name.

    Raises:
        ValueError: it is none.
    """
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        if len(value) > 253 or not _HOST_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is neither an address, nor a CIDR block, nor a host name") from None
    return value


class DestinationTls(Section):
    authorities: Path | None = Field(
        None, description="PEM file of who vouches for the destination; null: the authorities of this system"
    )
    certificate: Path | None = Field(None, description="PEM file of our certificate, where the destination wants one")
    private_key: Path | None = Field(None, description="PEM file of its key, without passphrase")
    check_host_name: bool = Field(
        True, description="whether the certificate must be about `host`; false needs authorities"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> DestinationTls:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        return self

    @model_validator(mode="after")
    def _somebody_in_particular(self) -> DestinationTls:
        """Any certificate of any public authority would do otherwise."""
        if not self.check_host_name and self.authorities is None:
            raise ValueError("check_host_name: false needs authorities, or anybody could be the destination")
        return self

    def caller(self) -> CallerTls:
        return CallerTls(**dict(self))


class ListenerEntry(Section):
    host: str = Field(min_length=1, description="host name or address of the scanner")
    port: Port = Field(description="its DICOM port")
    tls: DestinationTls | None = Field(None, description="as of a destination; null: no TLS")

    def listener(self) -> Listener:
        return Listener(self.host, self.port, None if self.tls is None else self.tls.caller())


class PeerEntry(Section):
    ae_title: str = Field(description="AE title of a scanner")
    hosts: tuple[str, ...] = Field((), description="addresses, CIDR blocks or host names it may come from; empty: any")
    may: tuple[Right, ...] = Field(USUAL_RIGHTS, description="what it may do: store, echo, commitment, mpps")
    tls: Literal["allowed", "required"] = Field("allowed", description="required: only over TLS")
    certificate_name: str | None = Field(
        None, min_length=1, description="name in its certificate (subject CN, or DNS name); implies tls: required"
    )
    maximum_associations: int | None = Field(None, ge=1, description="at the same time; null: no limit of its own")
    objects_per_minute: int | None = Field(None, ge=1, description="faster senders are slowed; null: no limit")
    maximum_object_mb: int | None = Field(None, ge=1, description="larger objects are refused; null: no limit")
    listens: ListenerEntry | None = Field(
        None, description="host, port and tls where it is called, for C-ECHO and reports of storage commitment"
    )

    _check_ae = field_validator("ae_title")(checked_ae_title)

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_host, hosts))

    @property
    def secure(self) -> bool:
        return self.tls == "required" or self.certificate_name is not None

    def peer(self) -> Peer:
        largest = None if self.maximum_object_mb is None else self.maximum_object_mb * 1024 * 1024
        limits = PeerLimits(self.maximum_associations, self.objects_per_minute, largest)
        listens = None if self.listens is None else self.listens.listener()
        return Peer(self.ae_title, self.hosts, self.may, self.secure, self.certificate_name, limits, listens)


class DestinationEntry(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="short name, used in logs and by the CLI")
    ae_title: str | None = Field(None, description="AE title of the PACS")
    host: str | None = Field(None, description="host name or address of the PACS")
    port: Port | None = Field(None, description="DICOM port of the PACS")
    url: str | None = Field(None, description="instead of these three: base address of a DICOMweb service (STOW-RS)")
    authorization_file: Path | None = Field(
        None, description="with url: file with the value of the Authorization header and nothing else"
    )
    tls: DestinationTls | None = Field(None, description="authorities, certificate, private_key; null: no TLS")
    objects: tuple[ResultKind, ...] | None = Field(None, description="which objects it gets; null: results.objects")
    alternate: str | None = Field(None, description="name of the destination that takes over while this one is away")
    commitment: bool = Field(False, description="ask it for storage commitment of what it was sent")

    @field_validator("ae_title")
    @classmethod
    def _check_ae(cls, ae_title: str | None) -> str | None:
        return None if ae_title is None else checked_ae_title(ae_title)

    @model_validator(mode="after")
    def _one_address(self) -> DestinationEntry:
        three = (self.ae_title, self.host, self.port)
        if (None in three) if self.url is None else three != (None, None, None):
            raise ValueError("give ae_title, host and port, or url")
        if self.url is None and self.authorization_file is not None:
            raise ValueError("authorization_file goes with url")
        if self.url is not None and self.commitment:
            raise ValueError("storage commitment is no service of DICOMweb")
        if self.url is not None:
            _check_service(self.url, self.authorization_file is not None)
        return self

    def destination(self, usual: tuple[ResultKind, ...]) -> Destination:
        """`usual`: what it gets unless it lists objects itself."""
        parts = urlsplit(self.url or "")
        return Destination(
            name=self.name,
            ae_title=self.ae_title or "",
            host=self.host or parts.hostname or "",
            port=self.port or parts.port or (443 if parts.scheme == "https" else 80),
            objects=usual if self.objects is None else self.objects,
            tls=None if self.tls is None else self.tls.caller(),
            url=self.url,
            authorization_file=self.authorization_file,
            alternate=self.alternate,
            commitment=self.commitment,
        )


def _check_service(url: str, secret: bool) -> None:
    """Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("url is not an http or https address without user, password and query")
    if secret and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("authorization_file needs https: over http everybody on the way reads it")


class RoutingSection(Section):
    match: Literal["first", "all"] = Field(
        "first", description="of the rules that match: the first alone, or all of them, an earlier one before a later"
    )


class InferenceSection(Section):
    model: str = Field("efficientnet-lite0-unet", description="name of a model in weights/manifest.json")
    weights_dir: Path | None = Field(None, description="folder of manifest.json; null: weights/ beside the software")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the network runs")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 only on a CPU that has it")
    threads: int = Field(2, ge=1, le=256, description="CPU threads of one worker")
    cine_frames: int = Field(16, ge=1, le=512, description="frames of a cine that are examined, evenly spread")
    equation: Literal["hadlock-1984", "intergrowth-2016", "reference-system"] = Field(
        "hadlock-1984", description="HC to GA"
    )
    secondary_captures: Literal["never", "measure"] = Field(
        "never", description="screenshots and scans that are sent to the node: never measured, or measured like images"
    )


class DatingSection(Section):
    independent_ages: tuple[AgeSource, ...] = Field(
        (AgeSource.LAST_MENSTRUAL_DATE, AgeSource.REPORTED_LMP),
        description="where an age that is not HC's own is read, first found first; [] for none and no percentiles",
    )


class ResultsSection(Section):
    objects: tuple[ResultKind, ...] = Field(
        USUAL_OBJECTS, description="what is made of images and studies, and a destination gets if it lists none itself"
    )
    study_quiet_s: float = Field(
        90.0, gt=0, description="a study is reported when nothing of it was received for this long"
    )
    series_number: int = Field(901, ge=1, le=9999, description="first series number of our results")
    page_size: Literal["a4", "letter"] = Field("a4", description="paper of the PDF")
    language: Language = Field(
        Language.ENGLISH, description="language of the PDF: en or de; other objects are English in every case"
    )
    operator_hc: Literal["compare", "ignore"] = Field(
        "compare", description="the sonographer's HC in the machine's own report: show the difference to it, or not"
    )
    abstentions: Literal["never", "heads", "all"] = Field(
        "never", description="a TID 1500 that says why nothing was measured: of no image, of those with a head, of all"
    )
    sr_class: SrClass = Field(
        SrClass.COMPREHENSIVE,
        description="SOP class of TID 1500: comprehensive, or comprehensive_3d for IHE AI Results",
    )
    pdf_pictures: bool = Field(
        False, description="why the outline lies there, as two pictures in the PDF: a second look of the network"
    )
    identity_corrections: Literal["hold", "accept"] = Field(
        "hold", description="same pixels, other patient data: hold until an operator confirms, or accept at once"
    )


NARRATIVE_KEY_VARIABLE = "ANTHROPIC_API_KEY"


class NarrativeSection(Section):
    mode: Literal["template", "llm"] = Field(
        "template", description="who words the PDF's two paragraphs: fixed sentences, or a language model elsewhere"
    )
    endpoint: str = Field(
        "https://api.anthropic.com/v1/messages",
        description="llm: the one address that is asked (Anthropic Messages API); http only on this machine",
    )
    model: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_.:/-]{1,80}$", description="llm: name of the model; has to be given"
    )
    key_file: Path | None = Field(
        None, description="llm: file with the API key and nothing else; null: environment variable ANTHROPIC_API_KEY"
    )
    timeout_s: float = Field(20.0, gt=0, le=300, description="llm: after this long the fixed sentences are taken")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        usual = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not usual or not parts.hostname or parts.username is not None or parts.password is not None:
            raise ValueError("not an https address (or http on this machine) without user and password")
        return endpoint

    @model_validator(mode="after")
    def _check_model(self) -> NarrativeSection:
        if self.mode == "llm" and self.model is None:
            raise ValueError("mode llm needs `model`, the name of a model")
        return self

    def key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The API key as it stands there now; None where there is none or it is not printable ASCII on one line."""
        text = environment.get(NARRATIVE_KEY_VARIABLE, "")
        if self.key_file is not None:
            try:
                text = self.key_file.read_text(encoding="ascii")
            except (OSError, UnicodeError):
                return None
        key = text.strip()
        return SecretStr(key) if key and all("!" <= character <= "~" for character in key) else None


class QueueSection(Section):
    lease_s: float = Field(60.0, gt=0, description="a job whose worker was silent this long goes to another worker")
    poll_s: float = Field(0.1, gt=0, description="how often an idle worker or courier looks for work")
    maximum_attempts: int = Field(8, ge=1, description="failures that make a job dead; disk and database faults aside")
    backoff_first_s: float = Field(2.0, gt=0, description="wait after the first failure; doubles each time")
    backoff_cap_s: float = Field(900.0, gt=0, description="longest wait between attempts")


class DeliverySection(Section):
    connect_timeout_s: float = Field(10.0, gt=0, description="TCP connection and association")
    response_timeout_s: float = Field(60.0, gt=0, description="answer to one C-STORE")
    deadline_h: float = Field(168.0, gt=0, description="after this long an undelivered object is put aside as dead")
    ask_again_s: float = Field(
        60.0,
        gt=0,
        description="a destination that does not answer is asked, at first more often, then at this interval",
    )
    alternate_after_s: float = Field(
        300.0, ge=0, description="after this long without an answer its alternate takes over, until it answers again"
    )
    commitment_every_s: float = Field(
        10.0, gt=0, description="what was sent is gathered this long before storage commitment is asked for"
    )
    commitment_timeout_h: float = Field(
        24.0, gt=0, description="after this long without a report storage commitment is asked for again"
    )
    health_s: float = Field(300.0, gt=0, description="a destination that gets nothing is asked this often (C-ECHO)")


class StorageCommitmentSection(Section):
    offer: bool = Field(
        False, description="peers with `may: [commitment]` may ask this node for storage commitment of what they sent"
    )
    wait_h: float = Field(
        24.0, gt=0, description="what no destination with `commitment` has committed by then is reported as failed"
    )

    @property
    def wait(self) -> timedelta:
        return timedelta(hours=self.wait_h)


class MppsSection(Section):
    offer: bool = Field(
        False,
        description="peers with `may: [mpps]` may tell when an examination ends (MPPS): its study is reported sooner",
    )
    quiet_s: float = Field(
        10.0,
        ge=0,
        description="a study whose examination has ended, with all that it names here, is reported after this long"
        " without news instead of results.study_quiet_s",
    )
    missing_s: float = Field(
        300.0,
        ge=0,
        description="what an ended examination names and has not come is waited for until nothing came for this long",
    )


class FhirSection(Section):
    url: str | None = Field(
        None, description="base address of a FHIR R4 server that is told what studies were measured; null: nobody is"
    )
    authorization_file: Path | None = Field(
        None, description="file with the value of the Authorization header and nothing else; needs https"
    )
    authorities: Path | None = Field(
        None, description="PEM file: who may have signed the server's certificate; null: those of the system"
    )

    @model_validator(mode="after")
    def _check_address(self) -> FhirSection:
        if self.url is not None:
            _check_service(self.url, self.authorization_file is not None)
        return self


class RetentionSection(Section):
    delivered_days: float | None = Field(
        None,
        gt=0,
        description="studies are deleted so long after the last of them was delivered; null: never",
    )
    committed_days: float | None = Field(
        None,
        gt=0,
        description="the same for studies of which all that was delivered is committed; null: delivered_days",
    )
    nothing_to_send_days: float | None = Field(
        None, gt=0, description="the same for studies of which nothing had to be sent anywhere; null: never"
    )


class AuditMessagesSection(Section):
    host: str | None = Field(
        None, description="collector of audit messages (PS3.15 A.5), host name or address; null: the trail stays here"
    )
    port: Port = Field(6514, description="its port; 6514 is the registered one for TLS, 514 that for UDP")
    transport: Literal["tls", "udp"] = Field(
        "tls", description="syslog over TLS (RFC 5425), or UDP (RFC 5426): in clear, and nobody says what arrived"
    )
    tls: DestinationTls | None = Field(None, description="as of a destination; null: the authorities of this system")
    site: str | None = Field(None, min_length=1, description="AuditEnterpriseSiteID in every message")

    @model_validator(mode="after")
    def _no_tls_in_clear(self) -> AuditMessagesSection:
        if self.transport == "udp" and self.tls is not None:
            raise ValueError("tls goes with transport: tls")
        return self


class WebTlsSection(Section):
    certificate: Path | None = Field(None, description="PEM file: the console's certificate, followed by its chain")
    private_key: Path | None = Field(None, description="PEM file: its private key without passphrase, mode 0600")

    @model_validator(mode="after")
    def _both(self) -> WebTlsSection:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("give `certificate` and `private_key`, or neither: then the console speaks plain http")
        return self


OIDC_SECRET_VARIABLE = "DICOM_NODE_OIDC_SECRET"  # noqa: S105  the name of a variable


def _is_private_way(url: str) -> bool:
    """Whether it is an https address, or http on this machine, of a host alone or with a path."""
    try:
        parts = urlsplit(url)
        named = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        more = (
            parts.username is not None or parts.query or parts.fragment or (parts.port is not None and not parts.port)
        )
    except ValueError:
        return False
    return named and bool(parts.hostname) and not more and url.isascii() and url.isprintable() and " " not in url


class RoleValues(Section):
    """Which values of a claim or header stand for which role."""

    viewer: tuple[str, ...] = Field((), description="values of those who may look")
    operator: tuple[str, ...] = Field((), description="values of those who may also run again, send again and cancel")
    admin: tuple[str, ...] = Field((), description="values of those who may also change peers, destinations and users")

    def role_of(self, values: Collection[str]) -> UserRole | None:
        """The highest that one of the values stands for; None: none of them stands for any."""
        named = {UserRole.ADMIN: self.admin, UserRole.OPERATOR: self.operator, UserRole.VIEWER: self.viewer}
        return next((role for role, known in named.items() if set(known) & set(values)), None)

    @property
    def any(self) -> bool:
        return bool(self.viewer or self.operator or self.admin)


class WebOidcSection(Section):
    issuer: str | None = Field(
        None,
        description="address of an OpenID provider, https or on this machine; null: people sign in by password alone",
    )
    client_id: str | None = Field(None, min_length=1, description="what the provider calls this console")
    client_secret_file: Path | None = Field(
        None,
        description="file with its secret there and nothing else; null: environment variable DICOM_NODE_OIDC_SECRET",
    )
    authorities: Path | None = Field(
        None, description="PEM file of who vouches for the provider; null: the authorities of this system"
    )
    address: str | None = Field(
        None, description="the console's address as browsers call it, https or on this machine; null: host and port"
    )
    scopes: tuple[str, ...] = Field(("openid", "profile"), description="what the provider is asked for")
    name_claim: str = Field("preferred_username", min_length=1, description="claim of the ID token that names the user")
    role_claim: str = Field(
        "groups", min_length=1, description="claim with the user's groups or roles; dots lead into objects"
    )
    roles: RoleValues = Field(RoleValues(), description="which values of that claim stand for which role; others: none")

    @field_validator("issuer", "address")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not _is_private_way(url):
            raise ValueError("not an https address (or http on this machine) without user, password and query")
        return url

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes or not all(re.fullmatch(r"[!#-\[\]-~]+", scope) for scope in scopes):
            raise ValueError("scopes are words without blanks, and `openid` is one of them")
        return scopes

    @model_validator(mode="after")
    def _whole(self) -> WebOidcSection:
        if self.issuer is not None and (self.client_id is None or not self.roles.any):
            raise ValueError("an issuer needs `client_id`, and `roles` that let somebody in")
        if self.address is not None and urlsplit(self.address).path not in ("", "/"):
            raise ValueError("address has no path: the console stands at the root of its host")
        return self

    def secret(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """As it stands there now; None where there is none."""
        return _secret(OIDC_SECRET_VARIABLE, self.client_secret_file, environment)


class WebProxyUserSection(Section):
    header: str | None = Field(
        None, description="header in which the proxy of web.proxies names the user; null: no header is believed"
    )
    groups_header: str | None = Field(
        None, description="header with the user's groups, commas between them; null: `role` is everybody's"
    )
    roles: RoleValues = Field(RoleValues(), description="which groups stand for which role; others: none")
    role: UserRole | None = Field(None, description="without groups_header: the role of all whom the proxy lets in")

    @field_validator("header", "groups_header")
    @classmethod
    def _check_header(cls, name: str | None) -> str | None:
        """RFC 9110, 5.1, without underscores, which some proxies take for hyphens; none that means something else."""
        if name is not None and (not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or name.lower() in _TAKEN_HEADERS):
            raise ValueError("not the name of a header of your own, of letters, digits and hyphens")
        return name

    @model_validator(mode="after")
    def _whole(self) -> WebProxyUserSection:
        if self.header is not None and self.header == self.groups_header:
            raise ValueError("header and groups_header are two headers")
        by_groups = self.groups_header is not None
        if self.header is not None and (self.roles.any is not by_groups or (self.role is None) is not by_groups):
            raise ValueError("a header needs `groups_header` and `roles`, or `role` alone")
        return self


_TAKEN_HEADERS = frozenset({"authorization", "cookie", "host", "origin", "referer", "user-agent", "x-csrf-token"})


class WebSection(Section):
    enabled: bool = Field(True, description="whether `serve` runs the console; `dicom-node web` runs it in any case")
    host: str = Field(
        "127.0.0.1", description="address to listen on; others than this machine's own need tls or a proxy"
    )
    port: Port = Field(8080, description="port of the console and of its REST interface")
    tls: WebTlsSection = Field(WebTlsSection(), description="certificate and key, for https")
    behind_proxy: bool = Field(
        False, description="a proxy in front of the console speaks https: cookies are for https only, any host is fine"
    )
    proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"),
        description="with behind_proxy: addresses or CIDR blocks of the proxy, whose X-Forwarded-For is believed",
    )
    names: tuple[str, ...] = Field(
        (),
        description="host names by which browsers call the console; empty: this machine's own, over https any",
    )
    session_idle_min: int = Field(
        60, ge=1, le=1440, description="minutes without a click after which one signs in again"
    )
    session_h: int = Field(12, ge=1, le=168, description="hours after which one signs in again in any case")
    upload_mb: int = Field(256, ge=1, le=4096, description="largest file that may be tried out, by page or by program")
    look_s: float = Field(
        120.0, gt=0, le=3600, description="after this long a file that is tried out is given up, with its process"
    )
    failed_logins: int = Field(
        10, ge=3, le=100, description="wrong passwords in a row that lock a user; each further one doubles the time"
    )
    proxy_user: WebProxyUserSection = Field(
        WebProxyUserSection(), description="the proxy signs people in and says in a header who they are"
    )
    oidc: WebOidcSection = Field(WebOidcSection(), description="sign-in by an OpenID provider, beside passwords")

    @field_validator("proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f"{proxy!r} is neither an address nor a CIDR block") from None
        return proxies

    @field_validator("names")
    @classmethod
    def _check_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if "/" in name:
                raise ValueError(f"{name!r} is no host name")
            checked_host(name)
        return names

    @model_validator(mode="after")
    def _no_passwords_in_clear(self) -> WebSection:
        if self.host not in LOOPBACK and not self.secure:
            raise ValueError(
                "passwords would cross the network in clear: give `tls.certificate` and `tls.private_key`, or set"
                " `behind_proxy` where a proxy on the way speaks https"
            )
        return self

    @model_validator(mode="after")
    def _believed_behind_a_proxy_alone(self) -> WebSection:
        if self.proxy_user.header is not None and not (self.behind_proxy and self.proxies):
            raise ValueError("proxy_user needs `behind_proxy`, and `proxies` whose headers are believed")
        return self

    @model_validator(mode="after")
    def _reachable_for_the_way_back(self) -> WebSection:
        if self.oidc.issuer is not None and self.behind_proxy and self.oidc.address is None:
            raise ValueError("with `behind_proxy` `oidc.address` has to say how browsers call the console")
        if self.oidc.address is not None and self.secure != self.oidc.address.startswith("https:"):
            raise ValueError("oidc.address and the console do not both speak https")
        return self

    @property
    def secure(self) -> bool:
        """Whether browsers speak https."""
        return self.tls.certificate is not None or self.behind_proxy


SMTP_PASSWORD_VARIABLE = "DICOM_NODE_SMTP_PASSWORD"  # noqa: S105  the name of a variable
WEBHOOK_SECRET_VARIABLE = "DICOM_NODE_WEBHOOK_SECRET"  # noqa: S105
_MAIL_ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^-~]{1,64}@[A-Za-z0-9.-]{1,253}")
"""RFC 5321 without quoted names: nothing that could begin another header line."""


def _secret(variable: str, file: Path | None, environment: Mapping[str, str]) -> SecretStr | None:
    """What stands in the file, else in the variable; None where that is nothing on one printable line."""
    text = environment.get(variable, "")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            return None
    text = text.strip()
    return SecretStr(text) if text and text.isprintable() else None


class EmailSection(Section):
    host: str | None = Field(None, description="SMTP server; null: no e-mail is sent")
    port: Port = Field(587, description="its port; 587 goes with starttls, 465 with tls")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the way there is encrypted; none only where the server is this machine"
    )
    authorities: Path | None = Field(
        None, description="PEM file of who vouches for the server; null: the authorities of this system"
    )
    sender: str | None = Field(None, description="address that messages come from")
    recipients: tuple[str, ...] = Field((), description="addresses that get them")
    user: str | None = Field(None, min_length=1, description="name at the server, where it wants one")
    password_file: Path | None = Field(
        None, description="file with its password and nothing else; null: environment variable DICOM_NODE_SMTP_PASSWORD"
    )

    @model_validator(mode="after")
    def _whole(self) -> EmailSection:
        for address in (self.sender, *self.recipients):
            if address is not None and not _MAIL_ADDRESS.fullmatch(address):
                raise ValueError("sender and recipients are plain addresses, as in node@example.org")
        if self.host is None:
            return self
        if "/" in checked_host(self.host):
            raise ValueError("host is the name or address of one server")
        if self.sender is None or not self.recipients:
            raise ValueError("e-mail needs `sender` and `recipients`")
        if self.security == "none" and (self.host not in LOOPBACK or self.user is not None):
            raise ValueError("security: none is for a server on this machine that wants no password")
        return self

    def password(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """As it stands there now; None where there is none."""
        return None if self.user is None else _secret(SMTP_PASSWORD_VARIABLE, self.password_file, environment)


class WebhookSection(Section):
    url: str | None = Field(
        None, description="address that gets a JSON document by POST, https or on this machine; null: none"
    )
    secret_file: Path | None = Field(
        None,
        description="file with what documents are signed with; null: environment variable DICOM_NODE_WEBHOOK_SECRET",
    )
    authorities: Path | None = Field(
        None, description="PEM file of who vouches for the address; null: the authorities of this system"
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        usual = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not usual or not parts.hostname or parts.username is not None or not url.isascii() or not url.isprintable():
            raise ValueError("not an https address (or http on this machine) without user and password")
        return url

    def secret(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """As it stands there now; None where there is none."""
        return _secret(WEBHOOK_SECRET_VARIABLE, self.secret_file, environment)


class NotificationsSection(Section):
    destination_away_min: float = Field(
        15.0, gt=0, description="minutes without an answer after which a destination is told of"
    )
    email: EmailSection = Field(EmailSection(), description="by e-mail: a destination, the disk, what was given up")
    webhook: WebhookSection = Field(WebhookSection(), description="the same, to a program")


class LoggingSection(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity that is written")
    format: Literal["json", "text"] = Field("json", description="json lines for machines, text for people")


class Config(Section):
    """The whole configuration with every default."""

    node: NodeSection = NodeSection()
    database: DatabaseSection = DatabaseSection()
    peers: tuple[PeerEntry, ...] = ()
    destinations: tuple[DestinationEntry, ...] = ()
    rules: tuple[RuleEntry, ...] = ()
    routing: RoutingSection = RoutingSection()
    inference: InferenceSection = InferenceSection()
    dating: DatingSection = DatingSection()
    results: ResultsSection = ResultsSection()
    narrative: NarrativeSection = NarrativeSection()
    queue: QueueSection = QueueSection()
    delivery: DeliverySection = DeliverySection()
    fhir: FhirSection = FhirSection()
    storage_commitment: StorageCommitmentSection = StorageCommitmentSection()
    mpps: MppsSection = MppsSection()
    retention: RetentionSection = RetentionSection()
    audit_messages: AuditMessagesSection = AuditMessagesSection()
    web: WebSection = WebSection()
    notifications: NotificationsSection = NotificationsSection()
    logging: LoggingSection = LoggingSection()

    @model_validator(mode="after")
    def _unique_names(self) -> Config:
        names = [d.name for d in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("destination names must be unique")
        for entry in self.destinations:
            if entry.alternate is not None and (entry.alternate not in names or entry.alternate == entry.name):
                raise ValueError(f"the alternate of {entry.name} must be the name of another destination")
        return self

    @model_validator(mode="after")
    def _check_rules(self) -> Config:
        """Two rules of one name could not be told apart in listings; a misspelt destination would get nothing."""
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("rule names must be unique")
        known = {d.name for d in self.destinations}
        if SENDER in known:
            raise ValueError(f"a destination cannot be named {SENDER}: rules call so whoever sent the object")
        for rule in self.rules:
            unknown = sorted(set(rule.send or ()) - known - {SENDER})
            if unknown:
                raise ValueError(f"rule {rule.name} sends to {', '.join(unknown)}, which is no destination")
        return self

    @model_validator(mode="after")
    def _somebody_commits(self) -> Config:
        """Our word is an archive's: without one that commits, every answer would be no."""
        if self.storage_commitment.offer and not any(entry.commitment for entry in self.destinations):
            raise ValueError("storage_commitment.offer needs a destination with commitment: true")
        return self

    @model_validator(mode="after")
    def _tls_where_it_is_needed(self) -> Config:
        for peer in self.peers:
            if peer.secure and self.node.tls.port is None:
                raise ValueError(f"peer {peer.ae_title} needs TLS, and node.tls.port is not given")
            if peer.certificate_name is not None and self.node.tls.authorities is None:
                raise ValueError(f"peer {peer.ae_title} needs a certificate, and node.tls.authorities is not given")
        return self

    @property
    def weights(self) -> Path:
        return self.inference.weights_dir or Path(__file__).resolve().parent.parent / "weights"

    @property
    def database_url(self) -> str:
        if self.database.url is not None:
            return self.database.url
        return f"sqlite:///{(self.node.data_dir / 'node.sqlite3').resolve()}"

    def peer_list(self) -> tuple[Peer, ...]:
        return tuple(entry.peer() for entry in self.peers)

    def caller_list(self) -> tuple[Peer, ...]:
        """The peers, and the destinations that may call to report on storage commitment."""
        reporters = [destination for destination in self.destination_list() if destination.commitment]
        titles = {reporter.ae_title for reporter in reporters}
        listed = (
            replace(peer, may=(*dict.fromkeys((*peer.may, Right.COMMITMENT)),)) if peer.ae_title in titles else peer
            for peer in self.peer_list()
        )
        return (*listed, *(self._reporter(destination) for destination in reporters))

    def _reporter(self, destination: Destination) -> Peer:
        """Who calls from where we send to; it proves itself as it must where it is listed as a peer."""
        rights = (Right.ECHO, Right.COMMITMENT)
        listed = [peer for peer in self.peer_list() if peer.ae_title == destination.ae_title and peer.secure]
        if not listed:
            return Peer(destination.ae_title, (destination.host,), rights)
        return replace(listed[0], hosts=(destination.host,), may=rights)

    def destination_list(self) -> tuple[Destination, ...]:
        usual = self.results.objects
        return tuple(entry.destination(usual) for entry in self.destinations)

    def commitment_terms(self) -> CommitmentTerms | None:
        """When peers that ask are told that an object is committed; None: they may not ask."""
        committing = tuple(entry.name for entry in self.destinations if entry.commitment)
        return CommitmentTerms(committing, self.storage_commitment.wait) if self.storage_commitment.offer else None

    def quiet(self) -> Quiet:
        """How long a study has to be quiet before it is reported."""
        usual_s, mpps = self.results.study_quiet_s, self.mpps
        return Quiet(usual_s, mpps.quiet_s, mpps.missing_s) if mpps.offer else Quiet(usual_s)

    def router(self) -> Router:
        """The rules, ready to decide."""
        rules = tuple(entry.rule() for entry in self.rules)
        return Router(rules, self.routing.match == "first", self.destination_list())

    def wanted_objects(self) -> frozenset[ResultKind]:
        """What has to be made of images and studies: `results.objects`, and what any destination lists."""
        return frozenset(self.results.objects).union(*(d.objects for d in self.destination_list()))


def find_config(explicit: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """`--config` > DICOM_NODE_CONFIG > ./config.yaml > None (built-in defaults)."""
    if explicit is not None:
        return explicit
    if environment.get(ENVIRONMENT_VARIABLE):
        return Path(environment[ENVIRONMENT_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load_config(path: Path | None) -> Config:
    """Read and check the configuration.

    Raises:
        ConfigError: the file is missing, is not YAML, or says something invalid; the message names file and key.
    """
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8") from error
    try:
        raw = yaml_text.parse(text)
    except yaml_text.TooMuch as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}:{where} is not valid YAML") from error
    if not isinstance(raw, dict | None):
        raise ConfigError(f"{path}: the top level must be a mapping")
    try:
        return Config.model_validate(raw or {})
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from error
