"""From a photo to the model's frame: aspect, centre, padding, boxes and the cache key."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from maskwise.config import PreprocessSettings
from maskwise.errors import PhotoError
from maskwise.transforms.preprocess import OUTSIDE, Box, Preprocess

Pixels = NDArray[np.uint8]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


def preprocess(**settings: Any) -> Preprocess:
    settings = {"height": 64, "width": 64} | settings
    settings = {"detector": "none"} | settings
    return Preprocess.from_settings(PreprocessSettings(**settings), MEAN, STD)


def ramp(width: int, height: int) -> Pixels:
    """Return an image whose red is its column and whose green is its row."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.arange(width)
    pixels[:, :, 1] = np.arange(height)[:, None]
    return pixels


def disc(width: int, height: int, x: float, y: float, radius: float) -> Image.Image:
    image = Image.new("RGB", (width, height), "black")
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return image


def extent(frame: Pixels) -> tuple[int, int, float, float]:
    """Return width, height and centre (x, y) of the bright part of a frame."""
    rows, columns = np.nonzero(frame[:, :, 0] > 127)
    width, height = int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
    return width, height, float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


@pytest.mark.parametrize("fit", ["cover", "contain"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (200, 200), (333, 107)])
@pytest.mark.parametrize("frame_size", [(64, 64), (96, 48), (48, 96)])
def test_circle_stays_a_circle_in_the_middle(
    fit: str, size: tuple[int, int], frame_size: tuple[int, int]
) -> None:
    width, height = frame_size
    photo = disc(*size, size[0] / 2, size[1] / 2, 24)
    frame = preprocess(fit=fit, width=width, height=height).frame(photo)
    assert frame.shape == (height, width, 3)
    across, down, x, y = extent(frame)
    assert abs(across - down) <= 2
    ratios = (width / size[0], height / size[1])
    scale = max(ratios) if fit == "cover" else min(ratios)
    assert abs(across - min(48 * scale, width)) <= 2
    assert abs(x - width / 2) <= 1
    assert abs(y - height / 2) <= 1


def test_photo_of_the_frames_size_is_unchanged() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
    for fit in ("cover", "contain"):
        frame = preprocess(fit=fit, height=48, width=32).frame(photo)
        np.testing.assert_array_equal(frame, photo)


def test_cover_cuts_what_stands_over() -> None:
    frame = preprocess(fit="cover").frame(ramp(128, 64))
    np.testing.assert_array_equal(frame, ramp(128, 64)[:, 32:96])


def test_contain_pads_with_grey() -> None:
    frame = preprocess(fit="contain", height=64, width=128).frame(ramp(64, 64))
    np.testing.assert_array_equal(frame[:, 32:96], ramp(64, 64))
    assert (frame[:, :32] == OUTSIDE).all()
    assert (frame[:, 96:] == OUTSIDE).all()


def test_centre_keeps_the_middle() -> None:
    frame = preprocess(centre=0.5).frame(ramp(128, 128))
    np.testing.assert_array_equal(frame, ramp(128, 128)[32:96, 32:96])


def test_centre_does_not_touch_boxes() -> None:
    box = (10.0, 20.0, 74.0, 84.0)
    whole, half = (preprocess(centre=centre, margin=0) for centre in (1, 0.5))
    np.testing.assert_array_equal(whole.frame(ramp(128, 128), box), half.frame(ramp(128, 128), box))


def test_box_without_margin_is_cut_out_exactly() -> None:
    frame = preprocess(margin=0).frame(ramp(200, 150), (30, 40, 94, 104))
    np.testing.assert_array_equal(frame, ramp(200, 150)[40:104, 30:94])


def test_margin_grows_the_box_on_each_side() -> None:
    frame = preprocess(margin=0.5).frame(ramp(200, 150), (60, 50, 92, 82))
    np.testing.assert_array_equal(frame, ramp(200, 150)[34:98, 44:108])


@pytest.mark.parametrize("fit", ["cover", "contain"])
def test_long_box_stays_whole_and_is_widened_not_squashed(fit: str) -> None:
    frame = preprocess(fit=fit, margin=0).frame(ramp(200, 150), (90, 40, 106, 104))
    np.testing.assert_array_equal(frame, ramp(200, 150)[40:104, 66:130])
    centre = disc(200, 150, 98, 72, 8)
    across, down, x, y = extent(preprocess(fit=fit, margin=0.3).frame(centre, (82, 40, 114, 104)))
    assert abs(across - down) <= 1
    assert abs(x - 32) <= 1
    assert abs(y - 32) <= 1


def test_box_over_the_border_is_grey_outside() -> None:
    photo = ramp(100, 100)
    frame = preprocess(margin=0).frame(photo, (-20, -10, 44, 54))
    np.testing.assert_array_equal(frame[10:, 20:], photo[:54, :44])
    assert (frame[:, :20] == OUTSIDE).all()
    assert (frame[:10] == OUTSIDE).all()
    frame = preprocess(margin=0).frame(photo, (60, 70, 124, 134))
    np.testing.assert_array_equal(frame[:30, :40], photo[70:, 60:])
    assert (frame[30:] == OUTSIDE).all()
    assert (frame[:, 40:] == OUTSIDE).all()


