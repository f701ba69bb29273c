"""Crops of faces: where they lie, what is told, and that a model sees no difference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from maskwise.config import PreprocessSettings
from maskwise.data import crops
from maskwise.data.boxes import box_text, parse_box
from maskwise.data.crops import SHAPES, CropStep
from maskwise.data.derived import Outcome
from maskwise.data.faces import open_detector, roll
from maskwise.errors import PhotoError
from maskwise.transforms.decode import decode_photo
from maskwise.transforms.preprocess import OUTSIDE, Box, Preprocess
from people import FakeDetector, face_at, person, saved, tilted

Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user with an empty cache; the detectors opened are not kept for other tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    open_detector.cache_clear()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A detector that finds what the test says; crops are kept without loss."""
    fake = FakeDetector([])
    monkeypatch.setattr(crops, "open_detector", lambda *_: fake)
    monkeypatch.setattr(crops, "save_photo", save_png)
    return fake


def save_png(crop: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    crop.save(path.with_suffix(".png"))


def noise(width: int = 240, height: int = 320) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def cropped(
    photo: Image.Image, folder: Path, box: str | None = None, **options: Any
) -> tuple[Image.Image, Outcome]:
    """Return the crop of a photo, without loss, and the outcome."""
    row = {"photo": str(saved(photo, folder / "in.png")), "person": "p", "box": box}
    step = CropStep(**{"detector": "centerface", **options})
    outcome = step(row, "in", folder / "out")
    return decode_photo(folder / "out" / "images" / "in.png"), outcome


def frame(photo: Image.Image, box: Box, margin: float, **settings: int) -> Pixels:
    settings = {"height": 48, "width": 48, **settings}
    wanted = PreprocessSettings(margin=margin, detector="none", **settings)  # type: ignore[arg-type]
    return Preprocess.from_settings(wanted, (0, 0, 0), (1, 1, 1)).frame(photo, box)


# --- the geometry


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.8])
def test_crop_is_the_box_and_its_margin_as_large_as_in_the_photo(
    margin: float, told: FakeDetector, tmp_path: Path
) -> None:
    crop, outcome = cropped(noise(), tmp_path, "100 120 140 160", margin=margin)
    grow = round(margin * 40)
    expected = noise().crop((100 - grow, 120 - grow, 140 + grow, 160 + grow))
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(expected))
    (row,) = outcome.rows
    assert row["box"] == box_text((grow, grow, grow + 40, grow + 40))
    assert row["photo"] == "images/in.jpg"
    assert (outcome.note, told.asked) == ("", [])  # the box was given


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("box", ["100 120 140 160", "90.3 100.7 131.9 173.2", "60 100 131 121"])
@pytest.mark.parametrize("longest", [512, 50])
@pytest.mark.parametrize("align", [False, True])
def test_crop_has_its_shape_and_is_not_squashed(
    align: bool, longest: int, box: str, shape: str, told: FakeDetector, tmp_path: Path
) -> None:
    edges = parse_box(box)
    x, y = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    told.faces = [face_at(x, y, max(edges[2] - edges[0], edges[3] - edges[1]) * 0.9)]
    photo = Image.new("RGB", (240, 320))
    ImageDraw.Draw(photo).ellipse((x - 20, y - 20, x + 20, y + 20), fill="white")
    crop, outcome = cropped(photo, tmp_path, box, shape=shape, longest=longest, align=align)
    height, width = SHAPES[shape]
    assert crop.height == pytest.approx(crop.width * height / width, abs=1)
    assert max(crop.size) <= longest
    rows, columns = np.nonzero(np.asarray(crop)[:, :, 0] > 190)
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), abs=1)
    if max(crop.size) < longest:  # it was not scaled down
        assert np.ptp(columns) == pytest.approx(40, abs=1)
    left, top, right, bottom = parse_box(outcome.rows[0]["box"])
    assert columns.mean() + 0.5 == pytest.approx((left + right) / 2, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx((top + bottom) / 2, abs=0.6)
    ratio = (edges[3] - edges[1]) / (edges[2] - edges[0])
    assert (bottom - top) / (right - left) == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize(
    "box", ["0 0 40000 40000", "-1000000000 0 100 50", "9 9 9.0000001 9.0000001"]
)
def test_wild_boxes_take_no_memory(box: str, tmp_path: Path) -> None:
    row = {"photo": str(saved(noise(), tmp_path / "in.png")), "person": "p", "box": box}
    tiny = box.startswith("9")
    outcome = CropStep("centerface")(row, "in", tmp_path / "out")
    assert outcome.note == ("face too small: a crop of 1x1 pixels" if tiny else "")
    assert len(outcome.rows) == (not tiny)


def test_larger_crops_are_scaled_down_and_smaller_ones_never_up(
    told: FakeDetector, tmp_path: Path
) -> None:
    for longest, side in ((512, 104), (104, 104), (52, 52)):
        crop, outcome = cropped(noise(), tmp_path, "100 120 140 160", longest=longest)
        assert crop.size == (side, side)
        expected = np.array((32, 32, 72, 72)) * side / 104
        assert outcome.rows[0]["box"] == box_text(tuple(expected.tolist()))


def test_crop_over_the_border_is_grey_outside(told: FakeDetector, tmp_path: Path) -> None:
    crop, _ = cropped(noise(), tmp_path, "0 10 40 50", margin=0.5)
    pixels = np.asarray(crop)
    np.testing.assert_array_equal(pixels[10:, 20:], np.asarray(noise())[:70, :60])
    assert (pixels[:, :20] == OUTSIDE).all()
    assert (pixels[:10] == OUTSIDE).all()


@pytest.mark.parametrize(
    "place", ["100 120 140 160", "88.7 120.2 155.1 171.9", "91.5 99.9 130 165"]
)
@pytest.mark.parametrize("margin", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_sees_the_same_in_the_crop_as_in_the_photo(
    shape: str, margin: float, place: str, told: FakeDetector, tmp_path: Path
) -> None:
    crop, outcome = cropped(noise(), tmp_path, place, shape=shape, margin=0.8)
    height, width = SHAPES[shape]
    box = parse_box(outcome.rows[0]["box"])
    seen = frame(crop, box, margin, height=height, width=width)
    expected = frame(noise(), parse_box(place), margin, height=height, width=width)
    # the resampling rounds places to single precision, so some values may fall the other way
    apart = np.abs(seen.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.2
    if (shape, place) == ("square", "100 120 140 160"):  # nothing to round
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("place", ["100 120 140 160", "90.7 120.2 151.1 167.9", "101 99.9 130 150"])
@pytest.mark.parametrize("shape", SHAPES)
def test_crop_holds_all_of_its_margin(
    shape: str, place: str, told: FakeDetector, tmp_path: Path
) -> None:
    crop, outcome = cropped(noise(), tmp_path, place, shape=shape, margin=0.8)
    height, width = SHAPES[shape]
    box = parse_box(outcome.rows[0]["box"])
    seen = frame(crop, box, 0.8, height=height, width=width)
    expected = frame(noise(), parse_box(place), 0.8, height=height, width=width)
    assert np.abs(seen.astype(int) - expected)[3:-3, 3:-3].max() <= 1


def test_a_model_sees_the_same_where_the_face_is_found(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crops, "save_photo", save_png)
        crop, outcome = cropped(person(2), tmp_path)
    (face,) = open_detector("centerface").find(person(2))
    seen = frame(crop, parse_box(outcome.rows[0]["box"]), 0.2).astype(int)
    # boxes are written to a tenth of a pixel
    assert np.abs(seen - frame(person(2), face.box, 0.2)).max() <= 6


def test_align_turns_the_crop(told: FakeDetector, tmp_path: Path) -> None:
    for degrees in (20, -35):
        photo = tilted(person(0, roll=0.0), degrees)
        told.faces = open_detector("centerface").find(photo)
        for align, expected in ((False, degrees), (True, 0)):
            crop, outcome = cropped(photo, tmp_path, align=align)
            (found,) = open_detector("centerface").find(crop)
            assert roll(found) == pytest.approx(expected, abs=6)
            box = parse_box(outcome.rows[0]["box"])
            middle = np.add(box[:2], box[2:]) / 2
            np.testing.assert_allclose(middle, np.array(crop.size) / 2, atol=1)


# --- which face, and what is told


def test_a_photo_without_a_face_gives_its_centre_and_is_noted(
    told: FakeDetector, tmp_path: Path
) -> None:
    for shape, window in (("square", (0, 40, 240, 280)), ("3:4", (0, 0, 240, 320))):
        crop, outcome = cropped(noise(), tmp_path, shape=shape)
        np.testing.assert_array_equal(np.asarray(crop), np.asarray(noise().crop(window)))
        assert outcome.rows[0]["box"] is None
        assert outcome.note == "no face: the centre is taken"
        assert len(told.asked) == 1
        told.asked.clear()


def test_of_several_faces_one_is_taken_and_told(told: FakeDetector, tmp_path: Path) -> None:
    crowd = [face_at(20 + 35 * (n % 6), 30 + 60 * (n // 6), 20) for n in range(29)]
    told.faces = [*crowd, face_at(120, 170, 60)]
    crop, outcome = cropped(noise(), tmp_path, margin=0)
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(noise().crop((90, 140, 150, 200))))
    assert outcome.note == "30 faces: the largest central one is taken"
    assert len(outcome.rows) == 1
    crop, outcome = cropped(noise(), tmp_path, "10 20 30 40", margin=0, align=True)
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(noise().crop((10, 20, 30, 40))))
    assert outcome.note == ""  # the manifest says which one


def test_a_face_of_a_few_pixels_gives_a_note_only(told: FakeDetector, tmp_path: Path) -> None:
    step = CropStep("centerface", margin=0.5)
    row = {"photo": str(saved(noise(), tmp_path / "in.png")), "box": "10 10 16 16"}
    outcome = step(row, "in", tmp_path / "out")
    assert outcome == Outcome(note="face too small: a crop of 12x12 pixels")
    assert not (tmp_path / "out").exists()
    crop, _ = cropped(noise(), tmp_path, "10 10 40 40", margin=0.5)
    assert crop.size == (60, 60)


def test_a_box_outside_and_a_broken_photo_are_errors(told: FakeDetector, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"in\.png: .*lies outside"):
        cropped(noise(), tmp_path, "500 0 600 50")
    (tmp_path / "b.png").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"b\.png: not an image"):
        CropStep("centerface")({"photo": str(tmp_path / "b.png"), "box": None}, "b", tmp_path)
