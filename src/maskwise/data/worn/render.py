"""Draws a mask into a photo: surfaces to pixels, lit, softened and grained like the photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, grey_closing, shift

from maskwise.data.worn.cloth import cloth
from maskwise.data.worn.head import AXIS, Array, Head
from maskwise.data.worn.light import GAMMA, LARGEST, Light, measure_light, surface_normals
from maskwise.data.worn.looks import MaskLook
from maskwise.data.worn.shapes import sheet, straps

_FINE: Final = 2
"""Pixels of the drawing per pixel of the photo, each way."""
_STEP: Final = 1.2
"""Pixels of the drawing between neighbouring points of a surface."""
_MOST_POINTS: Final = 900
"""Points across or down a surface; they leave no holes up to `LARGEST`."""
_EDGE_ON: Final = -0.12
"""What faces away from the camera by more lies behind the head."""
_COARSE: Final = np.linspace(-1, 1, 65)
"""Where the shape of cloth is computed; it is smooth in between."""


@dataclass(frozen=True)
class Patch:
    """A piece of cloth: points (n, m, 3) in pixels and depth, and their linear colour."""

    points: Array
    colour: Array
    outward: Array
    """How far the head's surface under each point (n, m) faces the camera, -1 to 1."""


@dataclass(frozen=True)
class Drawing:
    """A photo with a mask."""

    pixels: NDArray[np.uint8]
    visible: float
    """Share of the cloth that faces the camera which lies in the photo, unhidden; about 0 to 1."""
    area: float
    """What of it is seen, in squared eye distances."""


def draw_mask(
    pixels: NDArray[np.uint8], head: Head, look: MaskLook, light: Light | None = None
) -> Drawing:
    """Return a photo (height, width, 3) with a mask on the face; the photo is left alone.

    `light` is that of the photo, where it is known already; else it is measured.
    """
    light = light or measure_light(pixels, head)
    shrink = min(LARGEST / head.scale, 1.0)  # a larger face is drawn smaller, then enlarged
    small = replace(head, x=head.x * shrink, y=head.y * shrink, scale=head.scale * shrink)
    patches = [_cloth_patch(small, look, light), *_strap_patches(small, look, light)]
    window = _Window.around(patches, [math.ceil(side * shrink) for side in pixels.shape[:2]])
    if window is None:
        return Drawing(pixels.copy(), 0.0, 0.0)
    rows, columns = window.photo_slices(shrink, pixels.shape)
    if rows.start >= rows.stop or columns.start >= columns.stop:  # an edge that rounding took
        return Drawing(pixels.copy(), 0.0, 0.0)
    colour, cover, cloth_cover = _rasterise(patches, small, window)
    layer = _layer(colour, cover, small, light.blur * shrink)
    layer = layer.resized(rows.stop - rows.start, columns.stop - columns.start)
    rng = np.random.default_rng([look.seed, 1])
    result = pixels.copy()
    result[rows, columns] = _laid_over(pixels[rows, columns], layer, light.noise, rng)
    return Drawing(
        result,
        cloth_cover / max(_facing_area(patches[0].points), 1.0),
        cloth_cover / small.scale**2,
    )


def _facing_area(points: Array) -> float:
    """Return the pixels that cloth (n, m, 3) would cover if nothing hid it."""
    across, down = np.gradient(points[..., :2], axis=1), np.gradient(points[..., :2], axis=0)
    spread = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    return float(max(np.clip(spread, 0, None).sum(), np.clip(-spread, 0, None).sum()))


def _cloth_patch(head: Head, look: MaskLook, light: Light) -> Patch:
    pixel = head.scale * _FINE / _STEP
    across, down = (int(np.clip(length * pixel, 24, _MOST_POINTS)) for length in (2.9, 2.0))
    u, v = np.meshgrid(np.linspace(-1, 1, across), np.linspace(0, 1, down))
    points = _refined(sheet(look, *np.meshgrid(_COARSE, (_COARSE + 1) / 2), head), down, across)
    reflects, relief = cloth(look, u, v)
    colour = _lit(points, reflects * look.bright, relief, head, light)
    return Patch(head.project(points), colour, _outward(points, head))


def _outward(points: Array, head: Head) -> Array:
    """Return how far the head under points (n, m, 3) faces the camera: 1 straight at it, 0 edge-on.

    The head counts as round about its upright axis.
    """
    away = points[..., (0, 2)] - (0.0, AXIS)
    away = away / (np.linalg.norm(away, axis=-1, keepdims=True) + 1e-9)
    rotation = head.rotation()
    facing: Array = away @ rotation[2, (0, 2)]
    return facing


