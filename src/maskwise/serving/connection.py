"""Connections whose headers must come in time, and be short; uvicorn waits for them for ever."""

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maskwise.serving.problems import MEDIA_TYPE, ProblemError
from maskwise.serving.settings import SETTINGS

_MOST_BYTES: Final = 64 * 1024
"""Of a request's line and headers."""


class Connection(HttpToolsProtocol):
    """A connection that is closed where a request's headers are late or long."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self._seconds = float(json.loads(os.environ[SETTINGS])["seconds"])
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the headers of another request."""
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """Let the request take its time."""
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take in what came; headers may be so long and no longer."""
        super().data_received(data)
        if self._timer is None:
            return
        self._bytes += len(data)
        if self._bytes > _MOST_BYTES:
            detail = f"the headers are longer than {_MOST_BYTES // 1024} KB"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def _wait_for_headers(self) -> None:
        if self._timer is None:
            self._bytes = 0
            self._timer = self.loop.call_later(self._seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        detail = f"the headers did not come in within {self._seconds:g} s"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        content = ProblemError(status, detail).document.model_dump_json().encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()
