"""Attacks on a service of its own process: it closes what attacks it, and answers others."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest
from benchmarks.soak import attacks
from benchmarks.soak.attacks import (
    Attack,
    bomb_attack,
    cameras_without_key,
    compressed_pictures,
    empty_fragments,
    empty_pictures,
    large_pictures,
    pictures_in_fragments,
    pictures_without_end,
    pings,
    wishes,
)
from benchmarks.soak.bombs import png_large, webp_many_tags
from benchmarks.soak.sockets import BINARY, CONTINUED, TEXT, Target, frame
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from commands import wait_for
from maskwise.serving.keys import add_key
from service import NO_TORCH, Service, service

MOST: Final = 450_000_000
"""Bytes of memory after all of them; a fresh process stays below 300 MB in each (`make soak`)."""


@pytest.fixture(scope="module")
def key_and_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    key = add_key(keys, "door")
    with service("--keys", keys) as running:
        yield key, running
        assert running.stopped() == ""  # and nobody was logged


def camera(running: Service, key: str = "") -> ClientConnection:
    headers = {"X-API-Key": key} if key else {}
    address = f"ws://127.0.0.1:{running.port}/v1/stream"
    return connect(address, additional_headers=headers, compression=None, close_timeout=1)


@pytest.mark.parametrize(
    ("attack", "most"),
    [(empty_fragments, 60), (pings, 60), (wishes, 60), (empty_pictures, 60), (large_pictures, 250),
     (compressed_pictures, 250), (cameras_without_key, 250), (pictures_without_end, 250),
     (pictures_in_fragments, 250)],
)  # fmt: skip
def test_floods_are_closed_and_others_are_answered(
    key_and_service: tuple[str, Service], face: bytes, attack: Attack, most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    key, running = key_and_service
    monkeypatch.setattr(attacks, "SECONDS", 2.0)
    target = Target(running.port, key)
    attack(target)
    assert target.sent < most * 1_000_000, "it was not closed"
    with camera(running, key) as watched:
        watched.send(face)
        assert '"people": [{' in str(watched.recv())
    assert psutil.Process(running.process.pid).memory_info().rss < MOST


def closed(socket: ClientConnection) -> str:
    with pytest.raises(ConnectionClosed) as ended:
        list(socket)
    assert ended.value.rcvd is not None
    return f"{ended.value.rcvd.code} {ended.value.rcvd.reason}"


def test_what_closes_a_camera_is_said(key_and_service: tuple[str, Service]) -> None:
    key, running = key_and_service
    with camera(running, key) as talkative:
        talkative.send("x" * 20_000)
        assert closed(talkative) == "1009 a text of more than 16384 bytes"
    with camera(running) as hasty:
        hasty.socket.sendall(frame(BINARY, bytes(60_000), size=100_000))
        assert closed(hasty) == "1008 send the key first, then pictures"
    with camera(running) as hasty:
        hasty.socket.sendall(frame(TEXT, last=False) + frame(CONTINUED, last=False) * 40)
        assert closed(hasty) == "1008 send the key first, then pictures"
    with camera(running, key) as fast:
        fast.socket.sendall(frame(BINARY, last=False) + frame(CONTINUED, last=False) * 2000)
        assert closed(fast) == "1008 too many frames"
    with pytest.raises(InvalidStatus, match="401"), camera(running, key + "x"):
        pass


def test_a_key_and_a_picture_in_fragments_may_come_in_one_piece(
    key_and_service: tuple[str, Service], face: bytes
) -> None:
    key, running = key_and_service
    with camera(running) as quick:
        parts = [face[start : start + 300] for start in range(0, len(face), 300)]
        assert len(parts) > 20
        rest = b"".join(frame(CONTINUED, part, last=False) for part in parts[1:])
        first, last = frame(BINARY, parts[0], last=False), frame(CONTINUED)
        wish = frame(TEXT, b'{"key": "%s"}' % key.encode())
        quick.socket.sendall(wish + first + rest + last)
        assert '"people": [{' in str(quick.recv())


def test_odd_photos_are_not_logged(key_and_service: tuple[str, Service]) -> None:
    """Pillow warns of them; what is logged is seen when the service has ended."""
    key, running = key_and_service
    for make in (png_large, webp_many_tags):
        bomb_attack(make)(Target(running.port, key))


def test_what_cameras_send_counts_with_the_rest(face: bytes, tmp_path: Path) -> None:
    with service("--megabytes", 2, "--held-megabytes", 2) as running:
        with camera(running) as first, camera(running) as second:
            first.socket.sendall(frame(BINARY, bytes(1_200_000), size=1_900_000))
            second.socket.sendall(frame(BINARY, bytes(1_200_000), size=1_900_000))
            assert closed(second) == "1013 too much is being sent; try again in 1 s"
        with camera(running) as third:  # all of it was let go
            third.send(face)
            assert '"people": [{' in str(third.recv())
            assert len(running.predict(face)["faces"]) == 1  # type: ignore[arg-type]


def test_connections_that_ask_for_nothing_make_room(face: bytes) -> None:
    few = NO_TORCH.replace(
        "main()\n", "from maskwise.serving import run\nrun._CONNECTIONS = 100\nmain()\n"
    )
    with service("--queue", 16, "--streams", 0, script=few) as running, ExitStack() as opened:
        idle = [opened.enter_context(running.connection()) for _ in range(300)]
        for _ in range(3):
            assert len(running.predict(face)["faces"]) == 1  # type: ignore[arg-type]
        assert idle[0].recv(4096).startswith(b"HTTP/1.1 408")
        idle[-1].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[-1].recv(4096).startswith(b"HTTP/1.1 200")


def test_who_reads_no_answers_is_closed(face: bytes) -> None:
    """Or its connection would be taken for ever: what was written waits to be read."""
    more = (
        "from maskwise.serving import camera_connection, run\n"
        "run._CONNECTIONS = 20\ncamera_connection._READ_SECONDS = 2.0\nmain()\n"
    )
    few = NO_TORCH.replace("main()\n", more)
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    words = ("--queue", 16, "--streams", 1, "--seconds", 2)
    with service(*words, script=few) as running, ExitStack() as opened:
        silent = [opened.enter_context(running.connection()) for _ in range(40)]
        for _ in range(60):  # till what is written fills the buffers of both sides
            for one in silent:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    one.setblocking(False)
                    one.send(asked * 8)
        wait_for(lambda: "live" in running.get("/health/live"))
        assert len(running.predict(face)["faces"]) == 1  # type: ignore[arg-type]


def test_requests_that_wait_for_others_are_few() -> None:
    with service() as running, running.connection() as greedy:
        greedy.sendall(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 10:
            answers += greedy.recv(65_536)
        greedy.sendall(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
        with suppress(OSError):
            while more := greedy.recv(65_536):
                answers += more
        assert answers.count(b"HTTP/1.1 200") < 100
        assert "Invalid HTTP request" in running.stopped()
