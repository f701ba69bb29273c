"""From an upright image to the model's frame: the same for training, evaluation and serving.

`Preprocess.frame` is all that happens to a photo before the network apart from scaling its
values; its settings are saved with the model.
"""

import hashlib
import json
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.config import Positive, PreprocessSettings
from maskwise.errors import PhotoError
from maskwise.transforms.decode import PhotoLike, decode_photo, photo_name

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

_VERSION: Final = 1
"""Raised when the pixels of `frame` change, so that caches are made anew."""


class Preprocess(PreprocessSettings):
    """The preprocessing of one model: its settings, with mean and deviation known."""

    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]

    @classmethod
    def from_settings(
        cls,
        settings: PreprocessSettings,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> Self:
        """Build from settings; `mean` and `std` are the backbone's, used where none are set."""
        values = settings.model_dump()
        return cls(**{**values, "mean": settings.mean or mean, "std": settings.std or std})

    @property
    def frame_key(self) -> str:
        """A short key of everything that decides the pixels of `frame`."""
        fields = [_VERSION, self.height, self.width, self.fit, self.centre, self.margin]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]

    def frame(self, photo: PhotoLike, box: Box | None = None) -> NDArray[np.uint8]:
        """Return a photo, or the face in `box`, as RGB pixels (height, width, 3).

        Raises:
            PhotoError: the photo cannot be decoded, or the box lies outside it.
        """
        image = decode_photo(photo)
        try:
            region = self._region(image.size, box)
        except ValueError as error:
            raise PhotoError(f"{photo_name(photo)}: {error}") from error
        return _sample(image, region, self.width, self.height)

    def _region(self, size: tuple[int, int], box: Box | None) -> Box:
        """Return the part of the photo (it may reach over the border) that fills the frame.

        Raises:
            ValueError: the box lies outside the photo.
        """
        left, top, right, bottom = box or (0.0, 0.0, float(size[0]), float(size[1]))
        if box:
            if left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
                raise ValueError(f"the box {box} lies outside the photo of {size[0]}x{size[1]}")
            grow = self.margin * max(right - left, bottom - top)
            left, top, right, bottom = left - grow, top - grow, right + grow, bottom + grow
        across, down = (right - left) / self.width, (bottom - top) / self.height
        # a face must stay whole, so a box is padded to the frame's shape, never cut
        choose = min if self.fit == "cover" and not box else max
        scale = choose(across, down) * (1.0 if box else self.centre)
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        half_x, half_y = scale * self.width / 2, scale * self.height / 2
        return middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y


def _sample(image: Image.Image, region: Box, width: int, height: int) -> NDArray[np.uint8]:
    """Scale the part of `region` that lies in the image; repeat its edge pixels outside."""
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
    padding = ((first_y, height - last_y), (first_x, width - last_x), (0, 0))
    return np.pad(pixels, padding, mode="edge")
