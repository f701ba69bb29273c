"""Photos made of two: CutMix and MixUp, with what each half is known to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.config import MixSettings
from maskwise.labels import TASKS, UNKNOWN
from maskwise.transforms.augment.numbers import Rows, photo_rows

_STREAM: Final = 2 << 60
"""Apart from the streams of `draws.draw`."""
_OLD: Final = TASKS["age_group"].index("old")


@dataclass(frozen=True)
class Mix:
    """What is done to n photos of which some are mixed; arrays are of the m mixed ones."""

    photo: Rows
    """(m,) positions among the n photos."""
    partner: Rows
    """(m,) rows of the other photos."""
    kept: NDArray[np.float32]
    """(m,) share that the photo itself keeps."""
    box: NDArray[np.float32]
    """(m, 4): left, top, right, bottom, in shares, of what the other photo covers; NaN: blended."""


class Mixer:
    """Chooses, for each photo of an epoch, whether it is mixed, with which other, and how.

    The choice follows from seed, epoch and photo alone, so it is the same in any batch. The other
    photo is any training photo that fits; it can be mixed in turn.
    """

    def __init__(
        self,
        settings: MixSettings,
        codes: Mapping[str, NDArray[np.int64]],
        ages: NDArray[np.floating],
        train_rows: Rows,
        seed: int,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._codes = codes
        self._ages = ages
        old = codes["age_group"][train_rows] == _OLD
        self._partners = train_rows[old] if settings.with_old else train_rows

    def plan(self, rows: Rows, epoch: int) -> Mix:
        """Return how photos `rows` are mixed in an epoch."""
        settings, parts = self._settings, []
        for photo, row in enumerate(rows.tolist()) if settings.enabled else ():
            generator = np.random.Generator(
                np.random.Philox(key=[self._seed << 32 | epoch, _STREAM | row])
            )
            event = generator.random()
            if event >= settings.cutmix + settings.mixup:
                continue
            partner = self._partner(photo_rows(row), generator)
            if partner is None:
                continue
            kept, box = self._cut(generator) if event < settings.cutmix else self._blend(generator)
            parts.append((photo, partner, kept, box))
        return Mix(
            np.array([part[0] for part in parts], dtype=np.int64),
            np.array([part[1] for part in parts], dtype=np.int64),
            np.array([part[2] for part in parts], dtype=np.float32),
            np.array([part[3] for part in parts], dtype=np.float32).reshape(len(parts), 4),
        )

    def _partner(self, row: int, generator: np.random.Generator) -> int | None:
        """Return the row of another photo that fits, or None where there is none."""
        settings, partners = self._settings, self._partners
        fits = partners != row
        if settings.within_mask:
            mask = self._codes["mask"]
            fits &= (mask[partners] == mask[row]) & (mask[row] != UNKNOWN)
        if settings.age_gap:
            fits &= np.abs(self._ages[partners] - self._ages[row]) <= settings.age_gap
        found = partners[fits]
        return int(found[generator.integers(len(found))]) if len(found) else None

    def _cut(self, generator: np.random.Generator) -> tuple[float, tuple[float, ...]]:
        """Return the share that is kept, and the box that is not (Yun et al., 2019, equation 2)."""
        settings = self._settings
        if settings.cutmix_shape == "half":
            kept = generator.uniform(*settings.cutmix_keep)
            left = generator.random() < 0.5
            return kept, (kept, 0.0, 1.0, 1.0) if left else (0.0, 0.0, 1 - kept, 1.0)
        half = np.sqrt(1 - generator.beta(settings.alpha, settings.alpha)) / 2
        x, y = generator.random(2)
        left, right = max(0.0, x - half), min(1.0, x + half)
        top, bottom = max(0.0, y - half), min(1.0, y + half)
        return 1 - (right - left) * (bottom - top), (left, top, right, bottom)

    def _blend(self, generator: np.random.Generator) -> tuple[float, tuple[float, ...]]:
        """Return the weight that is kept (Zhang et al., 2018, 'mixup')."""
        return generator.beta(self._settings.alpha, self._settings.alpha), (np.nan,) * 4


def mix_photos(photos: torch.Tensor, others: torch.Tensor, mix: Mix) -> None:
    """Mix photos (n, 3, height, width) with the others (m, 3, height, width), in place."""
    height, width = photos.shape[2:]
    # what a photo was must still be there when it is mixed into another: others are copies
    for number, photo in enumerate(mix.photo.tolist()):
        if np.isnan(mix.box[number, 0]):
            photos[photo].lerp_(others[number], 1 - float(mix.kept[number]))
            continue
        left, top, right, bottom = pixel_box(mix.box[number], height, width)
        photos[photo, :, top:bottom, left:right] = others[number, :, top:bottom, left:right]


def pixel_box(box: NDArray[np.floating], height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in whole pixels of a box in shares."""
    left, top, right, bottom = (float(edge) for edge in box)
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def kept_shares(mix: Mix, height: int, width: int) -> NDArray[np.float32]:
    """Return (m,) the share of each mixed photo that is its own, in whole pixels of a frame."""
    shares = mix.kept.copy()
    for number, box in enumerate(mix.box):
        if not np.isnan(box[0]):
            left, top, right, bottom = pixel_box(box, height, width)
            shares[number] = 1 - (right - left) * (bottom - top) / (height * width)
    return shares
