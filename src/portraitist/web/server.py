"""From a host and a port to a running service.

serve(Studio(), port=8765, say=print)
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Collection
from ipaddress import ip_address

import uvicorn

from ..errors import UsageError
from .app import create_app
from .limits import Limits
from .studio import Studio

SHORTEST_TOKEN = 16
_PARTING = 3
"""Seconds that open connections have when the service is stopped."""


def serve(
    studio: Studio,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str = "",
    names: Collection[str] = (),
    limits: Limits | None = None,
    say: Callable[[str], object],
) -> None:
    """Serve until it is interrupted.

    Args:
        studio: What draws.
        host: Address or name to listen on; other machines can reach any but a loopback address.
        port: To listen on; one that is free when 0.
        token: What those who ask must know; when empty, one is made up where other machines can reach the service.
        names: Host names that it may be called by, beside addresses.
        limits: What it gives at most.
        say: Is told the address once it listens.

    Raises:
        UsageError: The address is none of this machine or taken, or the token is too short.
        PortraitistError: A model or the face finder cannot be loaded.
    """
    limits = limits or Limits()
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(
            f"The token must have at least {SHORTEST_TOKEN} letters, digits and signs.",
            "Set PORTRAITIST_TOKEN to another, or leave it out.",
        )
    with _listening(host, port) as listener:
        address, port = listener.getsockname()[:2]
        loopback = ip_address(address).is_loopback
        token = token or ("" if loopback else secrets.token_urlsafe(24))
        studio.warm_up()
        config = uvicorn.Config(
            create_app(studio, limits=limits, token=token, names=names, loopback=loopback),
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=_PARTING,
        )
        shown = f"[{address}]" if ":" in address else address
        say(f"http://{shown}:{port}/" + (f"#token={token}" if token else ""))
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise UsageError(
            f"The service cannot listen on {host}, port {port}: {error.strerror}.",
            "Give another --port, or as --host an address of this machine.",
        ) from error
