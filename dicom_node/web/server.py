"""The web process: listen, answer, stop when told to."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dicom_node.config import Config
from dicom_node.errors import ConfigError, StorageUnavailable
from dicom_node.storage.repository import Repository
from dicom_node.tls import TlsFiles, listening_context
from dicom_node.web import first_admin, proxy_user
from dicom_node.web.application import build_app
from dicom_node.web.console import Console

_log = logging.getLogger(__name__)

MOST_CONNECTIONS = 500
"""Whoever opens more gets 503: connections that say nothing take no memory without end."""

_POLL_S = 0.5
_GRACE_S = 5


def run(config: Config, config_path: Path | None, repository: Repository, stop: threading.Event) -> None:
    """Serve the console until `stop` is set.

    Raises:
        ConfigError: the address cannot be listened on, or certificate and key are not what they should be.
        StorageUnavailable: the server ended by itself.
    """
    console = Console(config, repository, config_path, stop=stop)
    with closing(_listen(config)) as listening:
        console.shelf.clear()  # now nobody else is serving from here
        server = uvicorn.Server(_settings(console))
        thread = threading.Thread(target=server.run, args=([listening],), name="web", daemon=True)
        thread.start()
        first_admin.welcome(console)
        _log.info("web.ready", extra={"host": config.web.host, "port": config.web.port})
        while not stop.wait(_POLL_S) and thread.is_alive():
            pass
        server.should_exit = True
        thread.join(_GRACE_S + _POLL_S)
    if not stop.is_set():
        raise StorageUnavailable("The web server ended by itself.")
    _log.info("web.stopped")


def _listen(config: Config) -> socket.socket:
    """A bound socket, so that what is wrong with the address is told by its name."""
    web = config.web
    try:
        family, _kind, _protocol, _name, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise ConfigError(f"web.host {web.host} is no address of this machine ({error.strerror})") from error
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise StorageUnavailable(f"cannot listen on {web.host} port {web.port} ({error.strerror})") from error
    return listening


def _app(console: Console) -> ASGIApp:
    """The application; behind a proxy whose X-Forwarded-For is believed, after it was noted who that proxy is."""
    web, app = console.config.web, build_app(console)
    if not web.behind_proxy:
        return app
    # uvicorn's and starlette's words for the same interface
    return proxy_user.NotePeer(cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), [*web.proxies])))


def _settings(console: Console) -> uvicorn.Config:
    """Raises ConfigError."""
    web = console.config.web
    context = None
    if web.tls.certificate is not None:
        context = listening_context(TlsFiles(web.tls.certificate, web.tls.private_key))
    return uvicorn.Config(
        _app(console),
        log_config=None,
        access_log=False,  # addresses of studies are nobody's business but the audit trail's
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,  # see _app
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_context_factory=None if context is None else lambda _config, _usual: context,
    )
