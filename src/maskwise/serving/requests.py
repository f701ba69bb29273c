"""What is done with every request before its route: its host is checked, HEAD becomes GET."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

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
