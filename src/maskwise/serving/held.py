"""The bytes of clients that a process holds in memory: so many in all, and no more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from maskwise.serving.metrics import Metrics
from maskwise.serving.problems import busy

HELD: Final = "held"
"""Name under which connections find it in the state of the application."""
_REFUSAL: Final = 0.7
"""Seconds from a request to the word that there is no room for it."""
_REFUSED_PART: Final = 0.25
"""Of the limit, beside it: refused requests may hold so much, and take nothing from others."""
_UNREAD: Final = 320_000
"""Bytes of a body that the server takes in before anybody asks for them, at most."""


class Held:
    """Counts the bytes of all requests and cameras, and refuses what is too much."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._bytes = self._refused = 0

    def share(self) -> "Share":
        """Return what one client's bytes are counted by."""
        return Share(self)

    @contextmanager
    def request(self) -> Iterator["Share"]:
        """Give what a request's bytes are counted by; at the end they are let go."""
        share = self.share()
        try:
            yield share
        finally:
            share.hold(0)

    async def refuse_slowly(self, stated: str | None) -> None:
        """Wait with a refusal for want of room: who asks again at once costs the most.

        What came of the request's body stays in memory meanwhile, and is counted by itself. If
        that is too much, the refusal is sent at once.

        Args:
            stated: The length of the body, as the request states it.
        """
        unread = min(int(stated), _UNREAD) if stated and stated.isdigit() else _UNREAD
        if self._refused + unread > self._limit * _REFUSED_PART:
            return
        self._refused += unread
        try:
            await asyncio.sleep(_REFUSAL)
        finally:
            self._refused -= unread

    def change(self, more: int) -> None:
        """Count more bytes, or (below 0) fewer.

        Raises:
            ProblemError: There is no room for them; try again later.
        """
        if more > 0 and self._bytes + more > self._limit:
            self._metrics.refused()
            raise busy(1, "too much is being sent")
        self._bytes += more


class Share:
    """The bytes of one client."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._bytes = 0

    def hold(self, size: int) -> None:
        """Count so many bytes of this client from now on.

        Raises:
            ProblemError: There is no room for them; try again later.
        """
        self._held.change(size - self._bytes)
        self._bytes = size

    def add(self, more: int) -> None:
        """Count more bytes of this client.

        Raises:
            ProblemError: There is no room for them; try again later.
        """
        self.hold(self._bytes + more)
