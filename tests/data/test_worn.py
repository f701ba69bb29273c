"""Drawn masks follow the photo: the pose of the head, its light, colours, blur and grain."""

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from maskwise.data.faces import Face, points_problem
from maskwise.data.worn import render
from maskwise.data.worn.head import MOUTH, NOSE_TIP, Head, fit_head, surface
from maskwise.data.worn.light import measure_light
from maskwise.data.worn.looks import KINDS, MaskLook, plan_look
from maskwise.data.worn.render import Drawing, draw_mask
from maskwise.data.worn.room import with_room
from maskwise.labels import MaskState

Pixels = NDArray[np.uint8]
SCALE: Final = 32.0
HEAD: Final = Head(80.0, 80.0, SCALE, roll=0.0, yaw=0.0, pitch=0.0, wide=1.0, long=1.0)
MIDDLE: Final = (slice(112, 118), slice(70, 90))
"""Rows and columns of the cloth before the mouth."""


def photo(level: float = 1.0, seed: int | None = None) -> Pixels:
    """Return a face (160x200) without shape before a wall: skin, eyes; bright as `level` says."""
    rows, columns = np.indices((200, 160))
    pixels = np.full((200, 160, 3), (90.0, 110.0, 140.0))
    pixels[np.hypot((columns - 80) / 1.2, (rows - 100) / 1.6) < SCALE] = 205, 160, 132
    for x in (64, 96):
        pixels[np.hypot(columns - x, (rows - 80) * 1.6) < 6] = 40, 30, 30
    if seed is not None:
        pixels += np.random.default_rng(seed).normal(0, 9, pixels.shape[:2])[..., None]
    return np.clip(pixels * level, 0, 255).astype(np.uint8)


def look(seed: int = 0, state: MaskState = MaskState.WEAR, **changes: Any) -> MaskLook:
    plain: dict[str, Any] = {
        "colour": (0.5, 0.5, 0.5),
        "accent": (0.5, 0.5, 0.5),
        "pattern": "plain",
    }
    return replace(plan_look(np.random.default_rng(seed), state), **{**plain, **changes})


def drawn(pixels: Pixels, head: Head = HEAD, **changes: Any) -> NDArray[np.float64]:
    return draw_mask(pixels, head, look(kind="surgical", crumple=0.0, **changes)).pixels.astype(
        float
    )


# --- the pose


def seen_face(head: Head) -> Face:
    """Return what an ideal detector says of a head."""
    nose = NOSE_TIP * (0.5 + 0.5 * head.long)
    mouth = MOUTH * head.long
    marks = [(-0.5, 0, 0), (0.5, 0, 0), (0, nose, 0.5), (-0.4, mouth, 0.16), (0.4, mouth, 0.16)]
    points = head.project(np.array(marks, dtype=float))[:, :2]
    turn, level = np.meshgrid(np.linspace(-1.5, 1.5, 9), [-1.0, 0.0, 0.8, 1.4, 1.85])
    level = np.where(level > 0, level * head.long, level)
    outline = head.project(surface(turn, level, head.long, nose=False)).reshape(-1, 3)[:, :2]
    box = (*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist())
    return Face(box, 0.9, tuple(map(tuple, points.tolist())))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pose",
    [
        {},
        *({"yaw": yaw} for yaw in (-1.0, -0.5, 0.3, 0.8)),
        *({"roll": roll, "yaw": 0.3} for roll in (0.2, -0.5, 1.5, 3.0, -2.0)),
        *({"pitch": pitch, "yaw": 0.2} for pitch in (-0.2, 0.2)),
        *({"long": long} for long in (0.87, 1.13)),
        *({"scale": scale, "x": 3 * scale, "y": 2 * scale} for scale in (8.0, 300.0)),
    ],
    ids=str,
)
def test_head_is_found_from_five_points_and_the_box(pose: dict[str, float]) -> None:
    head = replace(HEAD, **pose)
    face = seen_face(head)
    assert points_problem(face) == ""
    found = fit_head(face)
    assert found.scale == pytest.approx(head.scale, rel=0.06)
    assert math.remainder(found.roll - head.roll, math.tau) == pytest.approx(0, abs=0.03)
    assert found.yaw == pytest.approx(head.yaw, abs=0.05)
    assert found.pitch == pytest.approx(head.pitch, abs=0.12)
    assert found.long == pytest.approx(head.long, abs=0.08)
    assert (found.x, found.y) == pytest.approx((head.x, head.y), abs=0.04 * head.scale)


