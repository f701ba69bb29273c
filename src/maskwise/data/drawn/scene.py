"""Draw one photo of a person who does not exist: scene, clothes, head, mask, light, camera."""

from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from maskwise.data.drawn.canvas import (
    BLACK,
    HEIGHT,
    NEUTRAL,
    SHARP,
    SOFT,
    WHITE,
    WIDTH,
    Canvas,
    Colour,
    Layer,
    Pose,
    closed,
    ellipse,
    flipped,
    mirrored,
    mix,
    opened,
    rgb,
    scaled,
)
from maskwise.data.drawn.faces import draw_features, draw_head
from maskwise.data.drawn.hair import draw_back_hair, draw_front_hair
from maskwise.data.drawn.masks import draw_mask
from maskwise.data.drawn.people import CLOTH_COLOURS, Person
from maskwise.data.drawn.photos import PhotoPlan

_SOFT_BLUR: Final = 4.0
_BACKDROP: Final = (96, 128)


def draw_person(person: Person, photo: PhotoPlan) -> Image.Image:
    """Return one photo of a person: an RGB image of 384 x 512 pixels, alike for alike plans."""
    rng = np.random.default_rng(photo.texture_seed)
    head = Pose(photo.x, photo.y, photo.scale, photo.roll, photo.yaw, photo.pitch)
    shadows = Image.new("RGB", (WIDTH // SOFT, HEIGHT // SOFT), rgb(NEUTRAL))
    canvas = Canvas(Layer(_backdrop(photo, rng)), Layer(shadows), head)
    body = canvas.posed(replace(head, roll=photo.roll * 0.2, yaw=0.0, pitch=0.0))
    draw_back_hair(canvas, person)
    _draw_body(body, person, photo)
    if photo.scarf:
        _draw_scarf(body, person, rng)
    draw_head(canvas, person, photo)
    draw_features(canvas, person, photo)
    # Straps run under the hair, but a mask that hangs from an ear dangles in front of it.
    dangles = photo.mask is not None and photo.mask.place == "one ear"
    if photo.mask and not dangles:
        draw_mask(canvas, person, photo.mask)
    draw_front_hair(canvas, person)
    if photo.mask and dangles:
        draw_mask(canvas, person, photo.mask)
    if person.glasses:
        _draw_glasses(canvas, person)
    return _developed(canvas, photo, rng)


def _backdrop(photo: PhotoPlan, rng: np.random.Generator) -> Image.Image:
    """Return the sharp layer's background, drawn small and enlarged: it is out of focus."""
    wide, high = _BACKDROP
    wall = mix(CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))], (214, 210, 202), 0.6)
    small = Image.new("RGB", _BACKDROP, rgb(wall))
    draw = ImageDraw.Draw(small)
    if photo.backdrop == "gradient":
        _fade(small, wall, scaled(wall, rng.uniform(0.5, 0.8)))
    elif photo.backdrop == "stripes":
        step = int(rng.integers(8, 22))
        for left in range(int(rng.integers(step)), wide, step):
            draw.rectangle((left, 0, left + step // 3, high), fill=rgb(scaled(wall, 0.88)))
    elif photo.backdrop == "blobs":
        for _ in range(9):
            x, y, r = rng.uniform(0, wide), rng.uniform(0, high), rng.uniform(5, 22)
            blob = mix(wall, CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))], 0.35)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=rgb(blob))
    elif photo.backdrop == "shelf":
        _draw_shelf(draw, wall, rng)
    elif photo.backdrop == "window":
        x = float(rng.choice((0, 52)))
        draw.rectangle((x + 2, 4, x + 42, 80), fill=rgb(mix(wall, WHITE, 0.75)))
        draw.rectangle((x + 20, 4, x + 23, 80), fill=rgb(scaled(wall, 0.8)))
    small = small.filter(ImageFilter.GaussianBlur(0.8))
    photo_size = small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return photo_size.resize((WIDTH * SHARP, HEIGHT * SHARP), Image.Resampling.NEAREST)


