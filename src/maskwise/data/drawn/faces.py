"""The head and the features of a drawn face, with what age leaves in it."""

from typing import Final

import numpy as np

from maskwise.data.drawn.canvas import (
    BLACK,
    NEUTRAL,
    WHITE,
    Canvas,
    Colour,
    Points,
    closed,
    ellipse,
    flipped,
    mirrored,
    mix,
    opened,
    scaled,
    shifted,
)
from maskwise.data.drawn.people import Person
from maskwise.data.drawn.photos import PhotoPlan
from maskwise.labels import Gender

_SIDES: Final = (-1, 1)
_BLUSH: Final[Colour] = (170, 70, 70)
_GREY: Final[Colour] = (206, 206, 204)


def face_outline(person: Person) -> Points:
    """Return the outline (N, 2) of the face from the top of the skull round the chin."""
    wide, jaw, chin, length = person.width, person.jaw, person.chin, person.length
    sag = 0.03 * person.wrinkles  # cheeks sink along the jaw with age
    right = [
        (0.0, -1.14), (0.5 * wide, -1.06), (0.83 * wide, -0.74), (0.96 * wide, -0.3),
        (0.985 * wide, 0.1), (0.945 * wide, 0.48), ((jaw + sag) * wide, 0.86),
        ((jaw + chin) * 0.5 * wide + 0.03, length - 0.19), (chin * wide, length - 0.045),
        (0.0, length),
    ]  # fmt: skip
    return closed(mirrored(right))


def draw_head(canvas: Canvas, person: Person, photo: PhotoPlan) -> None:
    """Draw ears and the bare face without its features, lit from the photo's bright side."""
    for side in _SIDES:
        _draw_ear(canvas, person, side)
    outline = face_outline(person)
    canvas.fill(outline * 1.012, scaled(person.skin, 0.72))
    canvas.fill(outline, person.skin)
    canvas.shade(outline, NEUTRAL, 1.0)
    dark = -1 if photo.light_side > 0 else 1
    depth = 0.12 + 0.5 * photo.light_fall
    for share in (0.3, 0.5, 0.68):
        rim = flipped(outline, dark)
        rim[:, 0] = np.maximum(rim[:, 0], share + 0.2 * (1 - rim[:, 1] ** 2))
        canvas.shade(flipped(rim, dark), BLACK, depth * 0.35)
    canvas.shade(flipped(ellipse(0.42, -0.55, 0.4, 0.25), -dark), WHITE, 0.08)
    for side in _SIDES:
        canvas.shade(ellipse(side * 0.56, 0.45, 0.24, 0.18), _BLUSH, 0.08 + 0.1 * person.makeup)
        canvas.shade(ellipse(side * 0.5, 0.3, 0.2, 0.1), WHITE, 0.06)
        canvas.shade(ellipse(side * 0.44, -0.02, 0.31, 0.17), BLACK, 0.08)


def _draw_ear(canvas: Canvas, person: Person, side: int) -> None:
    x = person.width
    grown = 0.05 * person.wrinkles
    knots = [(x - 0.08, -0.12), (x + 0.07, -0.2), (x + 0.13, -0.02), (x + 0.09, 0.24),
             (x + 0.02, 0.42 + grown), (x - 0.06, 0.38)]  # fmt: skip
    canvas.fill(flipped(shifted(closed(knots), 0.008, 0.008), side), scaled(person.skin, 0.7))
    canvas.fill(flipped(closed(knots), side), scaled(person.skin, 0.94))
    fold = opened([(x + 0.0, -0.1), (x + 0.07, -0.08), (x + 0.07, 0.1), (x + 0.02, 0.24)])
    canvas.stroke(flipped(fold, side), scaled(person.skin, 0.68), 0.035, 0.8)
    if person.earrings:
        canvas.fill(ellipse(side * (x + 0.02), 0.46 + grown, 0.035, 0.045), (236, 214, 150))


def draw_features(canvas: Canvas, person: Person, photo: PhotoPlan) -> None:
    """Draw skin marks, wrinkles, nose, mouth, beard, eyes and brows on the face."""
    rng = np.random.default_rng(person.texture_seed)
    _draw_spots(canvas, person, rng)
    _draw_nose(canvas, person)
    _draw_mouth(canvas, person, photo)
    if person.beard:
        _draw_beard(canvas, person, rng)
    _draw_wrinkles(canvas, person, rng)
    for side in _SIDES:
        _draw_eye(canvas, person, photo, side)
        _draw_brow(canvas, person, rng, side)


