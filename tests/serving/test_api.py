"""The service over HTTP: what it answers, what it refuses, and that it stays up."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import maskwise
from maskwise.cli import app as cli
from maskwise.labels import encode_class
from maskwise.serving.keys import Keys, add_key
from people import person
from service import JPEG, Serving, crowd, jpeg, problem

FORM = {"content-type": "multipart/form-data; boundary=x"}


def test_faces_are_found_and_answered_as_in_python(client: TestClient, face: bytes) -> None:
    (photo,) = client.post("/v1/predict", content=face, headers=JPEG).json()["photos"]
    (found,) = photo["faces"]
    (wanted,) = maskwise.load().predict_faces(face)
    assert (photo["width"], photo["height"], photo["left_out"]) == (192, 256, 0)
    assert found["box"] == pytest.approx(wanted.face, abs=0.06)
    assert found["answer"] == wanted.answer
    for task in ("mask", "gender", "age_group"):
        assert found[task] == getattr(wanted, task)
        assert found["probabilities"][task] == pytest.approx(
            wanted.probabilities[task],  # type: ignore[index]
            abs=1e-5,
        )
        assert sum(found["probabilities"][task].values()) == pytest.approx(1, abs=1e-4)


def test_several_photos_are_answered_in_order(client: TestClient, face: bytes, wall: bytes) -> None:
    files = [("photos", ("a.jpg", face)), ("photos", ("b.jpg", wall)), ("other", ("ü.jpg", b"?"))]
    photos = client.post("/v1/predict", files=files).json()["photos"]
    assert [photo["name"] for photo in photos] == ["a.jpg", "b.jpg", "ü.jpg"]
    assert [len(photo["faces"]) for photo in photos] == [1, 0, 0]
    assert photos[2]["error"].startswith("not an image that can be read here (JPEG, PNG,")
    assert "error" not in photos[1]


def test_photos_of_a_form_touch_no_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda *_: pytest.fail("it went to a file")
    )
    large = io.BytesIO()
    person(1).resize((900, 1200)).save(large, "BMP")
    assert len(large.getvalue()) > 3_000_000
    answer = client.post("/v1/predict", files=[("photos", ("a.bmp", large.getvalue()))])
    assert len(answer.json()["photos"][0]["faces"]) == 1


def test_a_cut_out_face_is_answered_whole(client: TestClient, wall: bytes) -> None:
    (photo,) = client.post("/v1/classify", content=wall, headers=JPEG).json()["photos"]
    (found,) = photo["faces"]
    assert "box" not in found
    assert found["mask"] in ("wear", "incorrect", "not_wear")


def test_what_is_not_asked_for_is_not_told(client: TestClient, face: bytes) -> None:
    for words, tasks in (("tasks=mask", ["mask"]), ("tasks=gender&tasks=mask", ["mask", "gender"])):
        answer = client.post(f"/v1/predict?{words}", content=face, headers=JPEG).json()
        (found,) = answer["photos"][0]["faces"]
        assert list(found["probabilities"]) == tasks
        assert set(found) == {"box", "probabilities", *tasks}


def test_faces_beyond_the_limit_are_counted(serving: Serving) -> None:
    client = serving(faces=50)
    (photo,) = client.post("/v1/predict", content=crowd(60), headers=JPEG).json()["photos"]
    assert (len(photo["faces"]), photo["left_out"]) == (50, 10)


def test_gender_and_age_can_be_switched_off(serving: Serving, face: bytes) -> None:
    client = serving(people=False)
    (photo,) = client.post("/v1/predict", content=face, headers=JPEG).json()["photos"]
    assert set(photo["faces"][0]) == {"box", "mask", "probabilities"}
    asked = client.post("/v1/predict?tasks=gender", content=face, headers=JPEG)
    assert "gender: switched off" in problem(asked, 403)["detail"]


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no type": ({"content": b"x"}, 415, "got no content type"),
    "text": ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "got text/plain"),
    "empty": ({"content": b"", "headers": JPEG}, 400, "the body is empty"),
    "no image": ({"content": b"x" * 99, "headers": JPEG}, 422, "no photo could be read"),
    "form without files": ({"data": {"a": "b"}, "files": {}}, 415, "urlencoded"),
    "form without a boundary": (
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "form"),
    "broken form": ({"content": b"--x\r\nnonsense", "headers": FORM}, 400, "form"),
    "form of fields": (
        {"content": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
         "headers": FORM}, 400, "no file"),
    "too many photos": (
        {"files": [("photos", (str(n), b"x")) for n in range(17)]}, 400, "more than 16 photos"),
    "too large": ({"content": b"x" * 2_000_001, "headers": JPEG}, 413, "larger than 2 MB"),
    "too large, in parts": (
        {"content": (b"x" * 999_999 for _ in range(3)), "headers": JPEG}, 413, "larger than 2 MB"),
    "unknown task": ({"content": b"x", "headers": JPEG, "params": {"tasks": "hair"}}, 422, "wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_answered_is_a_problem_document(name: str, serving: Serving) -> None:
    client = serving(megabytes=2)
    request, status, words = BAD[name]
    for route in ("/v1/predict", "/v1/classify"):
        if name == "too large, in parts":
            request = {**request, "content": (b"x" * 999_999 for _ in range(3))}
        found = problem(client.post(route, **request), status)
        assert words in found["detail"]
    assert client.get("/health/ready").status_code == 200


def test_photos_that_the_command_line_refuses_are_refused(serving: Serving, face: bytes) -> None:
    client = serving(megapixels=0.5)
    for content, words in (
        (face[: len(face) // 2], "cut short or damaged"),
        (jpeg(person(1).resize((10, 12))), "smaller than 16 pixels"),
        (jpeg(person(1).resize((1000, 20))), "too narrow"),
        (jpeg(person(1).resize((800, 800))), "800x800 is more than 500,000 pixels"),
    ):
        found = problem(client.post("/v1/predict", content=content, headers=JPEG), 422)
        assert words in found["errors"][0]


def test_other_paths_and_methods_are_problem_documents_too(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404)
    problem(client.get("/v1/predict"), 405)


def test_an_unforeseen_error_tells_nothing_and_ends_nothing(
    serving: Serving, face: bytes, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    client = serving()
    client = TestClient(client.app, raise_server_exceptions=False)
    answerer = client.app.state.answerer  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(answerer.predictor, "answer_frames", lambda *_: 1 / 0)
        found = problem(client.post("/v1/predict", content=face, headers=JPEG), 500)
    assert "division" not in json.dumps(found) + caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert client.post("/v1/predict", content=face, headers=JPEG).status_code == 200


def test_metrics_count_requests_and_faces(serving: Serving, face: bytes) -> None:
    client = serving()
    state = client.post("/v1/predict", content=face, headers=JPEG).json()["photos"][0]["faces"][0]
    client.get("/secret/photo.jpg")
    text = client.get("/metrics").text
    assert f'maskwise_faces_total{{state="{state["mask"]}"}} 1.0' in text
    assert 'maskwise_request_seconds_count{route="/v1/predict",status="200"} 1.0' in text
    assert 'route="none",status="404"' in text
    assert "secret" not in text


def test_keys(serving: Serving, face: bytes, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    door, gate = add_key(file, "door"), add_key(file, "gate")
    assert door not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    client = serving(keys=file)
    for route in ("/v1/predict", "/v1/classify"):
        for headers in ({}, {"x-api-key": door + "x"}, {"authorization": f"Basic {door}"}):
            answer = client.post(route, content=face, headers={**JPEG, **headers})
            assert "X-API-Key" in problem(answer, 401)["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in ({"x-api-key": door}, {"authorization": f"Bearer {gate}"}):
            answer = client.post(route, content=face, headers={**JPEG, **headers})
            assert answer.status_code == 200
    problem(client.get("/metrics"), 401)
    assert client.get("/health/live").status_code == 200


def test_files_of_keys_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    run = CliRunner().invoke
    made = run(cli, ["key", "door", "--file", str(file)])
    assert Keys.read(file).allow(made.stdout.strip())
    for words, message in (
        (["key", "door", "--file", str(file)], "has a key of door already"),
        (["key", "the door", "--file", str(file)], "name a key by"),
    ):
        assert message in str(run(cli, words).exception)
    for content, message in (("", "holds no key"), ("door 12\n", "line 1: expected a name")):
        file.write_text(content)
        with pytest.raises(maskwise.errors.SettingsError, match=message):
            Keys.read(file)
    with pytest.raises(maskwise.errors.SettingsError, match="cannot read the keys"):
        Keys.read(tmp_path / "none")


def test_other_sites_are_let_in_by_name_only(serving: Serving) -> None:
    asked = {"origin": "https://door.example", "access-control-request-method": "POST"}
    assert (
        "access-control-allow-origin" not in serving().options("/v1/predict", headers=asked).headers
    )
    client = serving(origins=("https://door.example",))
    answer = client.options("/v1/predict", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://door.example"
    other = client.options("/v1/predict", headers={**asked, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_the_document_of_the_api(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    route = document["paths"]["/v1/predict"]["post"]
    assert set(route["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    example = document["components"]["schemas"]["Answers"]["examples"][0]
    (found,) = example["photos"][0]["faces"]
    codes = [["wear", "incorrect", "not_wear"].index(found["mask"]),
             ["male", "female"].index(found["gender"]),
             ["young", "middle", "old"].index(found["age_group"])]  # fmt: skip
    assert found["answer"] == encode_class(*map(np.array, codes))
    assert {"400", "401", "413", "415", "422", "503"} <= set(route["responses"])
    assert client.get("/docs").status_code == 404  # it would load scripts from elsewhere


def test_the_page_loads_nothing_from_elsewhere(serving: Serving) -> None:
    client = serving()
    for path in ("/", "/static/main.js", "/static/style.css", "/static/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "microphone=()" in client.get("/").headers["permissions-policy"]
    problem(client.get("/static/nothing.js"), 404)
    problem(serving(page=False).get("/"), 404)
