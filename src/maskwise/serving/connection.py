"""Connections that take so much beside the bodies of requests, and no more; uvicorn takes any."""

import asyncio
import json
import math
import os
from http import HTTPStatus
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maskwise.serving.problems import MEDIA_TYPE, ProblemError
from maskwise.serving.settings import SETTINGS

_MOST_BYTES: Final = 64 * 1024
"""Of a request's line and headers; and of what frames the chunks of its body, trailers included."""
_PER_BYTE: Final = 8
"""Bytes that frame a body, for each of its own: more than chunks of a single byte have."""
_MOST_PIPELINED: Final = 16
"""Requests of a connection that wait for the answer of one before; browsers send none."""
_LINGER: Final = 2.0
"""Seconds in which a client may go on sending what was answered before it was whole."""


_SPARE: Final = 16
"""Connections that are closed before there are too many of them."""
_IDLE: Final[dict["Connection", None]] = {}
"""Connections of this process that wait for a request, those that do so longest first."""


class _Protocol(Protocol):
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport


class ReadTimer:
    """Ends a connection whose client does not read what it is sent within some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self, protocol: _Protocol) -> None:
        """Begin to wait for the client of a connection."""
        self._timer = protocol.loop.call_later(self._seconds, protocol.transport.abort)

    def stop(self) -> None:
        """Stop: the client reads, or the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connection(HttpToolsProtocol):
    """A connection that is closed where a request's headers are late or long, or its frame is."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self._seconds = float(json.loads(os.environ[SETTINGS])["seconds"])
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._open = False
        """Whether a request has begun and is not whole yet."""
        self._began = 0
        """Requests that began in what is being read."""
        self._beside = self._body = 0
        """Bytes of the request: of its headers and frame, and of its body."""
        self._bodies = 0
        """Bytes of the bodies of all requests."""
        self._reading = ReadTimer(self._seconds)
        self._ended = False
        """Whether the client sends no more, and waits for what it asked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait_for_headers()
        _IDLE[self] = None
        most = self.limit_concurrency or math.inf
        if len(self.connections) > most - _SPARE and len(_IDLE) > 1:
            next(iter(_IDLE)).make_room()

    def make_room(self) -> None:
        """Close, as too many others come and this one waits."""
        _IDLE.pop(self, None)
        if self._timer:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "too many connections, and no request came")
        else:
            self._close()

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answers, and not for ever."""
        super().pause_writing()
        self._reading.start(self)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        self._reading.stop()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close what has asked nothing for long, also if it reads nothing."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_LINGER, self.transport.abort)

    def _close(self) -> None:
        """Close when what was written has been read, but soon."""
        self.transport.close()
        self.loop.call_later(_LINGER, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        self._reading.stop()
        _IDLE.pop(self, None)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio takes one
        """Answer a complete request even if the client has closed its side."""
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked and not self._open:
            self._ended = True
        return self._ended

    def on_message_begin(self) -> None:
        """Wait for the headers of another request."""
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise ValueError("too many requests at once")  # the parser stops, and 400 is answered
        self._open, self._body = True, 0
        self._began += 1
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """Let the request take its time."""
        self._stop_waiting()
        _IDLE.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what is of the body itself."""
        self._body += len(body)
        self._bodies += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stay, if the request was answered before it was whole, and is now."""
        self._open = False
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close soon, if the request was answered before it was whole."""
        unread = not self.pipeline and self.cycle.more_body
        answered = not self.pipeline
        super().on_response_complete()
        if answered and self in self.connections and not self.transport.is_closing():
            _IDLE[self] = None
            if self._ended:
                self._close()
        if unread and not self.transport.is_closing():
            # closed at once, the client might lose its answer
            self._leaving = self.loop.call_later(_LINGER, self._close)

    def data_received(self, data: bytes) -> None:
        """Take in what came; headers, and what frames a body, may be so long and no longer."""
        bodies, was_open, self._began = self._bodies, self._open, 0
        super().data_received(data)
        beside = len(data) - (self._bodies - bodies)
        if not self._began:
            self._beside += beside
        else:  # of several requests in one read it is not known whose bytes are whose
            self._beside = 0 if was_open or self._began > 1 else beside
        if self._beside <= _MOST_BYTES + (0 if self._timer else _PER_BYTE * self._body):
            return
        if self._timer or self._began:
            detail = f"the headers are longer than {_MOST_BYTES // 1024} KB"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        else:
            detail = "chunks of the body are framed by more bytes than the body has"
            self._refuse(HTTPStatus.BAD_REQUEST, detail)

    def _wait_for_headers(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._timer = self.loop.call_later(self._seconds, self._late)
            return  # the request before has yet to be answered
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
        self._close()