def _draw_spots(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    for _ in range(person.spots):
        x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.7, 0.9)
        size = rng.uniform(0.008, 0.03)
        canvas.fill(ellipse(x, y, size, size), scaled(person.skin, 0.62), rng.uniform(0.3, 0.7))


def _draw_nose(canvas: Canvas, person: Person) -> None:
    wide, tip = person.nose_width, person.nose_tip
    dark = scaled(person.skin, 0.62)
    canvas.shade(ellipse(0, tip - 0.26, 0.07, 0.28), WHITE, 0.16)
    canvas.shade(ellipse(0, tip + 0.14, wide * 0.8, 0.06), BLACK, 0.2)
    canvas.fill(ellipse(0, tip, wide * 0.6, 0.12), scaled(person.skin, 1.03), 0.5)
    canvas.fill(ellipse(-0.02, tip - 0.03, 0.045, 0.04), WHITE, 0.22)
    for side in _SIDES:
        bridge = [(0.1, -0.12), (0.075, 0.12), (0.1, tip - 0.16)]
        wing = [(wide * 0.72, tip - 0.1), (wide, tip), (wide * 0.9, tip + 0.09),
                (wide * 0.55, tip + 0.08)]  # fmt: skip
        canvas.stroke(flipped(opened(bridge), side), dark, 0.03, 0.22 + 0.2 * (side > 0))
        canvas.stroke(flipped(opened(wing), side), dark, 0.034, 0.8)
        canvas.fill(ellipse(side * wide * 0.45, tip + 0.085, 0.062, 0.026), scaled(dark, 0.5), 0.85)
    base = [(-wide * 0.4, tip + 0.1), (0, tip + 0.13), (wide * 0.4, tip + 0.1)]
    canvas.stroke(opened(base), dark, 0.03, 0.7)


def _draw_mouth(canvas: Canvas, person: Person, photo: PhotoPlan) -> None:
    wide = person.mouth_width * (1 + 0.1 * photo.smile)
    full, gap = person.lip_full, 0.11 * photo.mouth_open
    y = person.nose_tip + 0.36
    corner = y - 0.09 * photo.smile
    lips = mix(mix(person.skin, (186, 92, 92), 0.5), (196, 44, 66), 0.75 * person.makeup)
    lips = mix(lips, person.skin, 0.25 * person.wrinkles)
    top = [(-wide, corner), (-wide * 0.45, y - full * 0.8), (-0.06, y - full),
           (0, y - full * 0.8), (0.06, y - full), (wide * 0.45, y - full * 0.8),
           (wide, corner)]  # fmt: skip
    parted = [(wide, corner), (0, y + 0.02), (-wide, corner)]
    lower = [(-wide, corner), (0, y + 0.02 + gap), (wide, corner)]
    bottom = [(wide, corner), (wide * 0.5, y + gap + full), (0, y + gap + full * 1.3),
              (-wide * 0.5, y + gap + full), (-wide, corner)]  # fmt: skip
    if gap:
        canvas.fill(np.concatenate([opened(parted), opened(lower)]), (70, 26, 30))
        teeth = [(wide * 0.7, corner * 0.5 + y * 0.5 + 0.01), (0, y + 0.02 + gap * 0.5),
                 (-wide * 0.7, corner * 0.5 + y * 0.5 + 0.01)]  # fmt: skip
        canvas.fill(np.concatenate([opened(parted), opened(teeth[::-1])]), (236, 232, 222))
    canvas.fill(np.concatenate([opened(top), opened(parted)]), scaled(lips, 0.9))
    canvas.fill(np.concatenate([opened(lower), opened(bottom)]), lips)
    canvas.fill(ellipse(-0.04, y + gap + full * 0.75, wide * 0.3, full * 0.16), WHITE, 0.2)
    canvas.stroke(opened(lower), (84, 34, 36), 0.028, 0.85)
    canvas.shade(ellipse(0, y + gap + full * 1.3 + 0.07, 0.2, 0.05), BLACK, 0.25)
    canvas.shade(ellipse(0, person.length - 0.16, 0.16, 0.09), WHITE, 0.1)


