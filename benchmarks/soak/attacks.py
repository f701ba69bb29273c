"""Attacks on a service of one process, each bounded in bytes and time."""

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Final

from benchmarks.soak.bombs import bombs
from benchmarks.soak.sockets import BINARY, CONTINUED, PING, TEXT, Target, chunked, frame, post

Attack = Callable[[Target], None]
SECONDS: Final = 4.0
"""Of each flood."""
_MOST: Final = 300_000_000
_PIECE: Final = 65_536
_CAMERAS: Final = 24
_LARGE: Final = 19_900_000
"""Bytes of a photo, just below the limit."""
_PICTURE: Final = 7_900_000
"""Bytes of a camera's picture, likewise."""


def chunk_trailers(target: Target) -> None:
    """Lines after the last chunk of a body, without end."""
    with target.connection() as connected:
        connected.sendall(chunked() + b"0\r\n")
        target.flood(connected, b"X-T: " + b"a" * 65_000 + b"\r\n", _MOST, SECONDS)


def chunk_sizes(target: Target) -> None:
    """The words beside the size of a chunk, without end."""
    with target.connection() as connected:
        connected.sendall(chunked() + b"1;")
        target.flood(connected, b"a" * _PIECE, _MOST, SECONDS)


def endless_bodies(target: Target) -> None:
    """Bodies that are refused at once, and sent all the same."""
    with ExitStack() as opened:
        for _ in range(8):
            connected = opened.enter_context(target.connection())
            connected.sendall(post(b"x", key=target.key).replace(b": 1\r\n", b": 900000000\r\n"))
            target.flood(connected, b"x" * _PIECE, _MOST // 8, SECONDS / 8)


def many_bodies(target: Target) -> None:
    """Bodies of 20 MB that lack their last bytes, from many clients."""
    body = post(bytes(_LARGE), key=target.key)[:-1000]
    with ExitStack() as opened:
        for _ in range(_CAMERAS):
            target.flood(opened.enter_context(target.connection()), body, 1, SECONDS / 4)


def idle_connections(target: Target) -> None:
    """More connections than are taken, that ask for nothing."""
    with ExitStack() as opened:
        for _ in range(3000):
            opened.enter_context(target.connection())


def large_pictures(target: Target) -> None:
    """Pictures of the largest size, from many cameras."""
    with ExitStack() as opened:
        for _ in range(_CAMERAS):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, frame(BINARY, bytes(_PICTURE)), 1, SECONDS / 4)


def pictures_without_end(target: Target) -> None:
    """The same, each without its last byte."""
    with ExitStack() as opened:
        for _ in range(_CAMERAS):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, frame(BINARY, bytes(_PICTURE))[:-1], 1, SECONDS / 4)


def pictures_in_fragments(target: Target) -> None:
    """The same in small fragments."""
    part = frame(CONTINUED, bytes(2000), last=False)
    whole = frame(BINARY, last=False) + part * (_PICTURE // 2000)
    with ExitStack() as opened:
        for _ in range(_CAMERAS):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, whole, 1, SECONDS / 4)


def cameras_without_key(target: Target) -> None:
    """Sockets that send pictures before they have shown a key."""
    with ExitStack() as opened:
        for _ in range(200):
            connected = opened.enter_context(target.websocket())
            target.flood(connected, frame(BINARY, bytes(1_000_000)), 1_000_000, 0.1)


def compressed_pictures(target: Target) -> None:
    """Messages that say they are compressed, to a thousandth."""
    asked = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(_LARGE)) + packer.flush(zlib.Z_SYNC_FLUSH)
    with ExitStack() as opened:
        for _ in range(_CAMERAS):
            connected = opened.enter_context(target.websocket(target.key, asked))
            target.flood(connected, frame(0x40 | BINARY, packed[:-4]), 2_000_000, SECONDS / 8)


def empty_fragments(target: Target) -> None:
    """Fragments of a message without a byte."""
    with ExitStack() as opened:
        for _ in range(4):
            connected = opened.enter_context(target.websocket(target.key))
            with suppress(OSError):
                connected.sendall(frame(BINARY, last=False))
            empty = frame(CONTINUED, last=False) * 10_000
            target.flood(connected, empty, _MOST, SECONDS / 4)


def pings(target: Target) -> None:
    """Pings, each of which is answered."""
    with ExitStack() as opened:
        for _ in range(4):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, frame(PING) * 10_000, _MOST, SECONDS / 4)


def wishes(target: Target) -> None:
    """Texts that change what is asked for."""
    with ExitStack() as opened:
        for _ in range(4):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, frame(TEXT, b"{}") * 8000, _MOST, SECONDS / 4)


def empty_pictures(target: Target) -> None:
    """Pictures without a byte, each of which is answered."""
    with ExitStack() as opened:
        for _ in range(4):
            connected = opened.enter_context(target.websocket(target.key))
            target.flood(connected, frame(BINARY) * 8000, _MOST, SECONDS / 4)


def bomb_attack(make: Callable[[], bytes]) -> Attack:
    """Return the attack of four clients that each send one file that is much work."""

    def send(target: Target) -> None:
        request = post(make(), key=target.key)

        def one(_: int) -> None:
            with target.connection() as connected, suppress(OSError):
                connected.sendall(request)
                connected.recv(4096)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(4)))
        target.sent += 4 * len(request)

    return send


def attacks() -> Iterator[tuple[str, Attack]]:
    """Yield the name of each attack, and what carries it out."""
    for attack in (
        chunk_trailers, chunk_sizes, endless_bodies, many_bodies, idle_connections, large_pictures,
        pictures_without_end, pictures_in_fragments, cameras_without_key, compressed_pictures,
        empty_fragments, pings, wishes, empty_pictures,
    ):  # fmt: skip
        yield attack.__name__.replace("_", " "), attack
    for name, make in bombs():
        yield f"photo: {name}", bomb_attack(make)
