"""Who a proxy in front of the console says is asking (`web.proxy_user`), believed from `web.proxies` alone."""

from __future__ import annotations

import ipaddress

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dicom_node.config import WebProxyUserSection
from dicom_node.storage.accounts import NameTaken
from dicom_node.users import Caller, ExternalUser, User, UserRole, name_from
from dicom_node.web.console import Console
from dicom_node.web.oidc import SENTENCES, Fault
from dicom_node.web.pages import NotAllowed

PEER = "fetalhc.peer"


class NotePeer:
    """ASGI middleware, the outermost: who is at the other end, before a header says for whom it speaks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, PEER: scope.get("client")}, receive, send)


def vouched(request: Request, console: Console) -> Caller | None:
    """Whom the proxy vouches for; None: there is none, or it is no proxy of ours, or it names nobody.

    Raises:
        NotAllowed: it names somebody twice, or who has no role here, or who may not sign in any more.
    """
    settings = console.config.web.proxy_user
    if settings.header is None or not is_proxy(request, console.config.web.proxies):
        return None
    names = request.headers.getlist(settings.header)
    if not any(name.strip() for name in names):
        return None
    if len(names) > 1:
        raise NotAllowed(SENTENCES[Fault.NO_NAME])
    name = names[0].strip()
    who = ExternalUser(f"proxy {name}", name_from(name))
    role = _role(request, settings)
    if role is None:
        raise _refused(request, console, who, Fault.NO_ROLE)
    user = _user(request, console, who, role)
    return Caller(user.name, role, by_proxy=True)


def is_proxy(request: Request, proxies: tuple[str, ...]) -> bool:
    """By the connection itself: X-Forwarded-For, or whom it names, proves nothing."""
    peer = request.scope.get(PEER)
    try:
        address = ipaddress.ip_address(peer[0]) if peer else None
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and any(address in ipaddress.ip_network(one, strict=False) for one in proxies)


def _role(request: Request, settings: WebProxyUserSection) -> UserRole | None:
    if settings.groups_header is None:
        return settings.role
    said = request.headers.getlist(settings.groups_header)
    return settings.roles.role_of({word.strip() for one in said for word in one.split(",")})


def _user(request: Request, console: Console, who: ExternalUser, role: UserRole) -> User:
    """Raises NotAllowed. Being let in is written down once an hour, not with each request."""
    accounts, now = console.repository.accounts, console.now()
    try:
        user = accounts.external_user(who, role, now)
    except NameTaken:
        raise _refused(request, console, who, Fault.NAME_TAKEN) from None
    if not user.active:
        raise _refused(request, console, who, Fault.CLOSED)
    if console.vouched_for.allows(f"in {who.key} {role} {_host(request)}"):
        accounts.signed_in(user.name, _host(request), now)
    return user


def _refused(request: Request, console: Console, who: ExternalUser, fault: Fault) -> NotAllowed:
    """What to raise; written down, with what it ends, once an hour."""
    accounts, now = console.repository.accounts, console.now()
    known = accounts.external_lost(who, now) if fault is Fault.NO_ROLE else None
    if console.vouched_for.allows(f"out {who.key} {fault} {_host(request)}"):
        name = None if fault is Fault.NAME_TAKEN else known or who.name
        accounts.sign_in_refused(name, _host(request), fault, now)
    return NotAllowed(SENTENCES[fault])


def _host(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