@pytest.mark.parametrize("roll", [0.0, 0.4])
def test_a_low_nose_lowers_the_mask_that_must_cover_or_free_it(roll: float) -> None:
    face = seen_face(replace(HEAD, roll=roll))
    down = 0.08 * SCALE
    x, y = face.points[2]
    moved = (x - down * math.sin(roll), y + down * math.cos(roll))
    lower = replace(face, points=(*face.points[:2], moved, *face.points[3:]))
    low = fit_head(lower)
    assert low.nose > fit_head(face).nose + 0.015
    tip = low.project(np.array([0.0, low.nose * low.long, 0.5]))[:2]
    assert tip == pytest.approx(np.array(moved), abs=0.02 * SCALE)
    head = replace(HEAD, nose=NOSE_TIP + 0.1)
    for place in ("worn", "nose out"):
        edges = [
            np.abs(drawn(photo(), of, place=place) - photo()).sum(axis=2)[:, 80].argmax()
            for of in (HEAD, head)
        ]
        assert edges[1] - edges[0] == pytest.approx(0.1 * SCALE, abs=2)


@pytest.mark.parametrize("degrees", [0, 180, 90])
@pytest.mark.parametrize("apart", [(0.12, 0.05), (0.02, 0.02)])
def test_a_profile_gives_a_turned_head(apart: tuple[float, float], degrees: float) -> None:
    """The points of a profile lie nearly on a line, with the nose beside the eyes."""
    eyes, mouth = apart
    places = [(-eyes, 0), (eyes, 0), (0.45, 0.6), (0.15 - mouth, 1.05), (0.15 + mouth, 1.05)]
    angle = math.radians(degrees)
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    points = np.array(places) @ turn * 40 + 100
    box = (*(points.min(axis=0) - 30).tolist(), *(points.max(axis=0) + 30).tolist())
    head = fit_head(Face(box, 0.9, tuple(map(tuple, points.tolist()))))  # type: ignore[arg-type]
    assert all(math.isfinite(value) for value in vars(head).values())
    assert head.yaw > 0.5
    assert 20 < head.scale < 70
    drawing = draw_mask(photo(), replace(head, x=80, y=80), look())
    assert drawing.area > 0.2


def test_the_mirrored_photo_gets_the_mirrored_mask() -> None:
    head = replace(HEAD, x=70.0, yaw=0.35, roll=0.15)
    other = replace(head, x=160 - head.x, yaw=-head.yaw, roll=-head.roll)
    skin = np.full((200, 160, 3), 200, np.uint8)
    black: dict[str, Any] = {"colour": (0.01,) * 3, "strap": (0.01,) * 3, "accent": (0.01,) * 3}
    for seed in range(6):
        first = look(seed, MaskState.INCORRECT if seed % 2 else MaskState.WEAR, **black)
        second = replace(first, side=-first.side, tilt=-first.tilt)
        covers = [
            draw_mask(skin, of, as_).pixels[..., 0] < 100
            for of, as_ in ((head, first), (other, second))
        ]
        both, either = (operation(covers[0], covers[1][:, ::-1]).sum() for operation in
                        (np.logical_and, np.logical_or))  # fmt: skip
        assert both / either > 0.9, first


