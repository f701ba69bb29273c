"""Cameras over a WebSocket: frames in, people and passes out, whatever the camera does."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from maskwise.serving import stream as streaming
from maskwise.serving.keys import add_key
from people import person, scenery
from service import Serving, denied, jpeg


def answer(socket: Any, picture: bytes) -> dict[str, Any]:
    socket.send_bytes(picture)
    found: dict[str, Any] = socket.receive_json()
    return found


def test_a_person_comes_is_steady_and_passes(
    serving: Serving, face: bytes, wall: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(streaming.time, "monotonic", lambda: now)
    with serving().websocket_connect("/v1/stream") as socket:
        for number in range(6):
            found = answer(socket, face)
            now += 0.2
            (seen,) = found["people"]
            assert found["frame"] == number + 1
            assert found["size"] == [192, 256]
            assert set(seen) == {"number", "box", "state", "probabilities"}
            assert list(seen["probabilities"]) == ["mask"]
            assert (seen["state"] is not None) == (number >= 2)
        state = seen["state"]
        assert answer(socket, wall)["people"] == []
        now += 2
        found = answer(socket, wall)
        assert found["passed"] == [{"number": 1, "state": state, "seconds": 1.0}]
        assert found["counts"][state] == 1


def test_gender_and_age_are_told_where_asked_for(serving: Serving, face: bytes) -> None:
    client = serving()
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"tasks": ["mask", "gender", "age_group"]})
        (seen,) = answer(socket, face)["people"]
        assert seen["gender"] in ("male", "female")
        assert seen["age_group"] in ("young", "middle", "old")
    with serving(people=False).websocket_connect("/v1/stream") as socket:
        socket.send_json({"tasks": ["gender"]})
        assert "switched off" in socket.receive_json()["problem"]["detail"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_bad_frames_and_frames_of_changing_size_do_not_end_it(
    serving: Serving, face: bytes
) -> None:
    with serving(megapixels=0.2).websocket_connect("/v1/stream") as socket:
        for picture, words in (
            (b"", "empty"),
            (b"nonsense", "not an image"),
            (face[:1000], "cut short"),
            (jpeg(scenery(1).resize((600, 600))), "more than 200,000 pixels"),
        ):
            found = answer(socket, picture)
            assert found["problem"]["status"] == 422
            assert words in found["problem"]["detail"]
        for size in ((192, 256), (96, 128), (384, 512)):
            assert answer(socket, jpeg(person(1).resize(size)))["size"] == list(size)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"tasks": ["hair"]}', '{"task": ["mask"]}'])
def test_a_wish_that_makes_no_sense_is_told(serving: Serving, text: str) -> None:
    with serving().websocket_connect("/v1/stream") as socket:
        socket.send_text(text)
        found = json.loads(socket.receive_text())["problem"]
        assert found["status"] == 400
        assert found["errors"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_keys_are_asked_for(serving: Serving, face: bytes, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "door")
    client = serving(keys=tmp_path / "keys.txt")
    with client.websocket_connect("/v1/stream") as socket:
        assert answer(socket, face)["problem"]["status"] == 401
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"key": key + "x"})
        assert socket.receive_json()["problem"]["status"] == 401
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"key": key})
        assert len(answer(socket, face)["people"]) == 1
    for shown in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
        with client.websocket_connect("/v1/stream", headers=shown) as socket:
            assert len(answer(socket, face)["people"]) == 1
    denied(client, 401, {"x-api-key": key + "x"})


def test_more_cameras_than_are_let_in(serving: Serving, face: bytes) -> None:
    client = serving(streams=1)
    assert client.get("/v1/stream").json() == {"status": "free"}
    with client.websocket_connect("/v1/stream") as first:
        assert len(answer(first, face)["people"]) == 1
        assert "maskwise_streams 1.0" in client.get("/metrics").text
        assert "too many cameras" in denied(client, 503)["detail"]
        assert len(answer(first, face)["people"]) == 1
    with client.websocket_connect("/v1/stream") as third:
        assert len(answer(third, face)["people"]) == 1


def test_who_shows_no_key_keeps_nobody_out(
    serving: Serving, face: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(tmp_path / "keys.txt", "door")
    monkeypatch.setattr(streaming, "_KEY_SECONDS", 1.0)
    monkeypatch.setattr(streaming, "_ASKED", 3)
    client = serving(streams=1, keys=tmp_path / "keys.txt")
    with ExitStack() as silent:
        sockets = [silent.enter_context(client.websocket_connect("/v1/stream")) for _ in range(9)]
        for socket in sockets[:6]:  # the first had to go
            assert socket.receive_json()["problem"]["detail"] == "no key came in time"
        with client.websocket_connect("/v1/stream") as camera:
            camera.send_json({"key": key})
            assert len(answer(camera, face)["people"]) == 1
            assert denied(client, 503, {"x-api-key": key})["detail"].startswith("too many cameras")
            began = time.monotonic()
            for socket in sockets[6:]:
                assert socket.receive_json()["problem"]["detail"] == "no key came in time"
            assert time.monotonic() - began < 2
            assert len(answer(camera, face)["people"]) == 1


def test_wishes_alone_keep_no_place(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_QUIET", 1.0)
    client = serving()
    with client.websocket_connect("/v1/stream") as socket:
        began = time.monotonic()
        for _ in range(4):
            socket.send_json({"tasks": ["mask"]})
            time.sleep(0.2)
        assert socket.receive_json()["problem"]["detail"] == "no frame came in time"
        assert time.monotonic() - began < 1.6


def test_an_unforeseen_error_is_told_and_logged_without_its_text(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    client = serving()
    predictor = client.app.state.answerer.predictor  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise RuntimeError("SECRET of a photo")

    monkeypatch.setattr(predictor, "answer_frames", fail)
    with client.websocket_connect("/v1/stream") as socket:
        assert answer(socket, face)["problem"]["status"] == 500
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1011
    assert "unforeseen RuntimeError in test_stream.py" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_full_queue_is_told_and_the_camera_goes_on(serving: Serving, face: bytes) -> None:
    client: TestClient = serving(queue=1, photos=1)
    answerer = client.app.state.answerer  # type: ignore[attr-defined]
    with client.websocket_connect("/v1/stream") as socket:
        answerer._waiting = 1
        assert answer(socket, face)["problem"]["status"] == 503
        answerer._waiting = 0
        assert len(answer(socket, face)["people"]) == 1


def test_a_camera_that_falls_silent_is_let_go(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_QUIET", 0.2)
    client = serving()
    with client.websocket_connect("/v1/stream") as socket:
        answer(socket, face)
        assert socket.receive_json()["problem"]["detail"] == "no frame came in time"
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert "maskwise_streams 0.0" in client.get("/metrics").text


def test_pages_of_other_sites_may_not_watch(serving: Serving, face: bytes) -> None:
    here, door = {"origin": "http://testserver"}, {"origin": "https://door.example"}
    client = serving()
    with client.websocket_connect("/v1/stream", headers=here) as socket:
        assert len(answer(socket, face)["people"]) == 1
    denied(client, 403, door)
    client = serving(origins=("https://door.example",))
    with client.websocket_connect("/v1/stream", headers=door) as socket:
        assert len(answer(socket, face)["people"]) == 1