def _refined(points: Array, down: int, across: int) -> Array:
    """Return a smooth grid of points (n, m, 3) with more of them: (down, across, 3)."""
    place_y, place_x = (np.linspace(0, len(_COARSE) - 1, count) for count in (down, across))
    y, x = (np.minimum(place.astype(np.int64), len(_COARSE) - 2) for place in (place_y, place_x))
    share_y, share_x = (place_y - y)[:, None, None], (place_x - x)[None, :, None]
    rows = points[y] + (points[y + 1] - points[y]) * share_y
    refined: Array = rows[:, x] + (rows[:, x + 1] - rows[:, x]) * share_x
    return refined


def _lit(points: Array, reflects: Array, relief: Array, head: Head, light: Light) -> Array:
    """Return the linear colour of cloth with a relief (n, m) under the photo's light."""
    flat = surface_normals(points)
    raised = surface_normals(points + flat * relief[..., None]) @ head.rotation().T
    hollow = np.clip(1 + 14 * (relief - gaussian_filter(relief, 6)), 0.6, 1.2)
    shaded = light.shade(raised) * hollow
    if light.colourless:
        reflects = np.broadcast_to(reflects.mean(axis=-1, keepdims=True), reflects.shape)
    lit: Array = reflects * light.white * shaded[..., None]
    return lit


def _strap_patches(head: Head, look: MaskLook, light: Light) -> list[Patch]:
    patches = []
    for ribbon in straps(look, head):
        along = np.linspace(0, len(ribbon) - 1, int(np.clip(head.scale * _FINE * 2, 60, 900)))
        steps = np.arange(len(ribbon))
        edges = [
            np.stack([np.interp(along, steps, ribbon[:, edge, axis]) for axis in range(3)], -1)
            for edge in (0, 1)
        ]
        share = np.linspace(0, 1, max(int(head.scale * 0.12 * _FINE / _STEP), 4))[:, None, None]
        points = edges[0] + (edges[1] - edges[0]) * share
        reflects = np.broadcast_to(np.array(look.strap) * look.bright, points.shape)
        relief = np.broadcast_to(0.02 * np.sin(np.pi * share[..., 0]), points.shape[:2])
        colour = _lit(points, reflects, np.array(relief), head, light)
        patches.append(Patch(head.project(points), colour, _outward(points, head)))
    return patches


@dataclass(frozen=True)
class _Window:
    """The part of the photo that is drawn in: first and last pixel, each way."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, patches: list[Patch], shape: Sequence[int]) -> "_Window | None":
        points = np.concatenate([patch.points[..., :2].reshape(-1, 2) for patch in patches])
        low, high = np.floor(points.min(axis=0)) - 8, np.ceil(points.max(axis=0)) + 8
        left, top = (int(max(value, 0)) for value in low)
        right, bottom = int(min(high[0], shape[1])), int(min(high[1], shape[0]))
        return cls(left, top, right, bottom) if right > left and bottom > top else None

    def photo_slices(self, shrink: float, shape: Sequence[int]) -> tuple[slice, slice]:
        """Return rows and columns of a photo of which this is a window in a smaller copy."""
        edges = (self.top, self.bottom, self.left, self.right)
        top, bottom, left, right = (round(edge / shrink) for edge in edges)
        return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))

    def fine(self, points: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the drawing's flat pixel numbers of points (..., 3), and which lie in it."""
        x = np.floor((points[..., 0].ravel() - self.left) * _FINE).astype(np.int64)
        y = np.floor((points[..., 1].ravel() - self.top) * _FINE).astype(np.int64)
        wide, high = (self.right - self.left) * _FINE, (self.bottom - self.top) * _FINE
        inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        return y * wide + x, inside


