"""Masks on faces that are hard to use: none, many, cut, upset, tiny, of the side, without sense."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwise.data import masks
from maskwise.data.boxes import parse_box
from maskwise.data.derived import Outcome
from maskwise.data.faces import Face
from maskwise.data.masks import MaskStep
from maskwise.errors import PhotoError
from maskwise.transforms.decode import decode_photo
from people import FakeDetector, face_at, files, person, saved


def row_of(photo: Image.Image, folder: Path, box: str | None = None) -> dict[str, Any]:
    path = saved(photo, folder / "in.png")
    return {"photo": str(path), "person": "p", "gender": "male", "age": 30, "box": box}


def outcome_of(
    faces: list[Face], folder: Path, monkeypatch: pytest.MonkeyPatch, box: str | None = None
) -> Outcome:
    """Return what becomes of a photo in which a detector finds these faces."""
    monkeypatch.setattr(masks, "open_detector", lambda *_: FakeDetector(faces))
    step = MaskStep("fake", wear=2, incorrect=1)
    return step(row_of(person(0), folder, box), "a/0", folder / "out")


def pair(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the bare photo and one with a mask."""
    bare, masked = (decode_photo(folder / "out/images/a" / f"{name}.jpg")
                    for name in ("normal", "mask1"))  # fmt: skip
    return np.asarray(bare).astype(int), np.asarray(masked).astype(int)


@pytest.mark.parametrize("counts", [(1, 0, 0), (0, 3, 0), (0, 0, 2), (12, 1, 0)])
def test_any_counts_are_made(
    counts: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "open_detector", lambda *_: FakeDetector([face_at(48, 64, 45)]))
    row = row_of(person(0).resize((96, 128)), tmp_path)
    step = MaskStep("fake", *counts)
    for number in range(2):  # two photos of one person, whose files must not meet
        outcome = step(row, f"000001_male_Unknown_30/{number}", tmp_path / "out")
        assert tuple(Counter(made["mask"] for made in outcome.rows)[state]
                     for state in ("wear", "incorrect", "not_wear")) == counts  # fmt: skip
    assert len(files(tmp_path / "out")) == 2 * sum(counts)


FACE = face_at(96, 128, 90)
RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH = FACE.points
SENSELESS = {
    "eyes below the mouth": (RIGHT_MOUTH, LEFT_MOUTH, NOSE, RIGHT_EYE, LEFT_EYE),
    "left is right": (LEFT_EYE, RIGHT_EYE, NOSE, LEFT_MOUTH, RIGHT_MOUTH),
    "one spot": (NOSE, NOSE, NOSE, NOSE, NOSE),
    "far away": ((-900, 90), LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH),
    "no numbers": ((math.nan, 90), LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH),
}


