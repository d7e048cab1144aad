"""A console behind a proxy that says who is asking."""

from __future__ import annotations

from fastapi.testclient import TestClient

from dicom_node.config import RoleValues, WebProxyUserSection, WebSection
from dicom_node.web.console import Console
from dicom_node.web.server import _app
from tests.unit.dicom_node.web.browser import Browser

ADDRESS = "https://node.example"
USER, GROUPS = "X-Remote-User", "X-Remote-Groups"
PROXY = "192.0.2.3"
ROLES = RoleValues(viewer=("hc-viewer",), operator=("hc-operator",), admin=("hc-admin",))


def behind(console: Console) -> Console:
    """The same node, with its stop."""
    section = WebProxyUserSection(header=USER, groups_header=GROUPS, roles=ROLES)
    web = WebSection(behind_proxy=True, proxies=("192.0.2.0/28",), proxy_user=section)
    config = console.config.model_copy(update={"web": web})
    return Console(config, console.repository, None, console.now, stop=console.stop)


def by_proxy(console: Console, name: str, groups: str, peer: str = PROXY) -> Browser:
    """A browser, and what stands between it and the console; `peer`: the address of that."""
    site = behind(console)
    browser = Browser(site, ADDRESS)
    browser.client = TestClient(_app(site), base_url=ADDRESS, client=(peer, 1), raise_server_exceptions=False)
    browser.client.headers.update({USER: name, GROUPS: groups, "X-Forwarded-For": "198.51.100.9"})
    return browser
