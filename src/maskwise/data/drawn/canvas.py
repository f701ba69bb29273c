"""The sheet that people are drawn on: sharp shapes, soft shadows and a head that turns.

Shapes are given in head units: the origin lies between the eyes, x grows to the right, y grows
downwards, a head is two units wide and its chin lies near y = 1.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[float, float, float]

WIDTH: Final = 384
HEIGHT: Final = 512
SHARP: Final = 2
"""The sharp layer is this many times larger than the photo; reducing it smooths its edges."""
SOFT: Final = 2
"""The soft layer is this many times smaller than the photo."""
NEUTRAL: Final = (128.0, 128.0, 128.0)
"""The soft layer's colour that neither darkens nor lightens."""
BLACK: Final = (0.0, 0.0, 0.0)
WHITE: Final = (255.0, 255.0, 255.0)

_STEPS: Final = 6
_PIVOT_Y: Final = 1.2  # a head tilts about its neck, not about its eyes


@dataclass(frozen=True)
class Pose:
    """Where head units lie in the photo.

    `x` and `y` are the pixel between the eyes, `scale` is pixels a unit, `roll` is radians;
    `yaw` and `pitch` run from -1 to 1 and push the middle of the face sideways and down.
    """

    x: float
    y: float
    scale: float
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0

    def place(self, points: Points) -> Points:
        """Return the photo's pixels (N, 2) of points (N, 2) in head units."""
        near = np.maximum(1 - points**2 * (1, 0.25), 0).prod(axis=1, keepdims=True)
        moved = points + near * (0.26 * self.yaw, 0.10 * self.pitch) - (0, _PIVOT_Y)
        cos, sin = self.scale * math.cos(self.roll), self.scale * math.sin(self.roll)
        turn = np.array([(cos, sin), (-sin, cos)])
        placed: Points = moved @ turn + (self.x, self.y + self.scale * _PIVOT_Y)
        return placed


class Layer:
    """An RGB image to paint on."""

    def __init__(self, image: Image.Image) -> None:
        """Paint on `image` itself, whose mode is RGB."""
        self.image = image
        # Only the RGBA mode blends, and it costs time where nothing has to be blended.
        self._opaque = ImageDraw.Draw(image, "RGB")
        self._blending = ImageDraw.Draw(image, "RGBA")

    def paint(self, pixels: Points, colour: Colour, alpha: float) -> None:
        """Fill the outline (N, 2), in this layer's pixels."""
        outline = pixels.ravel().tolist()
        if alpha >= 1:
            self._opaque.polygon(outline, fill=rgb(colour))
        elif alpha > 0:
            self._blending.polygon(outline, fill=(*rgb(colour), round(255 * alpha)))


def rgb(colour: Colour) -> tuple[int, int, int]:
    """Return the colour as Pillow wants it, each channel within 0..255."""
    red, green, blue = colour
    return (
        min(max(round(red), 0), 255),
        min(max(round(green), 0), 255),
        min(max(round(blue), 0), 255),
    )


@dataclass(frozen=True)
class Canvas:
    """A sharp layer for shapes, a soft layer for shadows, and the pose that places both."""

    sharp: Layer
    soft: Layer
    pose: Pose

    def posed(self, pose: Pose) -> "Canvas":
        """Return the same two layers seen in another pose."""
        return replace(self, pose=pose)

    def fill(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill the outline (N, 2); `alpha` runs from 0 (nothing) to 1 (opaque)."""
        self.sharp.paint(self.pose.place(points) * SHARP, colour, alpha)

    def stroke(self, points: Points, colour: Colour, width: float, alpha: float = 1.0) -> None:
        """Draw a line along (N, 2) that is `width` units wide midway and thin at its ends."""
        self.fill(tapered(points, width), colour, alpha)

    def shade(self, points: Points, colour: Colour, alpha: float) -> None:
        """Tint what lies under the outline with soft edges; `NEUTRAL` takes a tint away."""
        self.soft.paint(self.pose.place(points) / SOFT, colour, alpha)


def _spline_weights() -> Points:
    t = np.arange(_STEPS)[:, None] / _STEPS
    powers = np.concatenate([t**0, t, t**2, t**3], axis=1)
    catmull_rom = [[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]
    weights: Points = powers @ np.array(catmull_rom) / 2
    return weights


_WEIGHTS: Final = _spline_weights()


def closed(knots: Sequence[tuple[float, float]] | Points) -> Points:
    """Return a smooth outline (6 N, 2) through the knots (N, 2)."""
    ring = np.asarray(knots, dtype=np.float64)
    around = np.stack([np.roll(ring, shift, axis=0) for shift in (1, 0, -1, -2)], axis=1)
    return _blended(around)


def opened(knots: Sequence[tuple[float, float]] | Points) -> Points:
    """Return a smooth line (6 N - 5, 2) from the first to the last of the knots (N, 2)."""
    line = np.asarray(knots, dtype=np.float64)
    line = np.concatenate([line[:1], line, line[-1:]])
    around = np.stack([line[:-3], line[1:-2], line[2:-1], line[3:]], axis=1)
    return np.concatenate([_blended(around), line[-1:]])


def _blended(around: Points) -> Points:
    """Return the curve (6 N, 2) for N stretches with four knots around each, (N, 4, 2)."""
    curve: Points = np.einsum("sk,nkd->nsd", _WEIGHTS, around).reshape(-1, 2)
    return curve


def tapered(points: Points, width: float) -> Points:
    """Return the outline (2 N, 2) of a line (N, 2) that is thin at its ends."""
    offset = sideways(points) * _swell(len(points)) * (width / 2)
    return np.concatenate([points + offset, (points - offset)[::-1]])


def sideways(points: Points) -> Points:
    """Return the unit vectors (N, 2) that stand across a line (N, 2)."""
    along = np.empty_like(points)
    along[1:-1] = points[2:] - points[:-2]
    along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
    length = np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-9
    across: Points = along[:, ::-1] * (-1, 1) / length
    return across


@cache
def _swell(count: int) -> Points:
    return np.sin(np.linspace(0.08, np.pi - 0.08, count))[:, None] ** 0.7


_CIRCLE: Final = np.stack(
    [
        np.cos(np.linspace(0, 2 * np.pi, 28, endpoint=False)),
        np.sin(np.linspace(0, 2 * np.pi, 28, endpoint=False)),
    ],
    1,
)


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    """Return the outline (28, 2) of an upright ellipse."""
    return _CIRCLE * (half_width, half_height) + (x, y)


def mirrored(right: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Complete the knots of a right half, from its first to its last on the middle line."""
    left = [(-x, y) for x, y in reversed(right) if x > 0]
    return [*right, *left]


def shifted(points: Points, x: float, y: float) -> Points:
    """Return the points (N, 2), or the one point (2,), moved by x and y."""
    offset: Points = np.array([x, y], dtype=np.float64)
    return points + offset


def flipped(points: Points, side: int) -> Points:
    """Return the points (N, 2) as they are for side 1, seen in a mirror for side -1."""
    return points * (side, 1)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that lies `share` (0 to 1) of the way from first to second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker (factor below 1) or lighter (above 1)."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
