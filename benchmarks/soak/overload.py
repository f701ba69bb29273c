"""Clients that ask again as soon as they are answered or refused."""

import asyncio
import time
from contextlib import suppress


async def load(port: int, request: bytes, clients: int, seconds: float) -> tuple[float, ...]:
    """Let clients ask for some seconds.

    Returns:
        Photos answered a second, and the seconds in which 99 of 100 answers and refusals came.
    """
    answered: list[float] = []
    refused: list[float] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (began := time.perf_counter()) < end:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                found = answered if head.startswith(b"HTTP/1.1 200") else refused
                found.append(time.perf_counter() - began)
        finally:
            writer.close()

    async def client() -> None:
        while time.perf_counter() < end:
            with suppress(OSError, asyncio.IncompleteReadError):  # it was closed: come again
                await ask()

    await asyncio.gather(*(client() for _ in range(clients)))
    return len(answered) / seconds, _percentile(answered), _percentile(refused)


def _percentile(times: list[float]) -> float:
    return sorted(times)[int(0.99 * (len(times) - 1))] if times else 0.0