def _draw_beard(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    mouth, chin = person.nose_tip + 0.36, person.length
    colour = mix(person.hair_colour, _GREY, min(person.grey * 1.2, 0.9))
    upper = closed([(-0.42, mouth), (-0.3, mouth - 0.14), (0, mouth - 0.17), (0.3, mouth - 0.14),
                    (0.42, mouth), (0.2, mouth - 0.07), (-0.2, mouth - 0.07)])  # fmt: skip
    jaw = face_outline(person)
    jaw = jaw[(jaw[:, 1] > 0.25)] * (1.01, 1.01)
    rim = opened([(-0.93, 0.3), (-0.74, 0.7), (-0.5, mouth - 0.02), (-0.36, mouth + 0.2),
                  (0, mouth + 0.2), (0.36, mouth + 0.2), (0.5, mouth - 0.02), (0.74, 0.7),
                  (0.93, 0.3)])  # fmt: skip
    cheeks = np.concatenate([rim, jaw])
    patch = closed([(-0.3, mouth + 0.2), (0.3, mouth + 0.2), (0.3, chin - 0.04), (0, chin + 0.06),
                    (-0.3, chin - 0.04)])  # fmt: skip
    if person.beard == "stubble":
        for shape in (upper, cheeks):
            canvas.fill(shape, mix(colour, (90, 90, 100), 0.4), 0.22)
        return
    shapes = {"moustache": (upper,), "goatee": (upper, patch), "full": (upper, cheeks)}
    for shape in shapes[person.beard]:
        canvas.fill(shape, colour, 0.88)
        for start in shape[rng.integers(len(shape), size=14)] * (0.92, 0.97):
            tuft = np.array([start, start + rng.normal(0, 0.03, 2) + (0, 0.07)])
            canvas.stroke(tuft, scaled(mix(colour, _GREY, person.grey * 0.5), 1.35), 0.014, 0.6)


def _crease(canvas: Canvas, person: Person, line: Points, depth: float) -> None:
    canvas.stroke(shifted(line, 0, 0.016), scaled(person.skin, 1.1), 0.022, 0.5 * depth)
    canvas.stroke(line, scaled(person.skin, 0.55), 0.014 + 0.022 * depth, 0.85 * depth)


def _draw_wrinkles(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    age = person.wrinkles
    _wrinkle_forehead(canvas, person, age * person.forehead_lines, rng)
    for side in _SIDES:
        _wrinkle_eye(canvas, person, side, rng)
        tip, mouth = person.nose_tip, person.nose_tip + 0.36
        fold = [(person.nose_width + 0.04, tip - 0.04), (0.38, tip + 0.14), (0.5, mouth + 0.04)]
        _crease(canvas, person, flipped(opened(fold), side), 0.12 + age * person.cheek_folds * 0.9)
        if age > 0.45:
            jowl = [(0.42, mouth + 0.1), (0.45, mouth + 0.24), (0.4, mouth + 0.36)]
            _crease(canvas, person, flipped(opened(jowl), side), age * person.cheek_folds - 0.3)
            hollow = ellipse(side * 0.66, 0.66, 0.13, 0.24)
            canvas.shade(hollow, BLACK, 0.3 * (age - 0.4))


def _wrinkle_forehead(
    canvas: Canvas, person: Person, depth: float, rng: np.random.Generator
) -> None:
    for row in range(4):
        y, wide = -0.46 - 0.1 * row + rng.normal(0, 0.012), rng.uniform(0.36, 0.55)
        knots = [(wide * step, y + rng.normal(0, 0.012) + 0.03 * step**2) for step in _FIVE]
        _crease(canvas, person, opened(knots), min(1.25 * depth - 0.17 * row, 1.0))
    for side in _SIDES:
        frown = [(0.07, -0.34), (0.055, -0.26), (0.07, -0.18)]
        _crease(canvas, person, flipped(opened(frown), side), depth - 0.25)


_FIVE: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)


def _wrinkle_eye(canvas: Canvas, person: Person, side: int, rng: np.random.Generator) -> None:
    x, half = person.eye_gap, person.eye_size
    crow = person.wrinkles * person.crow_feet
    for turn in (-0.5, -0.1, 0.3, 0.65):
        reach = (0.13 + 0.12 * crow) * rng.uniform(0.8, 1.2)
        start = (x + half + 0.045, 0.02 + 0.05 * turn)
        knots = [start, (start[0] + reach * 0.5, start[1] + reach * turn * 0.35),
                 (start[0] + reach, start[1] + reach * turn)]  # fmt: skip
        _crease(canvas, person, flipped(opened(knots), side), min(1.3 * crow - abs(turn) * 0.25, 1))
    bag = person.wrinkles * person.eye_bags
    drop = 0.15 + 0.04 * bag
    under = [(x - half * 0.85, 0.08), (x - half * 0.2, drop), (x + half * 0.75, drop - 0.04)]
    _crease(canvas, person, flipped(opened(under), side), min(0.08 + 1.1 * bag, 1.0))
    canvas.shade(ellipse(side * x, drop - 0.01, half * 0.9, 0.055), (70, 50, 80), 0.05 + 0.45 * bag)
    if bag > 0.35:
        lower = [(x - half * 0.7, 0.15), (x, drop + 0.085), (x + half * 0.7, drop + 0.03)]
        _crease(canvas, person, flipped(opened(lower), side), bag - 0.25)


def _draw_eye(canvas: Canvas, person: Person, photo: PhotoPlan, side: int) -> None:
    x, half, tilt = person.eye_gap, person.eye_size, person.eye_tilt
    open_ = 0.47 * half * photo.eyes_open * (1 - 0.3 * person.lid_droop)
    corners = [(x - half, 0.025), (x + half, 0.015 - tilt)]
    upper = opened([corners[0], (x - half * 0.45, -open_ * 0.8), (x + half * 0.1, -open_),
                    (x + half * 0.65, -open_ * 0.62 - tilt * 0.6), corners[1]])  # fmt: skip
    lower = opened([corners[1], (x + half * 0.3, open_ * 0.62), (x - half * 0.4, open_ * 0.55),
                    corners[0]])  # fmt: skip
    almond = flipped(np.concatenate([upper, lower]), side)
    canvas.fill(almond, mix((246, 244, 242), (226, 206, 190), person.wrinkles * 0.6))
    _draw_iris(canvas, person, almond, side * x + photo.gaze * half * 0.5, open_)
    canvas.stroke(flipped(lower, side), scaled(person.skin, 0.55), 0.016, 0.7)
    lash = 0.03 + 0.034 * person.lashes
    canvas.stroke(flipped(upper, side), (34, 24, 24), lash)
    if person.lashes > 0.45:
        wing = [(x + half * 0.55, -open_ * 0.7 - tilt), (x + half + 0.06, -0.055 - tilt)]
        canvas.stroke(flipped(np.array(wing), side), (30, 22, 22), lash * 0.9, person.lashes)
    fold = upper * (1, 1 - 0.25 * person.lid_droop) + (0, 0.02 * person.lid_droop - 0.055)
    canvas.stroke(flipped(fold, side), scaled(person.skin, 0.55), 0.02, 0.75)
    if person.makeup > 0.4:
        canvas.shade(flipped(fold - (0, 0.02), side), (130, 60, 90), 0.6 * person.makeup)
    if person.lid_droop > 0.3:
        hood = [(x - half * 0.1, -open_ - 0.085), (x + half * 0.8, -open_ * 0.5 - 0.05),
                (x + half + 0.06, 0.05)]  # fmt: skip
        _crease(canvas, person, flipped(opened(hood), side), person.lid_droop)


def _draw_iris(canvas: Canvas, person: Person, almond: Points, x: float, open_: float) -> None:
    radius = 0.098
    low, high = almond[:, 1].min(), almond[:, 1].max()
    iris = ellipse(x, -0.008, radius, radius)
    iris[:, 1] = np.clip(iris[:, 1], low, high)  # the lids cover its top and bottom
    canvas.fill(iris, person.eye_colour)
    canvas.fill(ellipse(x, -0.008, radius * 0.5, min(radius * 0.5, open_)), (14, 10, 12))
    canvas.fill(ellipse(x - 0.03, -0.04, 0.022, 0.022), WHITE, 0.9)


def _draw_brow(canvas: Canvas, person: Person, rng: np.random.Generator, side: int) -> None:
    x, y, thick = person.eye_gap, -person.brow_height, person.brow_thick
    drop = 0.03 * person.wrinkles
    arch = 0.05 if person.gender is Gender.FEMALE else 0.03
    colour = mix(scaled(person.hair_colour, 0.9), _GREY, person.grey * 0.8)
    spine = opened([(x - 0.25, y + 0.012 + drop), (x - 0.08, y - 0.012), (x + 0.12, y - arch),
                    (x + 0.3, y + 0.03 - person.brow_tilt + drop)])  # fmt: skip
    canvas.stroke(flipped(spine, side), colour, thick * 1.3, 0.85)
    for point in spine[rng.integers(len(spine) - 3, size=9)]:
        hair = np.array([shifted(point, 0, thick * 0.4), shifted(point, 0.06, -thick * 0.4)])
        canvas.stroke(flipped(hair, side), scaled(colour, rng.uniform(0.6, 1.3)), 0.014, 0.7)
