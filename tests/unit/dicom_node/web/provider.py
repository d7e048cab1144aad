"""An OpenID provider of the tests: discovery, keys, codes that work once, PKCE, signed ID tokens; it lies on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.unit.dicom_node.web.browser import START

CLIENT, SECRET = "console", "s3cret: of/the client"


@cache
def rsa_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@dataclass
class StandIn:
    """What it says of whom. `lie` changes the claims of a token, `sign` makes something else of them than a token."""

    address: str = ""
    subject: str = "4711"
    person: str = "jane@example.org"
    groups: Any = ("hc-operators", "everybody")
    lie: Callable[[dict[str, Any]], Any] = lambda _claims: None
    sign: Callable[[dict[str, Any]], str] | None = None
    description: dict[str, Any] = field(default_factory=dict)
    kid: str = "one"
    broken: bool = False
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def discovery(self) -> dict[str, Any]:
        told = {"issuer": self.address, "authorization_endpoint": f"{self.address}/authorize"}
        told |= {"token_endpoint": f"{self.address}/token", "jwks_uri": f"{self.address}/keys"}
        return told | self.description

    def keys(self) -> dict[str, Any]:
        return {"keys": [rsa_key(self.kid).as_dict(private=False), {"kty": "XX", "kid": "new"}]}

    def approve(self, address: str) -> str:
        """Somebody signs in there; where their browser is sent back to."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert address.startswith(f"{self.address}/authorize?")
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = f"code{len(self.codes)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """None: refused."""
        asked = self.codes.pop(form["code"], None)
        pair = base64.b64encode(b"console:s3cret%3A%20of%2Fthe%20client").decode()
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        proved = base64.urlsafe_b64encode(challenge).decode().rstrip("=")
        if asked is None or authorization != f"Basic {pair}" or proved != asked["code_challenge"]:
            return None
        if form["redirect_uri"] != asked["redirect_uri"]:
            return None
        now = int(START.timestamp())
        claims = {"iss": self.address, "sub": self.subject, "aud": CLIENT, "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], "preferred_username": self.person, "groups": list(self.groups)}
        self.lie(claims)
        token = self.sign(claims) if self.sign else signed(claims, self.kid)
        return {"access_token": "opaque", "token_type": "Bearer", "id_token": token}


def signed(claims: dict[str, Any], kid: str, key: RSAKey | None = None) -> str:
    return jwt.encode({"alg": "RS256", "kid": kid}, claims, key or rsa_key(kid))


def unsigned(claims: dict[str, Any]) -> str:
    """`alg` none."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in ({"alg": "none"}, claims)]
    return ".".join((*parts, ""))


@contextmanager
def running() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/.well-known/openid-configuration": stand_in.discovery, "/keys": stand_in.keys}
            stand_in.asked.append(self.path)
            self._say(known[self.path]() if self.path in known else None)

        def do_POST(self) -> None:
            stand_in.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(stand_in.exchange(form, self.headers.get("Authorization", "")))

        def _say(self, document: dict[str, Any] | None) -> None:
            body = json.dumps(document).encode()
            self.send_response(500 if stand_in.broken else 400 if document is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The tests say what they want to know."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()
