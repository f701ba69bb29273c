"""From an image and the face in it to the model's frame: the geometry, saved with the model.

Which face it is, `data.framing` finds out before; the network's scaling of values comes after.
"""

import hashlib
import json
import math
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.config import Positive, PreprocessSettings
from maskwise.errors import PhotoError
from maskwise.transforms.decode import PhotoLike, decode_photo, photo_name

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

OUTSIDE: Final = 127
"""Grey of what lies outside the photo: about zero for the network, unlike drawn-out edges."""
_VERSION: Final = 4
"""Raised when the pixels of `frame` change, so that caches are made anew."""


class Preprocess(PreprocessSettings):
    """The preprocessing of one model: its settings, with detector, mean and deviation known."""

    detector: Literal["yunet", "centerface", "none"] = "none"
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]

    @classmethod
    def from_settings(
        cls,
        settings: PreprocessSettings,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> Self:
        """Build from settings; `mean` and `std` are the backbone's, used where none are set.

        The detector must be resolved: `auto` is refused.
        """
        values = settings.model_dump()
        return cls(**{**values, "mean": settings.mean or mean, "std": settings.std or std})

    @property
    def frame_key(self) -> str:
        """A short key of everything that decides the pixels of `frame`."""
        names = ("height", "width", "fit", "centre", "margin", "detector", "align", "spare", "edge")
        fields = [_VERSION, *(getattr(self, name) for name in names)]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]

    def frame(
        self,
        photo: PhotoLike,
        box: Box | None = None,
        tilt: float = 0.0,
        outside: int = OUTSIDE,
    ) -> NDArray[np.uint8]:
        """Return a photo, or the face in `box`, as RGB pixels (height, width, 3).

        Both sides are longer by twice `spare`, which training crops off at random and
        `network_input.middle` evenly. A face that is turned clockwise by `tilt` degrees is turned
        upright. What lies outside the photo has the value `outside`.

        Raises:
            PhotoError: the photo cannot be decoded, or the box lies outside it.
        """
        image = decode_photo(photo)
        try:
            region = face_region(self, image.size, box)
        except ValueError as error:
            raise PhotoError(f"{photo_name(photo)}: {error}") from error
        if tilt:
            image, region = level_region(image, region, tilt, outside)
        width, height = self.frame_size
        return scale_region(image, region, width, height, outside)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of what `frame` returns, in pixels."""
        return self.width + 2 * self.spare, self.height + 2 * self.spare


def face_region(settings: PreprocessSettings, size: tuple[int, int], box: Box | None) -> Box:
    """Return the part of a photo of (width, height) that fills the frame and the spare about it.

    It may reach outside.

    Raises:
        ValueError: the box lies outside the photo.
    """
    left, top, right, bottom = box or (0.0, 0.0, float(size[0]), float(size[1]))
    if box and (left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0):
        raise ValueError(f"the box {box} lies outside the photo of {size[0]}x{size[1]}")
    if settings.fit == "native":
        return _native_region(settings, (left + right) / 2, (top + bottom) / 2)
    if box:
        grow = settings.margin * max(right - left, bottom - top)
        left, top, right, bottom = left - grow, top - grow, right + grow, bottom + grow
    across, down = (right - left) / settings.width, (bottom - top) / settings.height
    # a face must stay whole, so a box is padded to the frame's shape, never cut
    choose = min if settings.fit == "cover" and not box else max
    scale = choose(across, down) * (1.0 if box else settings.centre)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    if settings.edge == "slide" and box:
        scale, middle_x, middle_y = _slid(settings, size, box, scale)
    half_x = scale * (settings.width / 2 + settings.spare)
    half_y = scale * (settings.height / 2 + settings.spare)
    return middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y


def _slid(
    settings: PreprocessSettings, size: tuple[int, int], box: Box, scale: float
) -> tuple[float, float, float]:
    """Return the scale and the middle of a crop that lies in the photo, as far as the face does.

    The margin is what the photo has of it; the face stays whole, in the middle if it can. Spare
    pixels may lie outside.
    """
    frame = (settings.width, settings.height)
    inside = min(size[axis] / frame[axis] for axis in (0, 1))
    whole = max((box[axis + 2] - box[axis]) / frame[axis] for axis in (0, 1))
    scale = max(min(scale, inside), whole)
    middles = []
    for axis in (0, 1):
        half, middle = scale * frame[axis] / 2, (box[axis] + box[axis + 2]) / 2
        low, high = min(half, size[axis] / 2), max(size[axis] - half, size[axis] / 2)
        middles.append(min(max(middle, low), high))
    return scale, middles[0], middles[1]


def _native_region(settings: PreprocessSettings, middle_x: float, middle_y: float) -> Box:
    """Return a region of whole pixels of the frame's size about a point."""
    width, height = settings.width + 2 * settings.spare, settings.height + 2 * settings.spare
    left, top = round(middle_x - width / 2), round(middle_y - height / 2)
    return left, top, left + width, top + height


def level_region(
    image: Image.Image, region: Box, tilt: float, outside: int = OUTSIDE
) -> tuple[Image.Image, Box]:
    """Return the part of an image about a region, turned upright, and the region in it.

    What is turned clockwise by `tilt` degrees is upright then; the region's middle stays.
    """
    left, top, right, bottom = region
    reach = math.ceil(math.hypot(right - left, bottom - top) / 2) + 1
    x, y = round((left + right) / 2), round((top + bottom) / 2)
    first_x, first_y = x - reach, y - reach
    around = cut_window(image, (first_x, first_y, x + reach, y + reach), outside)
    middle = ((left + right) / 2 - first_x, (top + bottom) / 2 - first_y)
    turned = around.rotate(tilt, Image.Resampling.BICUBIC, center=middle)
    return turned, (left - first_x, top - first_y, right - first_x, bottom - first_y)


def cut_window(
    image: Image.Image, window: tuple[int, int, int, int], outside: int = OUTSIDE
) -> Image.Image:
    """Return the pixels of a window that meets an image; outside it they are `outside`."""
    first = (max(window[0], 0), max(window[1], 0))
    last = (min(window[2], image.width), min(window[3], image.height))
    pixels = np.asarray(image.crop((*first, *last)))
    across, down = ((first[axis] - window[axis], window[axis + 2] - last[axis]) for axis in (0, 1))
    return Image.fromarray(_padded(pixels, down, across, outside))


def scale_region(
    image: Image.Image, region: Box, width: int, height: int, outside: int = OUTSIDE
) -> NDArray[np.uint8]:
    """Return a region that meets an image as pixels (height, width, 3); the rest is `outside`."""
    left, top, right, bottom = region
    scale_x, scale_y = width / (right - left), height / (bottom - top)
    inside = (
        max(left, 0.0),
        max(top, 0.0),
        min(right, float(image.width)),
        min(bottom, float(image.height)),
    )
    first_x = min(round((inside[0] - left) * scale_x), width - 1)
    first_y = min(round((inside[1] - top) * scale_y), height - 1)
    last_x = max(round((inside[2] - left) * scale_x), first_x + 1)
    last_y = max(round((inside[3] - top) * scale_y), first_y + 1)
    size = (last_x - first_x, last_y - first_y)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=inside))
    return _padded(pixels, (first_y, height - last_y), (first_x, width - last_x), outside)


def _padded(
    pixels: NDArray[np.uint8], down: tuple[int, int], across: tuple[int, int], outside: int
) -> NDArray[np.uint8]:
    if down == across == (0, 0):
        return pixels.copy()  # Pillow's own may not be written to
    return np.pad(pixels, (down, across, (0, 0)), constant_values=outside)
