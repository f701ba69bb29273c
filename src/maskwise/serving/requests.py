"""What is done with every request before its route: who calls, how much is sent, HEAD as GET."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskwise.serving.problems import ProblemError

HERE: Final = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""
_CALLS: Final = ("http", "websocket")


class KnownHosts:
    """Lets requests in that call the service by a name that it has.

    A page of another site whose name was made to lead here (DNS rebinding) would else count as the
    service's own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.casefold() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] in _CALLS:
            given = Headers(scope=scope).get("host")
            name = host_name(given or "")
            if given is not None and name.casefold() not in self._hosts:  # browsers always name it
                problem = ProblemError(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    f"this service is not called {name[:100]!r}; name it with --hosts",
                )
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port and the brackets of an address.

    Example:
        >>> host_name("door.example:8000"), host_name("[::1]:8000")
        ('door.example', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def known_hosts(host: str, named: Collection[str]) -> tuple[str, ...]:
    """Return the names that a service has that listens at an address; none: any will do."""
    if named:
        return (*named, *HERE)
    return (*HERE, host) if host in HERE or host.startswith("127.") else ()


class HeadAsGet:
    """Answers HEAD as GET; the server leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class OwnPages:
    """Lets no other site's page call, and none show what is answered here.

    A browser sends another page's requests with what its user may reach, and needs no leave for
    simple ones, such as those of pictures.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = other_site(Headers(scope=scope))
        if caller:
            detail = f"requests of {caller[:200]} are not answered: open this page itself"
            problem = ProblemError(HTTPStatus.FORBIDDEN, detail)
            await problem.response()(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, sending)


def other_site(headers: Headers) -> str:
    """Return the site whose page calls, if it is not the one that is called; else nothing.

    Example:
        >>> other_site(Headers({"host": "a.example", "origin": "https://b.example"}))
        'https://b.example'
    """
    if headers.get("sec-fetch-site") == "same-origin":
        return ""  # the browser says so; a proxy may have changed the Host
    if origin := foreign_origin(headers):
        return origin
    elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if elsewhere and headers.get("sec-fetch-mode") != "navigate":  # following a link is no harm
        return "other sites"
    return ""


def foreign_origin(headers: Headers) -> str | None:
    """Return the origin of a page that is not of the host that is called, or None."""
    origin = headers.get("origin")
    own = origin is None or urlsplit(origin).netloc == headers.get("host")
    return None if own else origin


class BodyLimit:
    """Refuses bodies of more than so many bytes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, as far as its body is not too long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                problem = ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is longer than {self._most:,} bytes",
                    headers={"Connection": "close"},
                )
                await problem.response()(scope, receive, send)
                return

        read = False

        async def whole() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, whole, send)
