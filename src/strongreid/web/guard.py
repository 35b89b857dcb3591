"""Before a request is looked at: is it meant for us, from our page, allowed, small enough?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongreid.web.access import COOKIE, Access
from strongreid.web.limits import Limits, RefusedError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_LOGIN = "/api/login"


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, access: Access, limits: Limits) -> None:
        self.app, self.access, self.limits = app, access, limits
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        try:
            most = self._check(headers, method, path)
        except RefusedError as error:
            more: Mapping[str, str] = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(
                error.status, {}
            )
            answer = JSONResponse({"error": str(error)}, error.status, headers=more)
            await answer(scope, receive, send_with_headers)
            return
        if method in _SAFE:
            await self.app(scope, receive, send_with_headers)
            return
        self._under_way += 1
        try:
            seconds = self.limits.login_seconds if path == _LOGIN else self.limits.seconds
            await self.app(scope, _limited(receive, most, seconds), send_with_headers)
        finally:
            self._under_way -= 1

    def _check(self, headers: Headers, method: str, path: str) -> int:
        """Refuse what is not to be answered; the bytes that the body may have.

        Raises:
            RefusedError: with its status.
        """
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.access.knows(hosts[0]):
            raise RefusedError(
                "this server is not known by that host name; open it by its address, or start it with --names.", 421
            )
        ours = path.startswith("/api") or path == "/openapi.json"
        if ours and path != _LOGIN and not self.access.opens(headers.get("authorization", ""), _cookies(headers)):
            raise RefusedError("this takes the token that was printed where the server was started.", 401)
        if (ours or method not in _SAFE) and not _from_our_page(headers, hosts[0]):
            raise RefusedError("this request comes from another site's page; open our own page for it.", 403)
        if method in _SAFE:
            return 0
        multipart = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self.limits.request_bytes if multipart else self.limits.json_bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 15 or int(length) > most):
            raise RefusedError(_too_much(most), 413)
        if self._under_way >= self.limits.requests:
            raise RefusedError("the server is busy with other requests; try again in a moment.", 503)
        return most


def _from_our_page(headers: Headers, host: str) -> bool:
    """Whether a browser says that our own page asks, or there is no browser.

    Browsers send Sec-Fetch-Site where they trust the connection (https, localhost), and Origin with every request of
    another site that could change something.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.strip().lower()


def _cookies(headers: Headers) -> list[str]:
    """What our cookie holds; several where another server on this host uses the name too."""
    found = []
    for header in headers.getlist("cookie"):
        for part in header.split(";"):
            try:
                cookie: SimpleCookie = SimpleCookie(part.strip())
            except CookieError:
                continue
            found += [morsel.value for name, morsel in cookie.items() if name == COOKIE]
    return found


def _limited(receive: Receive, most: int, seconds: float) -> Receive:
    """Stop reading a body once it has more bytes than it may, or has taken too long."""
    got, whole, until = 0, False, asyncio.get_running_loop().time() + seconds

    async def limited() -> Message:
        nonlocal got, whole
        if whole:  # what comes after the body is that the client leaves
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, "the request took too long to arrive; try again.") from error
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if got > most:
            raise HTTPException(413, _too_much(most))
        return message

    return limited


def _too_much(most: int) -> str:
    return f"the request is larger than {most / 1e6:g} MB; send fewer or smaller pictures."