def test_a_turned_head_turns_its_mask() -> None:
    """A mask drawn upside down is the upright one, turned, on a photo without light."""
    skin = np.full((200, 160, 3), 200, np.uint8)
    black: dict[str, Any] = {"colour": (0.01,) * 3, "strap": (0.01,) * 3}
    upright = draw_mask(skin, HEAD, look(kind="kf94", **black)).pixels[..., 0] < 100
    turned = replace(HEAD, x=160 - HEAD.x, y=200 - HEAD.y, roll=math.pi)
    upset = draw_mask(skin, turned, look(kind="kf94", **black)).pixels[::-1, ::-1, 0] < 100
    assert (upright & upset).sum() / (upright | upset).sum() > 0.9


# --- the photo


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_the_photo_stays_as_it_is(kind: str) -> None:
    before = photo(seed=1)
    given = before.copy()
    for seed in range(3):
        result = draw_mask(before, HEAD, look(seed, kind=kind)).pixels
        changed = (result != before).any(axis=2)
        rows, columns = np.nonzero(changed)
        assert columns.min() > 80 - 1.6 * SCALE
        assert columns.max() < 80 + 1.6 * SCALE
        assert rows.min() > 80 - 0.7 * SCALE
        assert not changed[:72, 60:100].any()  # between and above the eyes
        np.testing.assert_array_equal(before, given)


def test_every_kind_gives_cloth_and_the_same_look_the_same_pixels() -> None:
    for kind in KINDS:
        first, second = (draw_mask(photo(), HEAD, look(5, kind=kind)) for _ in range(2))
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.area > 1.5
        assert 0.5 < first.visible < 1.3  # cloth and straps as a share of the cloth


def test_a_mask_outside_the_photo_draws_nothing() -> None:
    drawing = draw_mask(photo(), replace(HEAD, y=600.0), look())
    assert drawing.visible == drawing.area == 0
    np.testing.assert_array_equal(drawing.pixels, photo())
    half: Drawing = draw_mask(photo(), replace(HEAD, y=160.0), look())
    assert 0 < half.visible < 0.8
    assert 0 < half.area < draw_mask(photo(), HEAD, look()).area


