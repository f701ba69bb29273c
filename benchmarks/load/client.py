"""Clients that ask as fast as they are answered, over connections that stay open."""

import asyncio
import statistics
import time
from dataclasses import dataclass

_BOUNDARY = b"photo-of-a-face"


@dataclass(frozen=True)
class Load:
    """What some clients saw."""

    photos_a_second: float
    median: float
    """Milliseconds."""
    p99: float
    refused: int
    """Answers other than 200."""


def form_request(path: str, photo: bytes) -> bytes:
    """Return an HTTP request that posts a photo as a form."""
    body = b"\r\n".join(
        [
            b"--" + _BOUNDARY,
            b'Content-Disposition: form-data; name="photos"; filename="face.jpg"',
            b"Content-Type: image/jpeg",
            b"",
            photo,
            b"--" + _BOUNDARY + b"--",
            b"",
        ]
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY.decode()}\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, request: bytes, clients: int, seconds: float, most: int = 0) -> Load:
    """Let clients ask for some seconds, or until there were so many answers."""
    times: list[float] = []
    refused = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - began < seconds and not (most and len(times) >= most):
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(1000 * (time.perf_counter() - started))
            refused += not head.startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(clients)))
    taken = time.perf_counter() - began
    times.sort()
    return Load(
        len(times) / taken, statistics.median(times), times[int(0.99 * (len(times) - 1))], refused
    )