def _fade(small: Image.Image, top: Colour, bottom: Colour) -> None:
    share = np.linspace(0, 1, small.height)[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    whole = np.broadcast_to(rows, (small.height, small.width, 3))
    small.paste(Image.fromarray(np.clip(whole, 0, 255).astype(np.uint8)))


def _draw_shelf(draw: ImageDraw.ImageDraw, wall: Colour, rng: np.random.Generator) -> None:
    for y in (int(rng.integers(20, 34)), int(rng.integers(58, 76))):
        x = int(rng.integers(0, 6))
        while x < _BACKDROP[0]:
            thick, tall = int(rng.integers(3, 9)), int(rng.integers(8, 19))
            book = mix(CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))], wall, 0.35)
            if rng.uniform() < 0.75:
                draw.rectangle((x, y - tall, x + thick, y), fill=rgb(book))
            x += thick + int(rng.integers(0, 3))
        draw.rectangle((0, y, _BACKDROP[0], y + 3), fill=rgb(scaled(wall, 0.6)))


def _draw_body(body: Canvas, person: Person, photo: PhotoPlan) -> None:
    neck, wide, low = person.neck, person.shoulder, person.length + 0.42
    skin, colour = scaled(person.skin, 0.93), photo.cloth_colour
    throat = [(neck, 0.6), (neck, low - 0.15), (neck + 0.3, low + 0.3), (0.0, low + 0.9)]
    body.fill(closed(mirrored([(0.0, 0.6), *throat])), skin)
    body.shade(ellipse(0, person.length, neck * 0.8, 0.26), BLACK, 0.45)
    _draw_neck_lines(body, person)
    shoulders = [(neck + 0.08, low - 0.05), (wide * 0.75, low + 0.2), (wide, low + 0.6),
                 (wide + 0.2, 4.0)]  # fmt: skip
    dip = {"tee": 0.28, "shirt": 0.3, "hoodie": 0.16, "high collar": 0.0, "v-neck": 0.75}
    base = [(0.0, low + dip[photo.cloth])]
    if photo.cloth != "v-neck":
        base.append((neck * 0.7, low + dip[photo.cloth] * 0.7))
    right = opened([*base, *shoulders])
    body.fill(np.concatenate([right, flipped(right, -1)[::-1]]), colour)
    _draw_collar(body, person, photo, low)
    for side in (-1, 1):
        crease = opened([(wide * 0.75, low + 0.5), (wide * 0.7, low + 0.9), (wide * 0.72, 3.4)])
        body.stroke(flipped(crease, side), scaled(colour, 0.75), 0.06, 0.6)


def _draw_neck_lines(body: Canvas, person: Person) -> None:
    for row in range(2):
        y = person.length + 0.2 + 0.14 * row
        line = opened(
            [(-person.neck * 0.8, y - 0.04), (0, y + 0.03), (person.neck * 0.8, y - 0.04)]
        )
        body.stroke(line, scaled(person.skin, 0.6), 0.025, 0.1 + 0.6 * person.wrinkles)


def _draw_collar(body: Canvas, person: Person, photo: PhotoPlan, low: float) -> None:
    neck, dark = person.neck, scaled(photo.cloth_colour, 0.8)
    if photo.cloth == "shirt":
        flap = np.array([(neck + 0.06, low - 0.14), (0.04, low + 0.3), (neck * 0.5, low + 0.52),
                         (neck + 0.26, low + 0.12)])  # fmt: skip
        for side in (-1, 1):
            body.fill(flipped(flap, side), mix(photo.cloth_colour, WHITE, 0.35))
            body.stroke(flipped(flap[1:], side), dark, 0.025)
        for y in (low + 0.6, low + 0.95):
            body.fill(ellipse(0, y, 0.035, 0.035), mix(photo.cloth_colour, WHITE, 0.6))
    elif photo.cloth == "high collar":
        tube = [(0.0, low - 0.18), (neck + 0.06, low - 0.24), (neck + 0.14, low + 0.1),
                (0.0, low + 0.22)]  # fmt: skip
        body.fill(closed(mirrored(tube)), mix(photo.cloth_colour, WHITE, 0.08))
        fold = opened([(-neck - 0.06, low - 0.04), (0, low + 0.05), (neck + 0.06, low - 0.04)])
        body.stroke(fold, dark, 0.035)
    elif photo.cloth == "hoodie":
        for side in (-1, 1):
            hood = closed(
                [
                    (neck + 0.02, low - 0.3),
                    (neck + 0.34, low - 0.12),
                    (neck + 0.2, low + 0.3),
                    (0.06, low + 0.42),
                    (neck * 0.6, low + 0.1),
                ]
            )
            body.fill(flipped(hood, side), scaled(photo.cloth_colour, 0.88))
            cord = np.array([(0.16, low + 0.3), (0.18, low + 0.9)])
            body.stroke(flipped(cord, side), WHITE, 0.04)
    elif photo.cloth == "tee":
        edge = [(0.0, low + 0.28), (neck * 0.7, low + 0.2), (neck + 0.08, low - 0.05)]
        for side in (-1, 1):
            body.stroke(flipped(opened(edge), side), dark, 0.05)