def test_box_on_a_sliver_of_the_photo_works() -> None:
    for box in ((99.5, 10, 160, 70), (-60, -60, 0.5, 0.5), (-900, 40, 900, 41), (5, 5, 5.01, 5.01)):
        frame = preprocess().frame(ramp(100, 100), box)
        assert frame.shape == (64, 64, 3)


@pytest.mark.parametrize(
    "box", [(100, 0, 150, 50), (0, 80, 50, 120), (-50, 0, 0, 50), (0, -50, 50, 0)]
)
def test_box_outside_is_refused_with_the_photos_name(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "street.png"
    Image.new("RGB", (100, 80)).save(path)
    with pytest.raises(PhotoError, match=r"outside.*100x80") as raised:
        preprocess().frame(path, box)
    assert str(path) in str(raised.value)


def test_box_counts_in_pixels_of_the_upright_photo() -> None:
    upright = ramp(100, 80)
    stored = Image.fromarray(np.ascontiguousarray(upright[:, ::-1].transpose(1, 0, 2)))
    stored.getexif()[0x112] = 6
    frame = preprocess(margin=0).frame(stored, (30, 10, 94, 74))
    np.testing.assert_array_equal(frame, upright[10:74, 30:94])


def test_shrinking_averages_instead_of_picking() -> None:
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    assert abs(preprocess().frame(board).astype(int) - 127).max() <= 2


def test_same_photo_same_pixels_and_settings_survive_json() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    first = preprocess(height=50, width=40, centre=0.9)
    again = Preprocess.model_validate_json(first.model_dump_json())
    assert again == first
    assert again.frame_key == first.frame_key
    np.testing.assert_array_equal(first.frame(photo), again.frame(photo))


def test_mean_and_std_of_the_settings_win_over_the_backbones() -> None:
    assert preprocess().mean == MEAN
    assert preprocess(mean=(0.1, 0.1, 0.1)).mean == (0.1, 0.1, 0.1)
    assert preprocess(std=(0.3, 0.3, 0.3)).std == (0.3, 0.3, 0.3)


def test_frame_key_changes_with_whatever_changes_pixels() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"height": 65}, {"width": 65}, {"fit": "contain"}, {"centre": 0.9}, {"margin": 0.5},
        {"edge": "slide"}, {"spare": 2}
    ]  # fmt: skip
    assert len({preprocess(**change).frame_key for change in changes}) == len(changes)


def test_frame_key_ignores_what_leaves_pixels_alone() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"mean": (0.1, 0.2, 0.3)}, {"std": (0.3, 0.3, 0.3)}, {"centre": 1}, {"height": 64}
    ]  # fmt: skip
    assert len({preprocess(**change).frame_key for change in changes}) == 1


def test_a_sliding_crop_takes_the_margin_that_the_photo_has() -> None:
    photo = ramp(100, 120)
    slide = preprocess(margin=0.5, edge="slide")
    # all of the margin is there: the crop is that which pads
    inside = (40.0, 50.0, 60.0, 70.0)
    padded = preprocess(margin=0.5).frame(Image.fromarray(photo), inside)
    assert np.array_equal(slide.frame(Image.fromarray(photo), inside), padded)
    # near an edge it slides: nothing is grey, and as much is shown
    corner = slide.frame(Image.fromarray(photo), (2.0, 5.0, 22.0, 25.0))
    assert corner[0, 0, :2].tolist() == [0, 0]
    assert corner[-1, -1, 0] == pytest.approx(39, abs=1)
    # a large face: the crop is as large as the photo allows
    large = slide.frame(Image.fromarray(photo), (10.0, 20.0, 90.0, 100.0))
    assert large[0, 0, 0] == pytest.approx(0, abs=1)
    assert large[-1, -1, 0] == pytest.approx(99, abs=1)
    assert large[0, 0, 1] == pytest.approx(10, abs=1)
    assert not (large == OUTSIDE).all(axis=2).any()


def test_a_sliding_crop_keeps_a_face_whole_that_no_crop_inside_could() -> None:
    photo = Image.fromarray(ramp(60, 200))
    face = (5.0, 40.0, 55.0, 160.0)  # twice as high as the photo is wide
    frame = preprocess(margin=0.2, edge="slide").frame(photo, face)
    rows = frame[:, 32, 1]
    assert rows[0] <= 41
    assert rows[-1] >= 158
    assert (frame[:, 0] == OUTSIDE).all()


def test_a_sliding_crop_with_spare_pixels_keeps_the_face_in_its_middle() -> None:
    photo = Image.fromarray(ramp(100, 100))
    frame = preprocess(height=32, width=32, margin=0.1, edge="slide", spare=16).frame(
        photo, (0.0, 0.0, 40.0, 40.0)
    )
    middle = frame[16:-16, 16:-16]
    assert middle[0, 0, :2].tolist() == [0, 0]
    assert middle[-1, -1, 0] >= 40
