"""Face crops of a manifest's photos, to compare sources before any training."""

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from maskwise.config import PreprocessSettings
from maskwise.cores import core_count
from maskwise.data.frames import PhotoRef, photo_refs
from maskwise.data.framing import Framer
from maskwise.data.shortcuts import Pixels
from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError
from maskwise.transforms.preprocess import Preprocess

_SIDE: Final = 96
"""Pixels of a crop: enough to see how fine a source's details are."""
_FEW: Final = 64
"""Photos up to which no worker processes are started."""


def read_face_crops(frame: pl.DataFrame, detector: str = "yunet") -> Pixels:
    """Return the face crops of a manifest's photos, as training with the default crop sees them.

    Args:
        frame: n rows of a manifest.
        detector: What finds the faces: yunet, centerface or none.

    Returns:
        (n, 96, 96, 3); the crop of a photo that is missing or cannot be decoded is grey.

    Raises:
        DetectorError: The detector is not available.
    """
    settings = PreprocessSettings.model_validate(
        {"height": _SIDE, "width": _SIDE, "detector": detector}
    )
    framer = Framer(Preprocess.from_settings(settings, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    read = partial(_read, framer=framer)
    return np.stack(list(map_in_order(read, photo_refs(frame), core_count(), chunk=16, few=_FEW)))


def _read(photo: PhotoRef, framer: Framer) -> Pixels:
    try:
        return framer.frame(photo.path, photo.box).pixels
    except PhotoError:
        return np.full(framer.shape, 127, np.uint8)
