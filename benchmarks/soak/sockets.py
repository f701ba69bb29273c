"""WebSockets and requests byte by byte: what an attacker sends that no library would."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9
_TIMEOUT: Final = 30.0


@dataclass
class Target:
    """A service that is attacked, and how much was sent to it."""

    port: int
    key: str = ""
    sent: int = field(default=0)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """Give a connection; it is closed at the end, however it ended before."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT) as connected:
            yield connected

    @contextmanager
    def websocket(self, key: str = "", more: str = "") -> Iterator[socket.socket]:
        """Give the connection of a WebSocket that was let in, or refused."""
        shown = f"X-API-Key: {key}\r\n" if key else ""
        with self.connection() as connected:
            connected.sendall(
                (
                    f"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                    f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{shown}{more}"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                ).encode()
            )
            connected.recv(4096)
            yield connected

    def flood(self, connected: socket.socket, part: bytes, most: int, seconds: float) -> int:
        """Send a part again and again until the other side closes, or so many bytes or seconds.

        Returns:
            The bytes that were sent, those in the buffers of both sides included.
        """
        sent, end = 0, time.monotonic() + seconds
        connected.settimeout(max(seconds, 0.1))
        with suppress(OSError):
            while sent < most and time.monotonic() < end:
                connected.sendall(part)
                sent += len(part)
        self.sent += sent
        return sent


def frame(kind: int, content: bytes = b"", last: bool = True, size: int | None = None) -> bytes:
    """Return a frame of a WebSocket; `size` is the length that it states, if another."""
    length = len(content) if size is None else size
    first = (0x80 if last else 0) | kind
    if length < 126:
        head = struct.pack(">BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack(">BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + content  # a mask of zeros leaves the content as it is


def post(content: bytes, path: str = "/v1/predict", key: str = "") -> bytes:
    """Return a request with a photo."""
    shown = f"X-API-Key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n{shown}"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def chunked(path: str = "/v1/predict") -> bytes:
    """Return the head of a request whose body comes in chunks."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
