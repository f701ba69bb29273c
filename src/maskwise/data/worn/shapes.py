"""The cloth of a mask and its straps as surfaces in the head's space."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from maskwise.data.worn.head import (
    AXIS,
    CHIN,
    NOSE_TIP,
    Array,
    Head,
    front_line,
    half_width,
    nose_height,
    surface,
)
from maskwise.data.worn.looks import MaskLook

_EAR: Final = 1.5
"""Radians about the head's axis."""
_EAR_TOP: Final = -0.05
_EAR_BOTTOM: Final = 0.7
_SPAN_LEVELS: Final = np.array([0.9, 1.2, 1.5, 1.8, 2.1, 3.0])
_SPAN_WIDTH: Final = np.array([0.9, 0.95, 0.91, 0.84, 0.74, 0.7])
"""Half the width of cloth that a chin stretches, by level."""


@dataclass(frozen=True)
class Cut:
    """How the cloth lies: heights of its edges in the middle and at the sides, and its reach."""

    top: float
    top_side: float
    bottom: float
    bottom_side: float
    turn_top: float
    turn_bottom: float
    """Radians from the middle to the side, along the upper and the lower edge."""
    top_power: float
    bottom_power: float
    """1 is an edge straight to the side, 2 a round one."""
    stand: float
    """How far the cloth stands off the face."""
    beak: float
    """How far its middle stands out further."""
    drape: float
    """Half the width over which the cloth spans from nose to chin."""
    broad: float
    """How far the lower part keeps its width below the jaw, 0 (follows it) to 1."""


_CUTS: Final = {
    "surgical": Cut(0.26, 0.44, 1.92, 1.36, 1.02, 0.98, 1.7, 3.0, 0.04, 0.05, 0.5, 1.0),
    "kf94": Cut(0.2, 0.56, 1.95, 1.02, 1.12, 1.12, 1.2, 1.7, 0.05, 0.14, 0.62, 0.95),
    "kn95": Cut(0.18, 0.55, 1.92, 1.12, 1.05, 1.05, 1.3, 1.9, 0.05, 0.24, 0.42, 0.9),
    "n95": Cut(0.24, 0.72, 1.78, 1.2, 0.8, 0.8, 2.0, 2.0, 0.05, 0.26, 0.75, 0.9),
    "sponge": Cut(0.24, 0.38, 1.9, 1.1, 1.22, 1.18, 1.5, 2.1, 0.025, 0.08, 0.36, 0.85),
    "cloth": Cut(0.24, 0.44, 1.92, 1.16, 1.1, 1.02, 1.6, 2.4, 0.035, 0.08, 0.44, 0.9),
    "bandana": Cut(0.32, 0.34, 2.75, 1.75, 1.42, 1.25, 1.7, 1.5, 0.05, 0.06, 0.55, 1.1),
}


_SLIDES: Final = {
    "tip out": (0.79, 0.03, 0.12, 0.06),
    "nose out": (0.93, 0.07, 0.25, 0.1),
    "askew": (0.86, 0.08, 0.2, 0.05),
    "too small": (0.86, 0.08, 0.25, -0.1),
}
"""Place -> height of the upper edge, how far it varies, how far sides and lower edge slide."""
_PULLS: Final = {"mouth out": (1.33, 0.09, 0.82, 0.75), "under chin": (1.6, 0.14, 1.0, 0.7)}
"""Place -> height of the upper edge, how far it varies, height at the sides, of the cloth."""
_RAISES: Final = {
    "too high": (0.16, 0.1, 0.78),
    "over the eyes": (-0.38, 0.12, 1.05),
    "on the forehead": (-1.2, 0.1, 0.75),
}
"""Place -> height of the upper edge, how far it varies, height of the cloth."""


def sheet(look: MaskLook, u: Array, v: Array, head: Head) -> Array:
    """Return points (..., 3) of the cloth on a head at `u` (-1..1 across) and `v` (0..1 down)."""
    cut, long = _placed(_sized(_CUTS[look.kind], look), look, head.nose - NOSE_TIP), head.long
    if look.place == "one ear":
        return _hanging(cut, look, u, v, long)
    bend = np.abs(u)
    upper = cut.top + (cut.top_side - cut.top) * bend**cut.top_power
    lower = cut.bottom + (cut.bottom_side - cut.bottom) * bend**cut.bottom_power
    level = upper + (lower - upper) * v
    turn = u * (cut.turn_top + (cut.turn_bottom - cut.turn_top) * v)
    level = level + np.sin(turn) * half_width(level) * np.tan(look.tilt)
    points = head.surface(turn, level, nose=False)
    # cloth spans the hollow beside the chin instead of following the jaw
    broad = np.interp(level, _SPAN_LEVELS, _SPAN_WIDTH) * cut.broad
    points[..., 0] *= np.maximum(broad / half_width(level), 1.0)
    span = _span(level, cut, with_nose=look.place not in {"over the eyes", "on the forehead"})
    across = np.exp(-((np.abs(points[..., 0]) / cut.drape) ** 2.2))
    bulge = cut.beak * np.sin(np.pi * np.clip(v, 0, 1)) ** 0.8 * (1 - bend**2)
    points[..., 2] += span * across + bulge
    outward = np.stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)], axis=-1)
    return points + outward * cut.stand


def _sized(cut: Cut, look: MaskLook) -> Cut:
    middle = (cut.top_side + cut.bottom_side) / 2 + 0.2
    grown = {
        name: middle + (getattr(cut, name) - middle) * look.size
        for name in ("top", "top_side", "bottom", "bottom_side")
    }
    return replace(
        cut, **grown, turn_top=cut.turn_top * look.size, turn_bottom=cut.turn_bottom * look.size
    )


