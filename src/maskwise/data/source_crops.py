"""Face crops of a manifest's photos, to compare sources before any training."""

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from maskwise.config import PreprocessSettings
from maskwise.cores import core_count
from maskwise.data.frames import PhotoRef, photo_refs
from maskwise.data.framing import Framer
from maskwise.data.shortcuts import Crops, Pixels
from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError
from maskwise.transforms.preprocess import OUTSIDE, Preprocess

_SIDE: Final = 96
"""Pixels of a crop: enough to see how fine a source's details are."""
_FEW: Final = 64
"""Photos up to which no worker processes are started."""


def read_face_crops(frame: pl.DataFrame, detector: str = "yunet") -> Crops:
    """Return the face crops of a manifest's photos, as training with the default crop sees them.

    Args:
        frame: n rows of a manifest.
        detector: What finds the faces: yunet, centerface or none.

    Returns:
        Crops of 96 by 96 pixels; that of a photo that is missing or cannot be decoded is grey, and
        marked as not readable.

    Raises:
        DetectorError: The detector is not available.
    """
    settings = PreprocessSettings.model_validate(
        {"height": _SIDE, "width": _SIDE, "detector": detector}
    )
    framer = Framer(Preprocess.from_settings(settings, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    read = partial(_read, framer=framer)
    found = list(map_in_order(read, photo_refs(frame), core_count(), chunk=16, few=_FEW))
    blank = np.full(framer.shape, OUTSIDE, np.uint8)
    crops = np.stack([blank if pixels is None else pixels for pixels in found])
    return crops, np.array([pixels is not None for pixels in found])


def _read(photo: PhotoRef, framer: Framer) -> Pixels | None:
    try:
        return framer.frame(photo.path, photo.box).pixels
    except PhotoError:
        return None
