"""The photos of the twin: rendered masks, cut to the competition's size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from PIL import Image

from benchmarks.competition_twin.people import Person
from maskwise.data.derived import DerivedSet, derive_set, save_photo
from maskwise.data.masks import MaskStep
from maskwise.labels import age_group_of
from maskwise.transforms.decode import decode_photo

SIZE: Final = (384, 512)
WORN, WRONG, BARE = 5, 1, 1
EYES_AT: Final = 0.42
"""Height of the eyes in a photo, from above, as far as its edges allow."""
RENDERED: Final = "rendered"
"""Folder of the photos before they are cut to size."""
QUALITY: Final = 92


def render(people: Sequence[Person], out: Path, seed: int, workers: int) -> DerivedSet:
    """Render the seven photos of each person: five with masks worn correctly, one incorrectly."""
    frame = pl.DataFrame(
        [
            {"photo": one.photo, "person": f"{one.number:06d}", "mask": "not_wear",
             "gender": one.gender, "age": one.age, "age_group": age_group_of(one.age),
             "box": None, "source": "twin", "fold": None}
            for one in people
        ],
        schema_overrides={"box": pl.String, "fold": pl.String},
    )  # fmt: skip
    step = MaskStep("yunet", wear=WORN, incorrect=WRONG, bare=BARE, seed=seed)
    done = Counted("rendering", len(people))
    return derive_set(
        frame, out / RENDERED, step, workers, done, stems=[f"{one.folder}/0" for one in people]
    )


class Counted:
    """Says now and then how far some work is."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0

    def __call__(self, more: int) -> None:
        before, self._done = self._done, self._done + more
        if before // 500 != self._done // 500 or self._done == self._total:
            print(f"{self._what} {self._done}/{self._total}", flush=True)


def window(size: tuple[int, int], eyes: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return the largest part of 3:4 of a photo of (width, height), with the eyes about its middle.

    Returns:
        Left, top, right and bottom in pixels, inside the photo.
    """
    width, height = size
    across = min(width, height * SIZE[0] / SIZE[1])
    down = across * SIZE[1] / SIZE[0]
    left = min(max(eyes[0] - across / 2, 0), width - across)
    top = min(max(eyes[1] - EYES_AT * down, 0), height - down)
    return round(left), round(top), round(left + across), round(top + down)


@dataclass(frozen=True)
class Cut:
    """A rendered photo, where its eyes are, and where it goes."""

    source: Path
    eyes: tuple[float, float]
    target: Path


def cut(photo: Cut) -> None:
    """Write one photo of the twin."""
    if photo.target.exists():
        return
    image = decode_photo(photo.source)
    part = image.crop(window(image.size, photo.eyes))
    save_photo(part.resize(SIZE, Image.Resampling.LANCZOS), photo.target, QUALITY)