def _placed(cut: Cut, look: MaskLook, lower: float) -> Cut:
    """Return the cut moved to where the mask is worn; the nose's tip sits `lower` than usual."""
    lift = look.lift
    if look.place == "worn":
        top = 0.33 - 0.28 * lift + lower  # the lowest still covers the tip of the nose
        return replace(cut, top=top, top_side=max(cut.top_side, top + 0.06))
    if look.place in _SLIDES:
        top, rise, sides, below = _SLIDES[look.place]
        return _slid(cut, top - rise * lift + lower, sides, below)
    if look.place in _PULLS:
        top, top_rise, side, height = _PULLS[look.place]
        return _pulled(cut, top - top_rise * lift, side - 0.1 * lift, height)
    if look.place in _RAISES:
        top, rise, height = _RAISES[look.place]
        return _raised(cut, top - rise * lift, height)
    return cut


def _slid(cut: Cut, top: float, sides: float, below: float) -> Cut:
    """Slide the upper edge down to `top`; the loops hold the sides back, the chin the rest."""
    return replace(
        cut,
        top=top,
        top_side=max(cut.top_side + sides, min(top, 0.72)),
        bottom=max(cut.bottom + below, top + 0.5),
        bottom_side=max(cut.bottom_side + sides * 0.6, cut.top_side + sides + 0.3),
    )


def _pulled(cut: Cut, top: float, side: float, height: float) -> Cut:
    """Pull the mask down below `top`, crumpled to `height`."""
    return replace(
        cut,
        top=top,
        top_side=side,
        bottom=top + height,
        bottom_side=side + 0.45,
        turn_top=min(cut.turn_top, 1.05),
        turn_bottom=min(cut.turn_bottom, 0.9),
        beak=cut.beak * 0.5,
    )


def _raised(cut: Cut, top: float, height: float) -> Cut:
    return replace(
        cut, top=top, top_side=top + 0.12, bottom=top + height, bottom_side=top + 0.8 * height
    )


def _span(level: Array, cut: Cut, *, with_nose: bool) -> Array:
    """Return how far cloth stands before the face's middle line where it spans nose to chin."""
    heights = np.linspace(cut.top, cut.bottom, 80)
    ground = front_line(heights)
    stood = ground + nose_height(heights) if with_nose else ground
    lean = _upper_hull(heights, stood) - ground
    # below the chin nothing holds the cloth out
    lean = np.where(heights > CHIN, np.minimum(lean, 0.35), lean)
    span: Array = np.interp(level, heights, lean)
    return span


def _upper_hull(x: Array, y: Array) -> Array:
    """Return the least concave curve over y(x)."""
    hull: list[int] = []
    for place in range(len(x)):
        while len(hull) > 1:
            first, second = hull[-2], hull[-1]
            turn = (x[second] - x[first]) * (y[place] - y[first]) - (y[second] - y[first]) * (
                x[place] - x[first]
            )
            if turn < 0:
                break
            hull.pop()
        hull.append(place)
    curve: Array = np.interp(x, x[hull], y[hull])
    return curve


def _hanging(cut: Cut, look: MaskLook, u: Array, v: Array, long: float) -> Array:
    """Return the cloth as it hangs beside the face from one ear, turned on its side."""
    side = look.side
    tall, broad = 0.95 * look.size, 0.42 * look.size * (cut.bottom - cut.top)
    y = _EAR_BOTTOM * long + 0.1 + (u + 1) / 2 * tall
    x = side * (1.0 + broad * (v - 0.62) + 0.06 * np.sin(2.2 * u + look.lift))
    z = -0.35 - 0.25 * v + 0.08 * np.cos(3 * v + 2 * u)
    return np.stack([x, y + 0.12 * look.lift, z], axis=-1)


def straps(look: MaskLook, head: Head) -> list[Array]:
    """Return the straps as ribbons (n, 2, 3): two long edges each."""
    if not look.tied:
        return []
    sides = (look.side,) if look.place == "one ear" else (-1, 1)
    return [_strap(look, side, top, head) for side in sides for top in (True, False)]


def _strap(look: MaskLook, side: int, top: bool, head: Head) -> Array:
    long = head.long
    corner = np.array([float(side)]), np.array([0.04 if top else 0.95])
    if look.place == "one ear":
        corner = np.array([-1.0]), np.array([0.1 if top else 0.9])
    start = sheet(look, *corner, head)[0]
    high, low = _ear_heights(look)
    end = surface(np.array(side * _EAR), np.array((high if top else low) * long), long, nose=False)
    share = np.linspace(0, 1, 40)[:, None]
    line = start + (end - start) * share
    # it lies on the cheek: lift it to the surface wherever the straight way would cut through
    turn = np.arctan2(line[:, 0] / half_width(line[:, 1] / long), (line[:, 2] - AXIS) / 1.4)
    skin = surface(turn, line[:, 1], long, nose=False)
    outward = np.stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)], axis=-1)
    if look.place != "one ear":
        line = skin + outward * (0.045 - 0.02 * share)
    width = 0.05 if look.kind in {"sponge", "cloth"} else 0.03
    along = np.gradient(line, axis=0)
    sideways = np.cross(along, outward)
    sideways /= np.linalg.norm(sideways, axis=1, keepdims=True) + 1e-9
    return np.stack([line - sideways * width, line + sideways * width], axis=1)


def _ear_heights(look: MaskLook) -> tuple[float, float]:
    if look.kind in {"n95", "bandana"}:
        return -0.35, 0.55  # bands about the head
    return _EAR_TOP, _EAR_BOTTOM
