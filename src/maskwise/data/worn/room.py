"""Room for a mask: a photo that ends at the chin is continued, softly, to below it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from maskwise.data.worn.head import Head

_BELOW: Final = 2.35
"""Height on the face down to which a photo is continued: the neck under the chin."""
_BESIDE: Final = 1.25
_SHARPEST: Final = 12.0
"""Pixels of blur up to which every pixel is blurred; wider blurs work on a smaller copy."""
_MOST: Final = 0.3
"""Largest share of the photo's side that is added on a side."""


def with_room(pixels: NDArray[np.uint8], head: Head) -> tuple[NDArray[np.uint8], int, int]:
    """Return a photo (height, width, 3) with room about the lower face, and what was added.

    The room is the photo mirrored at its border and blurred; the two numbers are the pixels added
    on the left and at the top.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = _wanted(head)
    limit_x, limit_y = int(_MOST * width), int(_MOST * height)
    before_x = int(np.clip(np.ceil(-left), 0, limit_x))
    before_y = int(np.clip(np.ceil(-top), 0, limit_y))
    after_x = int(np.clip(np.ceil(right - width), 0, limit_x))
    after_y = int(np.clip(np.ceil(bottom - height), 0, limit_y))
    if not (before_x or before_y or after_x or after_y):
        return pixels, 0, 0
    added = (before_x, before_y, after_x, after_y)
    room = ((before_y, after_y), (before_x, after_x), (0, 0))
    larger = np.pad(pixels, room, mode="symmetric")
    for turns, count in enumerate(added):
        # seen with the added side on the left, the view of a turned array writes into it
        _soften(np.rot90(larger, (0, 1, 2, 3)[turns]), count, 0.12 * head.scale)
    return larger, before_x, before_y


def _soften(photo: NDArray[np.uint8], count: int, sigma: float) -> None:
    """Blur the first `count` columns of a photo (height, width, 3), in place, fading in."""
    if not count:
        return
    strip = photo[:, : count + int(4 * sigma) + 1]
    step = max(int(sigma / _SHARPEST), 1)  # a wide blur needs few pixels
    size = (max(strip.shape[1] // step, 1), max(strip.shape[0] // step, 1))
    small = np.asarray(Image.fromarray(strip).resize(size, Image.Resampling.BOX), dtype=np.float64)
    blurred = gaussian_filter(small, (sigma / step, sigma / step, 0))
    soft = np.asarray(Image.fromarray(np.rint(blurred).astype(np.uint8)).resize(strip.shape[1::-1]))
    soft = soft[:, :count]
    share = np.clip((count - np.arange(count)) / (0.5 * sigma + 1), 0, 1)[None, :, None]
    sharp = strip[:, :count].astype(np.float64)
    mixed = sharp + (soft - sharp) * share
    photo[:, :count] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _wanted(head: Head) -> tuple[float, float, float, float]:
    """Return the part of the photo that the lower face and the neck under it take."""
    turn = np.array([-_BESIDE, 0.0, _BESIDE, -_BESIDE, 0.0, _BESIDE])
    level = np.array([0.4, 0.4, 0.4, _BELOW, _BELOW, _BELOW])
    places = head.project(head.surface(turn, level))[:, :2]
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