def _draw_scarf(body: Canvas, person: Person, rng: np.random.Generator) -> None:
    colour = CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))]
    top = person.length - 0.12
    wide = person.neck + 0.22
    roll = closed(mirrored([(0.0, top + 0.12), (wide, top), (wide + 0.2, top + 0.4),
                            (0.0, top + 0.75)]))  # fmt: skip
    body.fill(roll, colour)
    for drop in (0.28, 0.45, 0.6):
        fold = opened(
            [(-wide, top + drop - 0.1), (0, top + drop + 0.04), (wide, top + drop - 0.12)]
        )
        body.stroke(fold, scaled(colour, 0.68), 0.05, 0.8)
    body.fill(closed([(0.1, top + 0.5), (0.5, top + 0.5), (0.56, 3.0), (0.14, 3.0)]), colour)


def _draw_glasses(canvas: Canvas, person: Person) -> None:
    x, y = person.eye_gap, 0.03
    half, high = (0.33, 0.26) if person.glasses == "round" else (0.34, 0.21)
    colour: Colour = (150, 140, 120) if person.glasses == "thin" else (34, 30, 32)
    width = 0.022 if person.glasses == "thin" else 0.045
    for side in (-1, 1):
        rim = ellipse(0, 0, 1, 1)
        if person.glasses != "round":
            rim = np.sign(rim) * np.abs(rim) ** 0.55
        lens = rim * (half, high) + (side * x, y)
        canvas.fill(lens, WHITE, 0.08)
        inner = rim * (half - width, high - width) + (side * x, y)
        canvas.fill(np.concatenate([lens, lens[:1], inner, inner[:1]]), colour)
        arm = np.array([(x + half, y - 0.06), (person.width * 0.98, -0.05)])
        canvas.stroke(flipped(arm, side), colour, width)
        glint = np.array([(side * x - 0.14, y + 0.08), (side * x + 0.02, y - 0.12)])
        canvas.stroke(glint, WHITE, 0.03, 0.35)
    canvas.stroke(opened([(-0.13, y - 0.03), (0, y - 0.07), (0.13, y - 0.03)]), colour, width * 1.3)


def _developed(canvas: Canvas, photo: PhotoPlan, rng: np.random.Generator) -> Image.Image:
    """Return the photo that a camera takes of the two layers: reduced, lit, noisy, blurred."""
    picture = canvas.sharp.image.reduce(SHARP)
    if photo.blur:
        picture = picture.filter(ImageFilter.BoxBlur(photo.blur))
    light = _lit(canvas.soft.image, photo).resize(picture.size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.float32)
    pixels *= np.asarray(light)
    pixels /= np.float32(NEUTRAL[0])
    pixels += rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * np.float32(photo.noise)
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _lit(shadows: Image.Image, photo: PhotoPlan) -> Image.Image:
    """Return the soft layer blurred, with the slope, the tint and the exposure of the light."""
    across = np.linspace(-0.5, 0.5, shadows.width)[None, :, None] * photo.light_side
    down = np.linspace(0.5, -0.5, shadows.height)[:, None, None] * (1 - abs(photo.light_side))
    tint = photo.exposure * (1 + 0.07 * photo.warmth * np.array([1.0, 0.1, -1.0]))
    slope = 1 + photo.light_fall * (across + down)
    lit = np.asarray(shadows.filter(ImageFilter.GaussianBlur(_SOFT_BLUR))) * (slope * tint)
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
