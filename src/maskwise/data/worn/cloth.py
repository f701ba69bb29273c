"""What the cloth of a mask is like: its colour and its relief at every point, computed."""

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from maskwise.data.worn.head import Array
from maskwise.data.worn.looks import MaskLook

_PLEAT: Final = 0.05


def cloth(look: MaskLook, u: Array, v: Array) -> tuple[Array, Array]:
    """Return reflectance (n, m, 3), 0..1, and relief (n, m) in eye distances at u, v (n, m)."""
    rng = np.random.default_rng(look.seed)
    colour = np.broadcast_to(np.array(look.colour), (*u.shape, 3)).copy()
    relief = _wrinkles(rng, u, v, look.crumple)
    weave = rng.normal(0, 1, u.shape)
    relief += 0.0012 * gaussian_filter(weave, 1.0)
    if look.kind == "surgical":
        relief += _pleats(rng, u, v)
        _hem(colour, v, np.array(look.strap), 0.045)
        relief += _wire(u, v)
    elif look.kind == "kf94":
        relief += _seam(v - 0.34 - 0.12 * u**2, 0.02) + _seam(v - 0.68 + 0.12 * u**2, 0.02)
        relief += _wire(u, v)
    elif look.kind in {"kn95", "sponge", "cloth"}:
        relief += _seam(u, 0.02) * (2.0 if look.kind == "kn95" else 1.0)
    elif look.kind == "n95":
        relief += _seam(np.hypot(u, 2 * v - 1) - 0.86, 0.03)
        _valve(rng, colour, relief, u, v, look)
    if look.pattern != "plain":
        colour += (np.array(look.accent) - colour) * _pattern(rng, look.pattern, u, v)[..., None]
    return np.clip(colour * (1 + 0.02 * weave[..., None]), 0.005, 0.9), relief


def _pleats(rng: np.random.Generator, u: Array, v: Array) -> Array:
    """Three folds that lie over each other like roof tiles, opened in the middle."""
    count = int(rng.integers(3, 5))
    relief = np.zeros_like(v)
    opened = 0.05 * (1 - u**2)
    for number in range(count):
        line = 0.22 + 0.5 * number / (count - 1)
        below = v - line - opened * (line - 0.4)
        relief += _PLEAT * np.exp(-np.clip(below, 0, None) / 0.09) * (below > 0)
    return relief


def _seam(distance: Array, width: float) -> Array:
    return -0.025 * np.exp(-((distance / width) ** 2))


def _wire(u: Array, v: Array) -> Array:
    return 0.012 * np.exp(-(((v - 0.055) / 0.022) ** 2)) * (np.abs(u) < 0.42)


def _hem(colour: Array, v: Array, hem: Array, width: float) -> None:
    edge = ((v < width) | (v > 1 - width))[..., None] * 0.7
    colour += (hem - colour) * edge


def _valve(
    rng: np.random.Generator, colour: Array, relief: Array, u: Array, v: Array, look: MaskLook
) -> None:
    if rng.uniform() < 0.45:
        side = rng.choice((-1, 1)) * rng.uniform(0.2, 0.4)
        apart = np.hypot((u - side) / 0.2, (v - 0.55) / 0.15)
        colour += (np.array(look.accent) - colour) * (apart < 1)[..., None] * 0.6
        relief += 0.05 * (apart < 1)


def _wrinkles(rng: np.random.Generator, u: Array, v: Array, crumple: float) -> Array:
    """Soft folds: some along the pull towards the ears, some anywhere."""
    relief = np.zeros_like(u)
    for _ in range(int(3 + 9 * crumple)):
        angle = rng.normal(0, 0.5) if rng.uniform() < 0.7 else rng.uniform(-1.6, 1.6)
        x, y = rng.uniform(-1, 1), rng.uniform(0, 1)
        along = (u - x) * np.cos(angle) + 2 * (v - y) * np.sin(angle)
        across = -(u - x) * np.sin(angle) + 2 * (v - y) * np.cos(angle)
        long, thin = rng.uniform(0.25, 0.8), rng.uniform(0.03, 0.12)
        depth = rng.normal(0, 0.012 + 0.03 * crumple)
        relief += depth * np.exp(-((along / long) ** 2) - (across / thin) ** 2)
    return relief


def _pattern(rng: np.random.Generator, name: str, u: Array, v: Array) -> Array:
    """Return how much of the accent colour shows, 0 to 1."""
    x, y = u * 1.1, v * 1.6
    size = rng.uniform(0.12, 0.3)
    if name == "stripes":
        angle = rng.choice((0.0, 1.57, 0.79))
        return _wave(x * np.cos(angle) + y * np.sin(angle), size)
    if name == "checks":
        return 0.5 * _wave(x, size) + 0.5 * _wave(y, size)
    if name == "dots":
        row = np.floor(y / size)
        apart = np.hypot((x / size + 0.5 * (row % 2)) % 1 - 0.5, (y / size) % 1 - 0.5)
        return np.where(apart < rng.uniform(0.2, 0.36), 1.0, 0.0)
    grain = max(size * u.shape[1] / 7, 1.5)
    noise = gaussian_filter(rng.normal(0, 1, u.shape), grain)
    noise /= noise.std() + 1e-9
    if name == "paisley":
        return np.where(np.abs(noise) < 0.35, 1.0, 0.0)
    return np.where(noise > 0.5, 1.0, 0.0)


def _wave(x: Array, size: float) -> Array:
    return ((x / size) % 1 < 0.5).astype(np.float64)