def test_a_grey_photo_stays_grey_and_a_coloured_one_gets_a_coloured_mask() -> None:
    grey = np.repeat(photo(seed=2).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    blue: dict[str, Any] = {"colour": (0.1, 0.3, 0.8), "strap": (0.8, 0.2, 0.2)}
    result = drawn(grey, **blue)
    assert np.ptp(result, axis=2).max() == 0
    assert (result != grey).any()
    red, _, shown = drawn(photo(), **blue)[MIDDLE].mean(axis=(0, 1))
    assert shown > red + 40


def test_brightness_of_the_mask_follows_the_photo() -> None:
    means = [drawn(photo(level))[MIDDLE].mean() for level in (0.25, 0.5, 1.0)]
    assert means[0] < 0.7 * means[1] < 0.7 * means[2]
    white, black = (drawn(photo(), colour=(value,) * 3)[MIDDLE].mean() for value in (0.8, 0.02))
    assert black < 70 < 140 < white


@pytest.mark.parametrize("side", [-1, 1])
def test_light_from_a_side_brightens_that_side_of_the_mask(side: int) -> None:
    across = side * (np.arange(160) - 80) / SCALE
    lit = np.clip(photo() * (0.7 * np.exp(0.4 * across))[None, :, None], 0, 255).astype(np.uint8)
    mask = drawn(lit, colour=(0.4, 0.4, 0.4), tilt=0.0)[112:124]
    left, right = mask[:, 56:70].mean(), mask[:, 90:104].mean()
    bright, dark = (left, right) if side < 0 else (right, left)
    assert bright > 1.1 * dark
    even = drawn(photo(), colour=(0.4, 0.4, 0.4), tilt=0.0)[112:124]
    assert even[:, 56:70].mean() == pytest.approx(even[:, 90:104].mean(), rel=0.08)


def test_a_blurred_photo_gets_a_softer_edge() -> None:
    steeps = []
    for sigma in (0.0, 1.5, 3.0):
        soft = gaussian_filter(photo().astype(float), (sigma, sigma, 0)).astype(np.uint8)
        rows = drawn(soft, colour=(0.02,) * 3)[85:130, 76:84].mean(axis=(1, 2))
        steeps.append(np.abs(np.diff(rows)).max())
    assert steeps[1] < 0.75 * steeps[0]
    assert steeps[2] < 0.8 * steeps[1]


def test_a_grainy_photo_gets_a_grainy_mask() -> None:
    grains = []
    for seed in (None, 3):
        mask = drawn(photo(0.8, seed), colour=(0.02,) * 3)[MIDDLE].mean(axis=2)
        grains.append(float(np.std(mask - gaussian_filter(mask, 2))))
    assert grains[1] > 1.5 * grains[0]


# --- room


@pytest.mark.parametrize(
    ("place", "sides"),
    [((80, 150), "below"), ((8, 80), "left"), ((155, 80), "right"), ((10, 165), "left below")],
)
def test_room_is_added_where_the_face_meets_the_border(place: tuple[int, int], sides: str) -> None:
    before = photo(seed=4)
    height, width = before.shape[:2]
    head = replace(HEAD, x=float(place[0]), y=float(place[1]))
    larger, left, top = with_room(before, head)
    found = larger[top : top + height, left : left + width]
    np.testing.assert_array_equal(found, before)
    added = {"left": left, "above": top, "right": larger.shape[1] - width - left,
             "below": larger.shape[0] - height - top}  # fmt: skip
    assert {side for side, pixels in added.items() if pixels} == set(sides.split())
    assert max(added["left"], added["right"]) <= 0.3 * width
    assert added["below"] <= 0.3 * height
    assert larger.dtype == np.uint8


def test_no_room_is_added_where_there_is_enough() -> None:
    before = photo()
    larger, left, top = with_room(before, replace(HEAD, y=70.0))
    assert (left, top) == (0, 0)
    np.testing.assert_array_equal(larger, before)


def test_room_goes_on_like_the_photo() -> None:
    before = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 160, axis=1)[..., None].repeat(3, 2)
    larger, _, _ = with_room(before, replace(HEAD, y=150.0))
    below = larger[200:, 80, 0].astype(int)
    assert abs(below[0] - 199) < 6  # no step at the border
    assert np.abs(np.diff(below)).max() <= 4


def test_a_large_mask_of_which_rounding_leaves_no_row_draws_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is drawn in a smaller copy, whose last row lies below the photo's."""
    tall, large = np.full((341, 200, 3), 120, np.uint8), replace(HEAD, scale=350.0)
    last = render._Window(0, 146, 80, 147)  # 146 / 150 * 350 = 340.7
    monkeypatch.setattr(render._Window, "around", lambda *_: last)
    drawing = draw_mask(tall, large, look(), measure_light(photo(), HEAD))
    assert drawing.visible == drawing.area == 0
    np.testing.assert_array_equal(drawing.pixels, tall)


@pytest.mark.parametrize("place", ["worn", "under chin"])
def test_a_large_face_gets_the_mask_of_a_small_one(place: str) -> None:
    small = photo()
    large = np.asarray(Image.fromarray(small).resize((1600, 2000), Image.Resampling.BICUBIC))
    head = replace(HEAD, x=800.0, y=800.0, scale=10 * SCALE)
    chosen = look(kind="surgical", place=place)
    one, other = draw_mask(small, HEAD, chosen), draw_mask(large, head, chosen)
    assert other.area == pytest.approx(one.area, rel=0.05)
    assert other.visible == pytest.approx(one.visible, rel=0.05)
    reduced = np.asarray(Image.fromarray(other.pixels).resize((160, 200), Image.Resampling.BOX))
    assert np.abs(reduced.astype(float) - one.pixels).mean() < 2.5
    np.testing.assert_array_equal(other.pixels[:500], large[:500])
