"""The door: who may ask is decided from the headers, before a byte of a body is read.

- **Host** names this machine: on a loopback address ``localhost`` or such an address, else any address, or a name that
  was allowed. So no name that an attacker's name server points here (DNS rebinding) is served.
- **Origin** and **Sec-Fetch-Site**, which browsers send and pages cannot forge, are those of the service's own page: no
  other page, even of another port of this machine, can make a visitor's browser ask.
- **Authorization** bears the token, where there is one; of the page itself, which holds no secret, none is asked.

Every answer, errors included, forbids the page to load anything from elsewhere and forbids others to embed, keep or
guess the type of what it holds.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .refusals import Refused, failure_of

OPEN = frozenset({"/", "/page.js", "/page.css", "/icon.svg", "/health", "/openapi.json"})
"""Addresses that need no token."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets requests through to an application, or refuses them.

    Args:
        app: The application.
        token: What ``Authorization: Bearer`` must say; none is asked when empty.
        names: Host names that are allowed beside addresses.
        loopback: Only this machine can reach the service.
    """

    def __init__(self, app: ASGIApp, *, token: str = "", names: Collection[str] = (), loopback: bool = True) -> None:
        self._app, self._token, self._loopback = app, token.encode(), loopback
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except Refused as error:
            await failure_of(error).response()(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_here(hosts[0]):
            raise Refused(
                400,
                "host",
                "This service is not called by that name.",
                "Use its address, or allow the name with `portraitist serve --allow-host NAME`.",
            )
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        follows_link = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"
        if (origin is not None and not _same(origin, hosts[0])) or (
            site not in ("none", "same-origin") and not follows_link
        ):
            raise Refused(
                403, "origin", "Pages of other origins may not use this service.", "Use the service's own page."
            )
        if self._token and path not in OPEN:
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise Refused(
                    401,
                    "token",
                    "The token is missing or wrong.",
                    "Open the address that the service printed at its start, or send 'Authorization: Bearer TOKEN'.",
                    {"WWW-Authenticate": "Bearer"},
                )

    def _is_here(self, host: str) -> bool:
        name, _ = _parts(f"http://{host}")
        if name in self._names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback


def _same(origin: str, host: str) -> bool:
    """Tell whether an origin, such as ``http://127.0.0.1:8765``, is that of the host that was asked."""
    scheme = origin.partition("://")[0]
    return scheme in ("http", "https") and _parts(origin) == _parts(f"{scheme}://{host}")


def _parts(address: str) -> tuple[str, int]:
    """Return host name and port of an address; nothing where it cannot be read, or holds more than the two."""
    try:
        found = urlsplit(address)
        port = found.port or (443 if found.scheme == "https" else 80)
    except ValueError:
        return "", 0
    if found.path or found.query or found.fragment or "@" in found.netloc:
        return "", 0
    return (found.hostname or "").rstrip("."), port
