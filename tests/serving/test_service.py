"""The service as a process: how it starts and ends, and clients that misbehave."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import connect

from commands import refused, wait_for
from maskwise.data import detector_files
from maskwise.data.faces import open_detector
from maskwise.models.loading import SHIPPED
from maskwise.serving.metrics import _forget_ended
from service import NO_TORCH, service


def head(length: int) -> bytes:
    return (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_clients_that_misbehave_do_no_harm(face: bytes) -> None:
    with service("--seconds", 1, "--megabytes", 1) as running:
        with running.connection() as slow:  # half a body, and no more
            slow.sendall(head(len(face)) + face[:500])
            began = time.monotonic()
            assert slow.recv(4096).startswith(b"HTTP/1.1 408")
            assert 0.8 < time.monotonic() - began < 10
        with running.connection() as cut:
            cut.sendall(head(len(face)) + face[:500])
        with running.connection() as gone:  # asked, and gone before the answer
            gone.sendall(head(len(face)) + face)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with running.connection() as large:
            large.sendall(head(5_000_000) + b"x" * 1000)
            assert large.recv(4096).startswith(b"HTTP/1.1 413")
        with running.connection() as nonsense:
            nonsense.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
            assert nonsense.recv(4096).startswith(b"HTTP/1.1 400")
        address = f"ws://127.0.0.1:{running.port}/v1/stream"
        with connect(address) as camera:
            camera.send(face)
            camera.recv()
            camera.send(face)
            camera.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            camera.socket.close()  # in the middle of a frame's answer
        with connect(address, max_size=None) as camera:
            camera.send(b"x" * 2_000_000)
            with pytest.raises(Exception, match=r"1009"):
                camera.recv()
        assert len(running.predict(face)["faces"]) == 1  # type: ignore[arg-type]
        wait_for(lambda: "maskwise_streams 0.0" in running.get("/metrics"))
        assert "maskwise_queue_photos 0.0" in running.get("/metrics")
        (line,) = running.stopped().splitlines()  # and nothing else was logged of anybody
        assert line.endswith("Invalid HTTP request received.")


def test_headers_come_in_time_and_are_short(face: bytes) -> None:
    with service("--seconds", 1) as running:
        for begun in (b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):
            with running.connection() as slow:
                slow.sendall(begun)
                began = time.monotonic()
                answer = slow.recv(4096)
                assert answer.startswith(b"HTTP/1.1 408")
                assert b"application/problem+json" in answer
                assert 0.8 < time.monotonic() - began < 10
                assert slow.recv(4096) == b""
        with running.connection() as again:  # a second request of one connection
            again.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"live" not in answer:
                answer += again.recv(4096)
            again.sendall(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
            assert again.recv(4096).startswith(b"HTTP/1.1 408")
        with running.connection() as long:
            long.sendall(b"GET /health/live HTTP/1.1\r\n" + b"X-Long: " + b"x" * 100_000)
            assert long.recv(4096).startswith(b"HTTP/1.1 431")
        with running.connection() as slow_body:  # whose headers came in time
            slow_body.sendall(head(len(face)))
            time.sleep(0.5)
            slow_body.sendall(face)
            assert slow_body.recv(4096).startswith(b"HTTP/1.1 200")
        for path in (b"/static/../api.py", b"/static/%2e%2e/api.py", b"/static/..%2fapi.py",
                     b"/static/%2e%2e%2fapi.py", b"//etc/passwd"):  # fmt: skip
            with running.connection() as sly:
                sly.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sly.recv(4096).startswith(b"HTTP/1.1 404")
        assert running.stopped() == ""


def taken(connection: socket.socket, flood: bytes, pause: float = 0) -> int:
    """Send until the other side closes, or 50 MB are sent; return how many bytes were."""
    sent = 0
    with suppress(OSError):
        while sent < 50_000_000:
            connection.sendall(flood)
            sent += len(flood)
            time.sleep(pause)
    return sent


def whole_answer(connection: socket.socket) -> bytes:
    """Return an answer with its body."""
    answer = b""
    while (body := answer.partition(b"\r\n\r\n"))[1] == b"" or len(body[2]) < length_of(body[0]):
        answer += connection.recv(4096)
    return answer


def length_of(headers: bytes) -> int:
    return int(headers.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


def test_who_says_that_no_more_comes_is_answered(face: bytes) -> None:
    """As `nc -N` does, and clients that shut their side down when they have asked."""
    with service() as running:
        for begun in (head(len(face)) + face, b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with running.connection() as asking:
                asking.sendall(begun)
                asking.shutdown(socket.SHUT_WR)
                assert whole_answer(asking).startswith(b"HTTP/1.1 200")
                assert asking.recv(10) == b""
        with running.connection() as cut:  # before the request was whole
            cut.sendall(head(len(face)) + face[:500])
            cut.shutdown(socket.SHUT_WR)
            assert not cut.recv(4096).startswith(b"HTTP/1.1 200")


def test_trailers_fill_no_memory(face: bytes) -> None:
    """What a client sends after its headers is counted, whatever it calls it."""
    chunked = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with service("--seconds", 5) as running:
        small = b"".join(b"1\r\n%c\r\n" % byte for byte in face) + b"0\r\nX: y\r\n\r\n"
        with running.connection() as honest:  # one byte a chunk, and a trailer
            honest.sendall(chunked + small)
            assert honest.recv(4096).startswith(b"HTTP/1.1 200")
        for begun, flood in ((b"", b"X-T: " + b"a" * 65_000 + b"\r\n"), (b"X: ", b"a" * 65_536)):
            with running.connection() as greedy:
                greedy.sendall(chunked + b"0\r\n" + begun)
                assert taken(greedy, flood) < 20_000_000  # what the buffers of both sides hold
        with running.connection() as kept:  # answered early, and asked again once it is whole
            kept.sendall(head(300_000).replace(b"image/jpeg", b"text/plain") + b"x" * 1000)
            assert whole_answer(kept).startswith(b"HTTP/1.1 415")
            kept.sendall(b"x" * 299_000 + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        with running.connection() as early:  # answered before the body has come, and closed
            early.sendall(head(100_000_000) + b"x" * 100_000)
            assert early.recv(4096).startswith(b"HTTP/1.1 413")
            assert taken(early, b"x" * 8192, pause=0.01) < 50_000_000
        assert len(running.predict(face)["faces"]) == 1  # type: ignore[arg-type]


def test_texts_of_errors_are_not_logged(face: bytes) -> None:
    failing = NO_TORCH.replace(
        "main()\n",
        "from maskwise.prediction.predictor import Predictor\n"
        "def fail(*_):\n"
        "    raise ValueError('SECRET of a photo')\n"
        "Predictor.frame_crop = fail\n"
        "main()\n",
    )
    with service(script=failing) as running, running.connection() as asking:
        asking.sendall(head(len(face)).replace(b"predict", b"classify") + face)
        assert asking.recv(4096).startswith(b"HTTP/1.1 500")
        said = running.stopped()
    assert said.startswith("unforeseen ValueError in <string>:")
    assert len(said.splitlines()) == 1


def test_figures_of_processes_that_ended_are_forgotten(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in (os.getpid(), ended.pid):
        (tmp_path / f"gauge_livesum_{number}.db").touch()
    (tmp_path / f"counter_{ended.pid}.db").touch()
    _forget_ended(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"gauge_livesum_{os.getpid()}.db", f"counter_{ended.pid}.db"}


def test_what_was_begun_is_finished(face: bytes) -> None:
    slowly = NO_TORCH.replace(
        "main()\n",
        "import time\n"
        "from maskwise.serving import answering\n"
        "decode = answering.decode_photo\n"
        "answering.decode_photo = lambda *words: (time.sleep(1.5), decode(*words))[1]\n"
        "main()\n",
    )
    with service(script=slowly) as running, running.connection() as asking:
        asking.sendall(head(len(face)) + face)
        wait_for(lambda: "maskwise_queue_photos 1.0" in running.get("/metrics"))
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            running.connection()
        assert asking.recv(4096).startswith(b"HTTP/1.1 200")
        running.ended()
        assert running.process.returncode in (0, -signal.SIGTERM)


def test_several_processes_share_a_port_and_add_up_their_figures(face: bytes) -> None:
    script = NO_TORCH.replace("main()\n", "if __name__ == '__main__':\n    main()\n")
    with service("--workers", 2, script=script) as running:
        for _ in range(12):
            running.predict(face)
        for _ in range(5):  # whichever process answers
            counts = re.findall(
                r'maskwise_faces_total\{state="\w+"\} ([\d.]+)', running.get("/metrics")
            )
            assert sum(map(float, counts)) == 12
        running.stopped()


def test_what_keeps_it_from_starting_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(SHIPPED.read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / "altered.onnx"
    altered.write_bytes(content)
    assert "damaged or altered" in refused("serve", altered)
    assert "there is no model" in refused("serve", tmp_path / "none.onnx")
    with monkeypatch.context() as patch:
        missing = replace(detector_files._FILES["yunet"], name="none.onnx")
        patch.setitem(detector_files._FILES, "yunet", missing)
        open_detector.cache_clear()
        assert "cannot read" in refused("serve")
    open_detector.cache_clear()
    assert "cannot read the keys" in refused("serve", "--keys", tmp_path / "none")
    wrong = refused("serve", "--faces", 0, "--seconds", -1, "--origins", "door")
    assert all(word in wrong for word in ("faces", "seconds"))
    assert "'door' is no origin" in refused("serve", "--origins", "door")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in refused("serve", "--port", port)
