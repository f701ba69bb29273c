"""The light, sharpness and grain of a photo, read off the face."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from maskwise.data.worn.head import Array, Head

GAMMA: Final = 2.2
_LUMA: Final = np.array([0.2126, 0.7152, 0.0722])
_SKIN: Final = np.array([1.42, 0.92, 0.68])
"""Linear colour of skin in white light, of luminance 1."""
_REACH: Final = 3.0
"""Eye distances about the eyes in which light is measured."""
LARGEST: Final = 150.0
"""Pixels between the eyes up to which every pixel is looked at, and drawn."""
_SKIN_REFLECTS: Final = (0.14, 0.36)
_COLOURLESS: Final = 4.0
"""Deviation of tints, in values 0..255, below which a photo has no colours."""


@dataclass(frozen=True)
class Light:
    """How a photo shows a surface."""

    white: Array
    """Linear value (3,) of a surface that throws back all light and faces the camera."""
    slope: Array
    """Change (2,) of the logarithm of light per unit of a normal's x and y."""
    colourless: bool
    blur: float
    """Sigma of the photo's own softness in pixels."""
    noise: float
    """Sigma of its grain, in values 0..255."""

    def shade(self, normals: Array) -> Array:
        """Return light (...) on surfaces with normals (..., 3), 1 where they face the camera."""
        bent = normals[..., :2] @ self.slope
        shade: Array = np.exp(np.clip(bent, -1.2, 0.5)) * (0.35 + 0.65 * np.abs(normals[..., 2]))
        return shade


def measure_light(pixels: NDArray[np.uint8], head: Head) -> Light:
    """Return the light on a face in a photo (height, width, 3)."""
    places, normals = _skin(head)
    near, left, top = _window(pixels, head)
    # of a large face every few pixels say enough
    step = max(int(head.scale / LARGEST), 1)
    near, scale = near[::step, ::step], head.scale / step
    places = (places - (left, top)) / step
    height, width = near.shape[:2]
    inside = (places[:, 0] >= 0) & (places[:, 0] < width) & (places[:, 1] >= 0)
    inside &= places[:, 1] < height
    if inside.sum() < 20:
        return Light(np.full(3, 0.5), np.zeros(2), colourless=False, blur=0.8, noise=2.0)
    linear = (near.astype(np.float64) / 255) ** GAMMA
    soft = gaussian_filter(linear, (0.03 * scale, 0.03 * scale, 0))
    where = places[inside, 1::-1].T
    skin = np.stack([map_coordinates(soft[..., c], where, order=1) for c in range(3)], axis=1)
    luminance = np.maximum(skin @ _LUMA, 1e-4)
    tints = near - near.mean(axis=2, keepdims=True)
    colourless = bool(tints.std(axis=(0, 1)).max() < _COLOURLESS)
    grey = near @ _LUMA
    return Light(
        _white(np.median(skin, axis=0), linear, colourless=colourless),
        _slope(np.log(luminance), normals[inside]),
        colourless=colourless,
        blur=step * _softness(grey, (head.x - left) / step, (head.y - top) / step, scale),
        noise=_grain(grey, places[inside]),
    )


def _window(pixels: NDArray[np.uint8], head: Head) -> tuple[NDArray[np.uint8], int, int]:
    """Return the part of a photo about a head, and the left and top pixel it begins at."""
    reach = _REACH * head.scale
    left, top = (int(max(middle - reach, 0)) for middle in (head.x, head.y))
    right, bottom = (int(max(middle + reach, 0)) + 1 for middle in (head.x, head.y))
    return pixels[top:bottom, left:right], left, top


def _white(typical: Array, linear: Array, *, colourless: bool) -> Array:
    """Return the linear value (3,) of white in the light that gives skin its `typical` value."""
    brightest = float(np.percentile(linear @ _LUMA, 97))
    level = max(float(typical @ _LUMA), 1e-3)
    reflects = float(np.clip(0.75 * level / max(brightest, 1e-3), *_SKIN_REFLECTS))
    # a photo without colours has one tint for everything; else skin hints at the light's colour
    tint = np.maximum(typical, 1e-4) / level
    cast = tint if colourless else np.clip((tint / _SKIN) ** 0.3, 0.88, 1.1)
    white: Array = level / reflects * cast / (cast @ _LUMA)
    return white


def _skin(head: Head) -> tuple[Array, Array]:
    """Return places (n, 2) and normals (n, 3) of skin that faces the camera."""
    turn, y = np.meshgrid(np.linspace(-0.95, 0.95, 31), np.linspace(-0.4, 0.95, 28))
    points = head.surface(turn, y)
    normals = surface_normals(points) @ head.rotation().T
    eyes = (np.abs(y) < 0.22) & (np.abs(np.abs(points[..., 0]) - 0.5) < 0.35)
    seen = (normals[..., 2] > 0.45) & ~eyes
    return head.project(points)[seen][:, :2], normals[seen]


def surface_normals(points: Array) -> Array:
    """Return unit normals (n, m, 3), outward, of a grid of points (n, m, 3), rows going down."""
    down, across = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals: Array = np.cross(across, down)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
    return normals


def _slope(values: Array, normals: Array) -> Array:
    """Return the robust slope of values (n,) against the x and y of normals (n, 3)."""
    design = np.column_stack([np.ones(len(values)), normals[:, :2]])
    weights: Array = np.ones(len(values))
    found: Array = np.zeros(3)
    for _ in range(4):
        scaled = design * weights[:, None]
        normal = scaled.T @ design + np.diag([1e-6, 2.0, 2.0])
        found = np.asarray(np.linalg.solve(normal, scaled.T @ values), dtype=np.float64)
        misfit = np.abs(values - design @ found)
        limit = 1.5 * float(np.median(misfit)) + 1e-6
        weights = np.minimum(limit / np.maximum(misfit, 1e-12), 1.0)
    return np.clip(found[1:], -1.6, 1.6)


def _softness(grey: Array, x: float, y: float, reach: float) -> float:
    """Return the sigma of the softest step that explains the sharpest edge about the eyes.

    They lie about `x`, `y`, and `reach` pixels apart.
    """
    top, bottom = (int(np.clip(y + d * reach, 0, grey.shape[0])) for d in (-0.7, 0.5))
    left, right = (int(np.clip(x + d * reach, 0, grey.shape[1])) for d in (-1.0, 1.0))
    patch = grey[top:bottom, left:right]
    if min(patch.shape) < 4:
        return 0.8
    low, high = np.percentile(patch, (3, 97))
    steep = np.percentile(np.hypot(*np.gradient(patch)), 99)
    return float(np.clip((high - low) / max(steep, 1.0) / 3.5, 0.35, 0.12 * reach + 0.5))


def _grain(grey: Array, places: Array) -> float:
    fine = grey - gaussian_filter(grey, 1.0)
    x, y = places.astype(np.int64).T
    return float(np.clip(np.percentile(np.abs(fine[y, x]), 30) * 2.2, 0.4, 7.0))
