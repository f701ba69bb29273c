"""What the labelling page's application answers, right and wrong requests."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from labels_made import decision, opened
from maskwise.data.manifest import manifest_from_rows
from maskwise.labeling.app import create_app
from maskwise.labeling.decisions import decide
from maskwise.labeling.store import Store
from maskwise.labeling.watched import WatchedManifest
from service import problem


@pytest.fixture
def store(manifest: Path) -> Iterator[Store]:
    store, _ = opened(manifest)
    with store:
        yield store


@pytest.fixture
def client(store: Store, manifest: Path) -> TestClient:
    return TestClient(create_app(store, WatchedManifest(manifest)))


Body = dict[str, object]


def sent(photo: int, action: str = "accept", version: int = 0, **labels: object) -> Body:
    one = {"photo": photo, "version": version, "action": action, "labels": labels}
    return {"who": "ann", "decisions": [one]}


def test_a_decision_goes_in_and_the_photo_comes_back(client: TestClient) -> None:
    first = client.post("/api/next", params={"who": "ann"}).json()[0]
    assert (first["id"], first["labels"]["mask"]) == (4, "wear")
    after = client.post("/api/decisions", json=sent(4, "label", mask="incorrect")).json()[0]
    assert (after["labels"]["mask"], after["state"], after["version"]) == ("incorrect", "done", 1)
    assert after["history"][0]["changes"]["mask"] == ["wear", "incorrect"]
    back = client.post("/api/undo", json={"who": "ann"}).json()[0]
    assert (back["labels"]["mask"], back["state"]) == ("wear", "open")
    following = {"who": "ann", "after_score": 0.9, "after_id": 4, "count": 2}
    assert [each["id"] for each in client.post("/api/next", params=following).json()] == [6, 8]
    about = client.get("/api/about").json()
    assert about["kinds"] == {"swap": 2, "blurred": 1, "gender": 1}
    assert client.get("/api/progress").json()["states"]["open"] == 37


def test_a_manifest_that_was_edited_meanwhile_is_told(client: TestClient, manifest: Path) -> None:
    assert client.get("/api/progress").json()["notice"] is None
    manifest.write_bytes(manifest.read_bytes())
    assert client.get("/api/progress").json()["notice"] is None  # it says the same
    manifest.write_text(manifest.read_text() + "\n")
    assert "manifest.csv was edited" in client.get("/api/progress").json()["notice"]
    manifest.unlink()
    assert "manifest.csv cannot be read" in client.get("/api/progress").json()["notice"]
    assert client.post("/api/decisions", json=sent(4)).status_code == 200


def test_a_stale_decision_is_a_conflict(client: TestClient, store: Store) -> None:
    decide(store, "bob", [decision(4)])
    found = problem(client.post("/api/decisions", json=sent(4)), 409)
    assert "look at it again; nothing was saved" in found["detail"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("decisions", sent(99), "no photo 99"),
        ("decisions", sent(1, "label", mask="worn"), "mask is 'worn'"),
        ("decisions", sent(1, "accept", mask="wear"), "accept takes no labels"),
        ("decisions", sent(1, "explode"), "wrong values"),
        ("decisions", {"who": "", "decisions": sent(1)["decisions"]}, "wrong values"),
        ("decisions", {"who": " ", "decisions": sent(1)["decisions"]}, "needs the name"),
        ("decisions", {"who": "ann", "decisions": []}, "wrong values"),
        ("undo", {"who": "ann"}, "nothing to take back"),
    ],
)
def test_wrong_decisions_are_refused(
    client: TestClient, store: Store, path: str, body: Body, said: str
) -> None:
    assert said in problem(client.post(f"/api/{path}", json=body), 422)["detail"]
    assert store.connection.execute("SELECT COUNT(*) FROM events").fetchone()[0] == 0


def test_wrong_questions_are_refused(client: TestClient) -> None:
    for query in ({"who": ""}, {}, {"who": "a", "state": "x"}, {"who": "a", "count": 999},
                  {"who": "a", "task": "colour"}):  # fmt: skip
        problem(client.post("/api/next", params=query), 422)
    problem(client.get("/api/photos/99", params={"who": "a"}), 422)
    problem(client.get("/api/photos/99/large.jpg"), 422)
    problem(client.get("/api/photos/1/huge.jpg"), 422)
    problem(client.get("/elsewhere"), 404)


def test_pictures_are_small_and_say_when_a_photo_is_gone(
    client: TestClient, store: Store, manifest: Path
) -> None:
    answer = client.get("/api/photos/1/small.jpg")
    assert Image.open(io.BytesIO(answer.content)).size == (40, 40)
    photo = manifest.parent / "photos" / "000.png"
    Image.fromarray(np.full((900, 1800, 3), 90, np.uint8)).save(photo)
    assert Image.open(io.BytesIO(client.get("/api/photos/1/small.jpg").content)).size == (160, 80)
    assert Image.open(io.BytesIO(client.get("/api/photos/1/large.jpg").content)).size == (1280, 640)
    photo.write_bytes(b"no photo")
    problem(client.get("/api/photos/1/small.jpg"), 404)
    photo.unlink()
    assert "No such file" in problem(client.get("/api/photos/1/small.jpg"), 404)["detail"]


def test_of_a_box_the_face_and_what_is_about_it_is_shown(tmp_path: Path) -> None:
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[80:120, 100:140] = 255
    Image.fromarray(pixels).save(tmp_path / "two.png")
    boxes = ("100 80 140 120", "290 190 320 220", "400 400 420 420")
    rows = [{"photo": str(tmp_path / "two.png"), "box": box, "person": box, "source": "made"}
            for box in boxes]  # fmt: skip
    with Store(tmp_path / "labels.db") as store:
        store.follow(manifest_from_rows(rows))
        client = TestClient(create_app(store, WatchedManifest(tmp_path / "two.csv")))
        face = Image.open(io.BytesIO(client.get("/api/photos/1/large.jpg").content))
        assert face.size == (80, 80)
        assert face.getpixel((40, 40)) > (240, 240, 240)  # type: ignore[operator]
        edge = Image.open(io.BytesIO(client.get("/api/photos/2/large.jpg").content))
        assert edge.size == (25, 25)
        assert "outside the photo" in problem(client.get("/api/photos/3/large.jpg"), 404)["detail"]


def test_pages_of_other_sites_decide_nothing(store: Store, manifest: Path) -> None:
    app = create_app(store, WatchedManifest(manifest), hosts=("127.0.0.1",))
    client = TestClient(app, "http://127.0.0.1:8001")
    evil = {"origin": "http://evil.example"}
    problem(client.post("/api/decisions", json=sent(1), headers=evil), 403)
    problem(client.post("/api/undo", json={"who": "ann"}, headers=evil), 403)
    # a name that was made to point to this machine
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    assert client.post("/api/decisions", json=sent(1), headers=rebound).status_code == 400
    own = {"origin": "http://127.0.0.1:8001"}
    assert client.post("/api/decisions", json=sent(1), headers=own).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_neither_hold_nor_see_photos(
    client: TestClient, store: Store, site: str
) -> None:
    who = {"who": "ann"}
    held = "SELECT COUNT(*) FROM holds"
    assert client.get("/api/next", params=who).status_code in (404, 405)  # as of a picture's tag
    for evil in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": site}):
        problem(client.post("/api/next", params=who, headers=evil), 403)
        problem(client.get("/api/photos/1/small.jpg", headers=evil), 403)
    assert store.connection.execute(held).fetchone()[0] == 0
    own = {"sec-fetch-site": "same-origin", "origin": "http://testserver"}
    assert client.post("/api/next", params=who, headers=own).status_code == 200
    assert store.connection.execute(held).fetchone()[0] > 0
    answer = client.get("/api/photos/1/small.jpg", headers={"sec-fetch-site": "same-origin"})
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}  # a link to the page
    assert client.get("/", headers=followed).status_code == 200


def test_bodies_and_numbers_are_limited(client: TestClient) -> None:
    long = {"who": "ann", "decisions": sent(1)["decisions"], "more": "x" * 1_000_000}
    assert "1,000,000 bytes" in problem(client.post("/api/decisions", json=long), 413)["detail"]
    pieces = (b" " * 60_000 for _ in range(20))
    problem(client.post("/api/decisions", content=pieces), 413)
    for number in (2**63, 10**30, -1):
        problem(client.post("/api/decisions", json=sent(number)), 422)
        problem(client.post("/api/decisions", json=sent(1, version=number)), 422)
        problem(client.get(f"/api/photos/{number}", params={"who": "ann"}), 422)
        problem(client.get(f"/api/photos/{number}/small.jpg"), 422)
        after = {"who": "ann", "after_score": 0.5, "after_id": number}
        problem(client.post("/api/next", params=after), 422)
    for score in ("nan", "inf", "-inf"):
        after = {"who": "ann", "after_score": score, "after_id": 1}
        assert client.post("/api/next", params=after).status_code in (200, 422)


def test_a_failing_database_is_said(client: TestClient, store: Store) -> None:
    store.connection.close()
    found = problem(client.post("/api/decisions", json=sent(1)), 503)
    assert "cannot use" in found["detail"]
