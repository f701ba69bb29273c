"""Connections that take so much beside the bodies of requests, and no more; uvicorn takes any."""

import asyncio
import json
import os
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maskwise.serving.problems import MEDIA_TYPE, ProblemError
from maskwise.serving.settings import SETTINGS

_MOST_BYTES: Final = 64 * 1024
"""Of a request's line and headers; and of what frames the chunks of its body, trailers included."""
_PER_BYTE: Final = 8
"""Bytes that frame a body, for each of its own: more than chunks of a single byte have."""
_LINGER: Final = 2.0
"""Seconds in which a client may go on sending what was answered before it was whole."""


class Connection(HttpToolsProtocol):
    """A connection that is closed where a request's headers are late or long, or its frame is."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self._seconds = float(json.loads(os.environ[SETTINGS])["seconds"])
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0
        self._body = 0
        self._leaving = False

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
        self._bytes = self._body = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what is of the body itself."""
        self._body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Read no more of a request that was answered before it was whole; then close."""
        unread = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._leaving = True  # closed at once, the client might lose its answer
            self.loop.call_later(_LINGER, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Take in what came; headers, and what frames a body, may be so long and no longer."""
        if self._leaving:
            return
        body = self._body
        super().data_received(data)
        if self._timer is not None:
            self._bytes += len(data)
            if self._bytes > _MOST_BYTES:
                detail = f"the headers are longer than {_MOST_BYTES // 1024} KB"
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
            return
        self._bytes += max(len(data) - max(self._body - body, 0), 0)
        if self._bytes > _MOST_BYTES + _PER_BYTE * self._body:
            detail = "chunks of the body are framed by more bytes than the body has"
            self._refuse(HTTPStatus.BAD_REQUEST, detail)

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
