"""Who may ask: names the page is reached by, and the token."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

from strongreid.errors import InputError

SHORTEST = 16
"""Characters of a token, at least."""
COOKIE = "strongreid"


@dataclass(frozen=True)
class Access:
    """Which host names a request may be addressed to, and what it must show.

    The check of the Host header is against DNS rebinding: a page elsewhere whose name is made to point here. That
    needs a name, so plain addresses pass where the server is open to other machines.
    """

    names: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    any_address: bool = False
    """Whether any IP address will do for a name."""
    token: str | None = field(default=None, repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """What the cookie holds instead of the token; of this process only."""

    @classmethod
    def of(cls, host: str, token: str | None = None, names: Sequence[str] = ()) -> Access:
        """For a server on `host`; where that is not loopback, a token is made if none is given.

        Raises:
            InputError: the token is too short or not plain ASCII.
        """
        if token is not None and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
            raise InputError(
                f"a token has {SHORTEST} or more printable ASCII characters; leave it out and one is made."
            )
        given = frozenset(name.lower().strip("[]") for name in names)
        if is_loopback(host):
            return cls(cls.names | given | {host.lower().strip("[]")}, token=token)
        own = {socket.gethostname().lower(), host.lower().strip("[]")}
        return cls(cls.names | given | own, any_address=True, token=token or secrets.token_urlsafe(32))

    def knows(self, host: str) -> bool:
        """Whether a Host header, NAME or NAME:PORT, is one of ours."""
        name = host_name(host)
        if name in self.names:
            return True
        return self.any_address and _is_address(name)

    def opens(self, authorization: str, cookies: Sequence[str]) -> bool:
        """Whether the token is shown, in an Authorization header or by the cookie that entering it has set."""
        if self.token is None:
            return True
        kind, _, given = authorization.partition(" ")
        return (kind.lower() == "bearer" and same(given.strip(), self.token)) or any(
            same(cookie, self.session) for cookie in cookies
        )


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of where they differ, nor of their lengths."""
    return compare_digest(*(sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted)))


def is_loopback(host: str) -> bool:
    """Whether a server on this host is reached from this machine only."""
    name = host.lower().strip("[]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """NAME of NAME:PORT, in lower case, an IPv6 address without its brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