def _rasterise(patches: list[Patch], head: Head, window: _Window) -> tuple[Array, Array, float]:
    """Return colour (h, w, 3), weighed by cover, and cover (h, w) of what is nearest.

    The number is the pixels of the photo that cloth covers.
    """
    skin = _skin_points(head, patches[0])
    # what lies on the far side of the head is hidden; a grid of skin points alone would leak
    seen = [patch.outward.ravel() > _EDGE_ON for patch in patches]
    points = [skin, *(p.points.reshape(-1, 3)[s] for p, s in zip(patches, seen, strict=True))]
    colours = [p.colour.reshape(-1, 3)[s] for p, s in zip(patches, seen, strict=True)]
    layer = np.concatenate([np.full(len(part), number) for number, part in enumerate(points)])
    every, colour = np.concatenate(points), np.concatenate([np.zeros_like(skin), *colours])
    numbers, inside = window.fine(every)
    order = np.argsort(every[inside, 2], kind="stable")
    high, wide = (window.bottom - window.top) * _FINE, (window.right - window.left) * _FINE
    owner = np.full(high * wide, -1)
    owner[numbers[inside][order]] = np.flatnonzero(inside)[order]  # the nearest is written last
    owned = np.where(owner >= 0, layer[owner], 0)
    cover: Array = (owned > 0).astype(np.float64).reshape(high, wide)
    painted: Array = colour[owner].reshape(high, wide, 3) * cover[..., None]
    cover, painted = _closed(cover, painted)
    return _reduced(painted), _reduced(cover), float((owned == 1).sum()) / _FINE**2


def _skin_points(head: Head, cloth_patch: Patch) -> Array:
    """Return points (n, 3) of the head, a little behind its skin, that hide what lies behind."""
    count = int(np.clip(head.scale * _FINE * 1.7, 40, _MOST_POINTS))
    turn, y = np.meshgrid(np.linspace(-1.57, 1.57, count), np.linspace(-1.3, 2.1, count))
    points = head.surface(turn, y)
    placed: Array = head.project(points - (0.0, 0.0, 0.03)).reshape(-1, 3)
    low, high = cloth_patch.points[..., 1].min() - head.scale, cloth_patch.points[..., 1].max()
    near: Array = placed[(placed[:, 1] > low) & (placed[:, 1] < high + head.scale)]
    return near


def _closed(cover: Array, painted: Array) -> tuple[Array, Array]:
    """Fill pixels that fell between the points of a surface."""
    closed: Array = grey_closing(cover, (3, 3))
    weight = gaussian_filter(cover, 0.7) + 1e-6
    spread = gaussian_filter(painted, (0.7, 0.7, 0)) / weight[..., None]
    filled = np.where((cover > 0)[..., None], painted, spread)
    weighed: Array = filled * closed[..., None]
    return closed, weighed


def _reduced(values: Array) -> Array:
    high, wide = values.shape[0] // _FINE, values.shape[1] // _FINE
    blocks = values.reshape(high, _FINE, wide, _FINE, *values.shape[2:])
    reduced: Array = blocks.mean(axis=(1, 3))
    return reduced


@dataclass(frozen=True)
class _Layer:
    """What is laid over a photo, each (h, w): colours 0..255 (h, w, 3), cover and shadow 0..1."""

    shown: Array
    cover: Array
    shadow: Array

    def resized(self, height: int, width: int) -> "_Layer":
        """Return the layer at another size."""
        if self.cover.shape == (height, width):
            return self
        planes = [*np.moveaxis(self.shown, 2, 0), self.cover, self.shadow]
        red, green, blue, cover, shadow = (
            np.asarray(
                Image.fromarray(plane.astype(np.float32)).resize(
                    (width, height), Image.Resampling.BILINEAR
                )
            )
            for plane in planes
        )
        return _Layer(np.stack([red, green, blue], axis=2), cover, shadow)


def _layer(colour: Array, cover: Array, head: Head, blur: float) -> _Layer:
    """Return a mask as the photo shows it: as soft as the photo, with its shadow on the face."""
    cover = gaussian_filter(cover, blur)
    colour = gaussian_filter(colour, (blur, blur, 0)) / np.maximum(cover, 1e-6)[..., None]
    fall = 0.05 * head.scale
    fallen = shift(cover, (0.6 * fall, 0), order=1, mode="nearest")
    shown = 255 * _shoulder(colour) ** (1 / GAMMA)
    return _Layer(shown, np.clip(cover, 0, 1), gaussian_filter(fallen, fall))


def _laid_over(
    photo: NDArray[np.uint8], layer: _Layer, noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the photo under a layer with the photo's grain."""
    grain = gaussian_filter(rng.normal(0, 1, layer.cover.shape), 0.6)[..., None] * 2.1
    shown = layer.shown + grain * noise
    ground = photo * (1 - 0.3 * layer.shadow * (1 - layer.cover))[..., None]
    mixed = ground + (shown - ground) * layer.cover[..., None]
    drawn: NDArray[np.uint8] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return drawn


def _shoulder(linear: Array) -> Array:
    """Compress what is brighter than the photo can show, as cameras do."""
    bright = np.clip(linear, 0, None)
    return np.where(bright < 0.7, bright, 0.7 + 0.3 * np.tanh((bright - 0.7) / 0.3))
