"""How much the service takes on, and what becomes of it under load."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from commands import wait_for
from maskwise.data.framing import Framer
from maskwise.serving import answering, held
from maskwise.serving.held import Held
from maskwise.serving.metrics import Metrics
from maskwise.serving.problems import ProblemError
from maskwise.serving.settings import ServeSettings
from service import JPEG, Serving, crowd, denied, jpeg, problem


def test_a_full_queue_refuses_and_says_when_to_come_again(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(queue=2, photos=2, threads=1, max_wait=10)
    go = threading.Event()
    decode = answering.decode_photo
    monkeypatch.setattr(answering, "decode_photo", lambda *words: (go.wait(30), decode(*words))[1])
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(client.post, "/v1/predict", content=face, headers=JPEG) for _ in range(2)
        ]
        while "queue_photos 2.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.post("/v1/predict", content=face, headers=JPEG)
        problem(refused, 503)
        assert int(refused.headers["retry-after"]) >= 1
        problem(client.get("/health/ready"), 503)
        assert client.get("/health/live").status_code == 200
        go.set()
        assert [future.result().status_code for future in asked] == [200, 200]
    assert client.post("/v1/predict", content=face, headers=JPEG).status_code == 200
    text = client.get("/metrics").text
    assert "maskwise_queue_photos 0.0" in text
    assert "maskwise_refused_total 1.0" in text  # being asked whether it is ready counts not


def test_what_takes_too_long_is_given_up(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(seconds=0.1, threads=1)
    decode = answering.decode_photo
    calls = []

    def slow(*words: Any) -> Any:
        calls.append(words)
        time.sleep(0.3)
        return decode(*words)

    monkeypatch.setattr(answering, "decode_photo", slow)
    files = [("photos", ("a.jpg", face))] * 3
    problem(client.post("/v1/predict", files=files), 503)
    time.sleep(1)
    assert len(calls) == 1  # those behind it were not begun
    monkeypatch.setattr(answering, "decode_photo", decode)
    assert client.post("/v1/predict", content=face, headers=JPEG).status_code == 200
    assert "maskwise_queue_photos 0.0" in client.get("/metrics").text


def test_work_that_nobody_waits_for_is_dropped_and_keeps_its_place_until_then(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(seconds=1, queue=8, photos=1, threads=1, batch=1)
    answerer = client.app.state.answerer  # type: ignore[attr-defined]
    answer, calls = answerer.predictor.answer_frames, []

    def slow(*words: Any) -> Any:
        calls.append(words)
        time.sleep(0.4)
        return answer(*words)

    monkeypatch.setattr(answerer.predictor, "answer_frames", slow)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: client.post("/v1/classify", content=face, headers=JPEG)
                              .status_code, range(8)))  # fmt: skip
    assert set(codes) == {200, 503}
    assert answerer._waiting > 0  # work is still being done
    wait_for(lambda: answerer._waiting == 0)
    assert len(calls) <= 4
    assert client.post("/v1/classify", content=face, headers=JPEG).status_code == 200


def test_a_photo_that_takes_for_ever_is_told_to_others(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(seconds=0.4, threads=1)
    go, decode = threading.Event(), answering.decode_photo
    monkeypatch.setattr(held, "_REFUSAL", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(answering, "decode_photo", lambda *words: (go.wait(30), decode(*words))[1])
        problem(client.post("/v1/predict", content=face, headers=JPEG), 503)
        wait_for(lambda: client.get("/health/ready").status_code == 503)
        began = time.monotonic()
        problem(client.post("/v1/predict", content=face, headers=JPEG), 503)
        assert time.monotonic() - began < 0.35  # it is not even waited for
        go.set()
    wait_for(lambda: client.get("/health/ready").status_code == 200)
    assert client.post("/v1/predict", content=face, headers=JPEG).status_code == 200


def test_what_would_begin_late_is_refused_within_a_second(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(threads=1, max_wait=0.6)
    decode = answering.decode_photo
    monkeypatch.setattr(
        answering, "decode_photo", lambda *words: (time.sleep(1.5), decode(*words))[1]
    )

    def ask(_: int) -> tuple[int, float]:
        began = time.monotonic()
        answer = client.post("/v1/predict", content=face, headers=JPEG)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code, time.monotonic() - began

    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(ask, range(6)))
        assert [code for code, _ in found] == [200] + [503] * 5
        assert (
            max(seconds for code, seconds in found if code == 503) < 5
        )  # of the ten that a request may take
        answerer = client.app.state.answerer  # type: ignore[attr-defined]
        assert answerer._waiting == 0
        answerer._framing_seconds = 1.0  # now it is known how slow photos are: nobody is taken in
        answerer._waiting = 1
        problem(client.get("/health/ready"), 503)
        code, seconds = ask(0)
        assert (code, 0.6 < seconds < 5) == (503, True)


def test_no_more_faces_than_are_set_are_answered_at_once(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(batch=4)
    predictor = client.app.state.answerer.predictor  # type: ignore[attr-defined]
    answer, sizes = predictor.answer_frames, []
    monkeypatch.setattr(predictor, "answer_frames",
                        lambda names, frames: (sizes.append(len(frames)),
                                               answer(names, frames))[1])  # fmt: skip
    found = client.post("/v1/predict", content=crowd(12), headers=JPEG).json()
    assert sum(sizes) == len(found["photos"][0]["faces"]) > 4
    assert max(sizes) <= 4


def test_requests_that_are_held_are_limited(serving: Serving, face: bytes) -> None:
    client = serving(megabytes=1, held_megabytes=1)
    answer = client.post("/v1/predict", content=face + bytes(900_000), headers=JPEG)
    assert answer.status_code == 200
    room = Held(1000, Metrics())
    with room.request() as first, room.request() as second:
        first.add(600)
        with pytest.raises(ProblemError, match="too much is being sent"):
            second.add(600)
        second.add(300)
        first.hold(100)
        second.add(600)
    with room.request() as third:
        third.add(1000)
    asyncio.run(refusals(room))
    with pytest.raises(ValidationError, match="no request of so many fits"):
        ServeSettings(megabytes=20, held_megabytes=10)


async def refusals(room: Held) -> None:
    """Refused requests hold a quarter of the limit beside it, and take nothing from others."""
    began = time.monotonic()
    waiting = [asyncio.create_task(room.refuse_slowly("100")) for _ in range(4)]
    done, late = await asyncio.wait(waiting, timeout=0.2)
    assert (len(done), len(late)) == (2, 2)
    with room.request() as share:
        share.add(1000)
    await asyncio.gather(*late)
    assert time.monotonic() - began > 0.6
    await asyncio.wait_for(room.refuse_slowly("100"), 2)


def test_large_photos_keep_no_small_one_waiting(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving(threads=2)
    decode, go = answering.decode_photo, threading.Event()
    large = jpeg(Image.new("RGB", (3000, 3000)))

    def slow(photo: bytes, *words: Any) -> Any:
        return (len(photo) == len(large) and go.wait(30), decode(photo, *words))[1]

    monkeypatch.setattr(answering, "decode_photo", slow)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(client.post, "/v1/predict", content=large, headers=JPEG) for _ in range(3)
        ]
        wait_for(lambda: "queue_photos 3.0" in client.get("/metrics").text)
        assert client.post("/v1/predict", content=face, headers=JPEG).status_code == 200
        go.set()
        codes = [future.result().status_code for future in asked]
    assert 200 in codes
    assert set(codes) <= {200, 503}


def test_forms_are_read_as_utf_8_whatever_they_say(serving: Serving, face: bytes) -> None:
    client = serving()

    def form(charset: str, name: bytes, content: bytes, field: bytes = b"") -> Any:
        body = (
            b'--cut\r\nContent-Disposition: form-data; name="photos"; filename="'
            + name
            + b'"\r\nContent-Type: image/jpeg\r\n\r\n'
            + content
            + b"\r\n"
            + field
            + b"--cut--\r\n"
        )
        kind = f"multipart/form-data; charset={charset}; boundary=cut"
        return client.post("/v1/predict", content=body, headers={"content-type": kind})

    for charset in ("punycode", "unicode_escape", "utf-7", "none"):
        answer = form(charset, rb"\ud800.jpg", face)
        assert answer.json()["photos"][0]["name"] == r"\ud800.jpg"
        problem(form(charset, rb"\ud800.jpg", b"no photo"), 422)
    assert form("utf-8", "문.jpg".encode(), face).json()["photos"][0]["name"] == "문.jpg"
    long = b'--cut\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 9000 + b"\r\n"
    problem(form("utf-8", b"a.jpg", face, long), 400)
    none = client.post(
        "/v1/predict", content=b"--cut", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    problem(none, 400)


def test_a_model_that_looks_for_no_faces_classifies_only(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving()
    predictor = client.app.state.answerer.predictor  # type: ignore[attr-defined]
    ((key, framer),) = predictor.framers.items()
    blind = Framer(framer.preprocess.model_copy(update={"detector": "none"}))
    monkeypatch.setitem(predictor.framers, key, blind)
    assert (
        "v1/classify"
        in problem(client.post("/v1/predict", content=face, headers=JPEG), 501)["detail"]
    )
    assert client.post("/v1/classify", content=face, headers=JPEG).status_code == 200
    denied(client, 501)


def test_photos_are_answered_together(serving: Serving, face: bytes) -> None:
    client = serving(batch=16, threads=2)
    with ThreadPoolExecutor(16) as pool:
        asked = [
            pool.submit(client.post, "/v1/classify", content=face, headers=JPEG) for _ in range(64)
        ]
        answers = {future.result().text for future in asked}
    assert len(answers) == 1
    text = client.get("/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(figures["maskwise_batch_faces_sum"]) == 64
    assert float(figures["maskwise_batch_faces_count"]) < 64