@pytest.mark.parametrize("points", SENSELESS.values(), ids=SENSELESS)
def test_points_that_make_no_sense_are_noted(
    points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = outcome_of([replace(FACE, points=points)], tmp_path, monkeypatch)
    assert outcome.note.startswith("points that make no sense: ")
    assert outcome.rows == []
    assert not (tmp_path / "out").exists()


def test_no_face_and_a_face_of_a_few_pixels_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome_of([], tmp_path, monkeypatch) == Outcome(note="no face")
    small = outcome_of([face_at(96, 128, 15)], tmp_path, monkeypatch)
    assert small == Outcome(note="face too small: 15 pixels")
    beside = outcome_of([FACE], tmp_path, monkeypatch, box="0 0 30 30")
    assert beside == Outcome(note="no face")  # where the manifest says it is
    assert not (tmp_path / "out").exists()
    assert len(outcome_of([face_at(96, 128, 30)], tmp_path, monkeypatch).rows) == 4


def test_of_thirty_faces_one_gets_the_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = [face_at(15 + 32 * (n % 6), 20 + 50 * (n // 6), 24) for n in range(29)]
    outcome = outcome_of([*crowd, face_at(96, 128, 60)], tmp_path, monkeypatch)
    assert "30 faces" in outcome.note
    assert len(outcome.rows) == 4
    bare, masked = pair(tmp_path)
    rows, columns = np.nonzero(np.abs(masked - bare).mean(axis=2) > 30)
    assert (columns.min(), columns.max()) > (96 - 50, 96)
    assert columns.max() < 96 + 50
    assert rows.min() > 128 - 25


def test_a_given_box_says_which_face_and_nothing_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = [face_at(120, 150, 100), face_at(40, 50, 50)]
    outcome = outcome_of(faces, tmp_path, monkeypatch, box="16 26 64 76")
    assert outcome.note == ""
    bare, masked = pair(tmp_path)
    rows, columns = np.nonzero(np.abs(masked - bare).mean(axis=2) > 30)
    assert columns.mean() == pytest.approx(40, abs=12)
    assert rows.mean() < 90
    for made in outcome.rows:
        assert made["box"] == "16 26 64 76"


def test_an_upside_down_face_gets_its_mask_on_its_own_lower_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upset = replace(FACE, points=tuple((192 - x, 256 - y) for x, y in FACE.points))  # type: ignore[arg-type]
    for face, above in ((FACE, False), (upset, True)):
        outcome = outcome_of([face], tmp_path, monkeypatch)
        assert outcome.note == ("the face stands on its head" if above else "")
        assert [row["mask"] for row in outcome.rows].count("wear") == 2
        bare, masked = pair(tmp_path)
        rows, _ = np.nonzero(np.abs(masked - bare).mean(axis=2) > 30)
        assert (np.median(rows) < 128) == above


@dataclass
class UprightDetector(FakeDetector):
    """Gives every face the points of an upright one, and a photo turned round another score."""

    turned: list[Face] = field(default_factory=list)

    def find(self, image: Image.Image) -> list[Face]:
        self.asked.append(image)
        return self.faces if len(self.asked) == 1 else self.turned


@pytest.mark.parametrize(
    ("score", "turned", "upright", "above"),
    [
        (0.9, [face_at(102, 128, 90, 0.95)], True, True),
        (0.9, [face_at(102, 128, 90, 0.91)], True, False),  # not clearly
        (0.7, [face_at(102, 128, 90, 0.85)], True, False),  # not surely
        (0.9, [face_at(20, 30, 40, 0.95)], True, False),  # another face
        (0.9, [], True, False),
        (0.9, [face_at(102, 128, 90, 0.95)], False, False),  # its points are not upright
    ],
)
def test_a_face_that_scores_higher_turned_round_stands_on_its_head(
    score: float,
    turned: list[Face],
    upright: bool,
    above: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = UprightDetector([face_at(90, 128, 90, score)], upright=upright, turned=turned)
    monkeypatch.setattr(masks, "open_detector", lambda *_: fake)
    photo = person(0)
    outcome = MaskStep("fake", 1, 1)(row_of(photo, tmp_path), "a/0", tmp_path / "out")
    assert outcome.note == ("the face stands on its head" if above else "")
    bare, masked = pair(tmp_path)
    rows, columns = np.nonzero(np.abs(masked - bare).mean(axis=2) > 30)
    assert (np.median(rows) < 128) == above
    assert np.median(columns) == pytest.approx(90, abs=8)
    if upright:
        assert np.array_equal(fake.asked[1], np.asarray(photo)[::-1, ::-1])


@pytest.mark.parametrize(("x", "y"), [(10, 128), (190, 120), (96, 235), (96, 20), (185, 240)])
def test_a_face_cut_by_the_border_gets_what_fits(
    x: float, y: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = outcome_of([face_at(x, y, 90)], tmp_path, monkeypatch)
    made = Counter(row["mask"] for row in outcome.rows)
    assert made["not_wear"] == 1
    missing = 3 - made["wear"] - made["incorrect"]
    note = f"{missing} mask(s) would lie outside the photo" if missing else ""
    assert outcome.note == note
    sizes = {decode_photo(tmp_path / "out" / row["photo"]).size for row in outcome.rows}
    assert len(sizes) == 1
    for row in outcome.rows:
        assert row["drawn"]["visible"] == "" or row["drawn"]["visible"] >= 0.35


def test_a_profile_gets_its_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = ((88, 105), (97, 104), (126, 125), (100, 150), (108, 149))
    outcome = outcome_of([replace(FACE, points=points)], tmp_path, monkeypatch)
    assert len(outcome.rows) == 4
    assert outcome.rows[0]["drawn"]["yaw"] > 0.5


def test_a_photo_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    for name, words in (("b.jpg", "not an image"), ("c.jpg", "no such file")):
        row = {"photo": str(tmp_path / name), "box": None}
        with pytest.raises(PhotoError, match=rf"{name}: {words}"):
            MaskStep("centerface")(row, "a/0", tmp_path / "out")


def test_a_given_box_moves_with_the_room_that_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = outcome_of([face_at(20, 100, 80)], tmp_path, monkeypatch, box="0 60 60 140")
    original = np.asarray(person(0)).astype(int)
    for row in outcome.rows:
        left, top, right, bottom = parse_box(row["box"])
        assert (right - left, bottom - top) == (60, 80)
        assert left > 0
        pixels = np.asarray(decode_photo(tmp_path / "out" / row["photo"])).astype(int)
        forehead = pixels[int(top) : int(top) + 12, int(left) + 20 : int(left) + 50]
        assert np.abs(forehead - original[60:72, 20:50]).mean() < 8
