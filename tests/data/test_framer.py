"""One framer: the face that is found, turned upright, or given; and what it says of errors."""

import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from maskwise.config import PreprocessSettings
from maskwise.data import framing
from maskwise.data.faces import choose_face, open_detector, roll
from maskwise.data.frames import PhotoRef
from maskwise.data.framing import Framer, face_of
from maskwise.errors import PhotoError
from maskwise.transforms.preprocess import Preprocess
from people import FakeDetector, face_at, person, saved, scenery, tilted


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """The detectors that the tests open are not kept for other tests."""
    yield
    open_detector.cache_clear()


def framer(detector: str = "centerface", **settings: Any) -> Framer:
    wanted = PreprocessSettings(
        **{"height": 96, "width": 96, "margin": 0.5, "detector": detector, **settings}
    )
    return Framer(Preprocess.from_settings(wanted, (0, 0, 0), (1, 1, 1)))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A detector that finds what the test says."""
    fake = FakeDetector([])
    monkeypatch.setattr(framing, "open_detector", lambda *_: fake)
    return fake


def test_framer_travels_without_its_detector() -> None:
    first = framer()
    before = first.frame(person(0))
    content = pickle.dumps(first)
    assert len(content) < 2000
    again = pickle.loads(content)
    assert again == first
    np.testing.assert_array_equal(again.frame(person(0)).pixels, before.pixels)


@pytest.mark.parametrize("number", [0, 4, 7])
@pytest.mark.parametrize("degrees", [20, -20])
def test_align_turns_a_tilted_face_upright(number: int, degrees: float) -> None:
    upright = person(number, roll=0.0)
    turned = tilted(upright, degrees)
    rolls, differences = [], []
    for align in (False, True):
        first, second = (framer(align=align).frame(photo).pixels for photo in (upright, turned))
        face = choose_face(open_detector("centerface").find(Image.fromarray(second)), (96, 96))
        assert face
        rolls.append(roll(face))
        apart = np.abs(first.astype(int) - second)[20:76, 20:76]
        differences.append(apart.mean())
    assert rolls[0] == pytest.approx(degrees, abs=6)
    assert rolls[1] == pytest.approx(0, abs=6)
    assert differences[1] < 0.7 * differences[0]


def test_align_gives_the_upright_frame(told: FakeDetector) -> None:
    photo = person(3).resize((288, 384))
    face = face_at(144, 192, 120)
    told.faces = [face]
    upright = framer(align=True).frame(photo).pixels
    for degrees in (20.0, 160.0, -90.0):
        angle = math.radians(degrees)
        turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
        points = (np.array(face.points) - (144, 192)) @ turn.T + (144, 192)
        told.faces = [replace(face, points=tuple(map(tuple, points.tolist())))]  # type: ignore[arg-type]
        frame = framer(align=True).frame(tilted(photo, degrees)).pixels
        assert np.abs(frame.astype(int) - upright).mean() < 3
        frame = framer().frame(tilted(photo, degrees)).pixels
        assert np.abs(frame.astype(int) - upright).mean() > 12


def test_points_without_sense_turn_nothing(told: FakeDetector) -> None:
    face = face_at(96, 128, 90)
    right_eye, left_eye, nose, right_mouth, left_mouth = face.points
    mirrored = (left_eye, right_eye, nose, left_mouth, right_mouth)
    told.faces = [replace(face, points=mirrored)]
    assert abs(roll(told.faces[0])) > 90
    frame = framer(align=True).frame(person(0))
    np.testing.assert_array_equal(frame.pixels, framer("none").frame(person(0), face.box).pixels)
    assert (frame.box, frame.missed) == (face.box, False)


def test_given_box_is_the_face_and_the_detector_adds_its_tilt_only(told: FakeDetector) -> None:
    box = (50.0, 80.0, 130.0, 170.0)
    told.faces = [face_at(96, 128, 300), face_at(95, 127, 80)]
    plain = framer("none").frame(person(0), box)
    for align, asked in ((False, 0), (True, 1)):
        frame = framer(align=align).frame(person(0), box)
        assert len(told.asked) == asked
        assert (frame.box, frame.missed) == (box, False)
        np.testing.assert_array_equal(frame.pixels, plain.pixels)
    told.faces = []
    assert framer(align=True).frame(person(0), box).missed is False


def test_face_of_a_box_is_the_one_that_overlaps() -> None:
    large, small = face_at(100, 100, 100), face_at(300, 60, 40)
    assert face_of([large, small], (400, 300), None) is large
    assert face_of([large, small], (400, 300), (285, 45, 320, 85)) is small
    assert face_of([large, small], (400, 300), (310, 70, 350, 110)) is None  # a corner of it
    assert face_of([large], (400, 300), (90, 90, 110, 110)) is None  # a wart on it
    assert face_of([], (400, 300), None) is face_of([], (400, 300), large.box) is None


def test_no_face_gives_the_centre_and_is_told_where_one_was_looked_for(told: FakeDetector) -> None:
    looked, plain = framer().frame(scenery(1)), framer("none").frame(scenery(1))
    np.testing.assert_array_equal(looked.pixels, plain.pixels)
    assert (looked.box, looked.missed) == (None, True)
    assert (plain.box, plain.missed) == (None, False)


class TestErrors:
    PHOTOS: ClassVar = {"broken": b"no photo", "empty": b""}

    @pytest.mark.parametrize("kind", PHOTOS)
    def test_photos_are_named(self, kind: str, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(self.PHOTOS[kind])
        with pytest.raises(PhotoError, match=str(tmp_path / "a.jpg")):
            framer().frame(tmp_path / "a.jpg")
        with pytest.raises(PhotoError, match=r"^sent by Ann: "):
            framer().frame(self.PHOTOS[kind], name="sent by Ann")

    def test_box_outside_is_told(self, told: FakeDetector) -> None:
        with pytest.raises(PhotoError, match=r"^Ann: .*lies outside the photo of 192x256"):
            framer(align=True).frame(person(0), (500, 0, 600, 50), "Ann")

    def test_unresolved_detector_is_refused(self) -> None:
        with pytest.raises(ValueError, match="detector"):
            framer("auto")


def test_photo_ref_tells_photo_and_box() -> None:
    assert str(PhotoRef("a.jpg", (1, 2.5, 3, 4))) == "a.jpg [1 2.5 3 4]"


@pytest.mark.parametrize("folder", ["the photo", "the photo:"])
def test_errors_name_the_photo_once(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "x.jpg"
    path.write_bytes(b"no photo")
    for photo, name in ((path, None), (path.read_bytes(), str(path)), (path.read_bytes(), None)):
        with pytest.raises(PhotoError) as error:
            framer("none").frame(photo, name=name)
        called = path if photo == path or name else "the photo"
        assert str(error.value).startswith(f"{called}: not an image")
    with pytest.raises(PhotoError, match=r"x.png: the box .* lies outside"):
        framer("none").frame(saved(person(0), tmp_path / "x.png"), (900, 900, 990, 990))


def test_align_without_a_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="detector=none finds no eyes"):
        framer("none", align=True)
