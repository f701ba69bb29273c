"""More photos of rare labels: changed copies, and blends of two people of neighbouring ages.

Only training photos are copied, so a copy is never scored; it keeps its person and fold. Its source
tells what it is, so that it is not split anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from PIL import Image, ImageEnhance, ImageOps

from maskwise.data.boxes import box_text, parse_box
from maskwise.data.derived import Outcome, Row, save_photo
from maskwise.data.source_names import COPY
from maskwise.errors import ManifestError
from maskwise.labels import TASKS
from maskwise.transforms.decode import decode_photo

How = Literal["change", "mix"]
_PARTNER: Final = "partner"
_ZOOM: Final = 0.12
"""Largest share of a side that a changed copy leaves out."""
_COLOUR: Final = 0.2
_NOISE: Final = 6.0
_QUALITY: Final = (70, 95)
_KEPT: Final = (0.3, 0.7)
"""Share that the photo itself has in a blend."""


@dataclass(frozen=True)
class MultiplyStep:
    """Writes copies of a photo; a `Step` of `data.derived`."""

    times: Mapping[str, int] = field(default_factory=dict)
    """Label -> how many photos there shall be in place of one."""
    how: How = "change"
    seed: int = 0
    name: str = "multiply"

    def options(self) -> dict[str, Any]:
        """Return what decides the pixels."""
        return {"times": dict(self.times), "how": self.how, "seed": self.seed}

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        """Write the copies of a photo.

        Raises:
            PhotoError: the photo, or the one that it is blended with, cannot be decoded.
            StorageError: the disk is full or the folder cannot be written.
        """
        image = decode_photo(row["photo"])
        made = []
        for copy in range(1, copies_of(row, self.times) + 1):
            generator = np.random.default_rng(_number(self.seed, stem, copy))
            changed = {name: row[name] for name in row if not name.startswith(_PARTNER)}
            changed["source"] = f"{row['source'] or ''}{COPY}"
            changed["photo"] = str(Path("images") / f"{stem}-{copy}.jpg")
            quality = _QUALITY[1]
            if self.how == "mix":
                picture = _blended(image, row, changed, generator)
            else:
                picture = _changed(image, changed, generator)
                quality = int(generator.integers(*_QUALITY, endpoint=True))
            save_photo(picture, out / changed["photo"], quality)
            made.append(changed)
        return Outcome(made)


def _number(seed: int, stem: str, copy: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {copy} {stem}".encode()).digest()[:8])


def copies_of(row: Row, times: Mapping[str, int]) -> int:
    """Return how many copies a row gets: of its labels', the most, less the photo itself."""
    return max((times.get(row[task] or "", 1) for task in TASKS), default=1) - 1


def rows_to_copy(
    frame: pl.DataFrame, times: Mapping[str, int], how: How, age_gap: float, seed: int
) -> pl.DataFrame:
    """Return the training rows that get copies; with `how` mix, each with a partner.

    A partner is another person of the same mask state, gender and age group, whose age differs by
    `age_gap` years at most; a photo without one is left out.

    Raises:
        ManifestError: no row is in the fold train, or none gets a copy; or faces to be blended
            are in boxes.
    """
    train = frame.filter(pl.col("fold") == "train")
    if train.is_empty():
        raise ManifestError(
            "no row is in the fold train, and copies of others would be scored: split the manifest "
            "first, with maskwise data split --val"
        )
    chosen = [copies_of(row, times) > 0 for row in train.iter_rows(named=True)]
    rows = train.filter(pl.Series(chosen))
    if how == "mix":
        if rows["box"].drop_nulls().len():
            raise ManifestError(
                "faces in boxes lie anywhere in their photos, so blends would miss them: cut them "
                "out first, with maskwise data crop"
            )
        rows = _with_partners(rows, train, age_gap, seed)
    if rows.is_empty():
        raise ManifestError(
            f"no training photo to copy for {', '.join(times)}"
            + (f" with a partner of {age_gap:g} years at most" if how == "mix" else "")
        )
    return rows


def _with_partners(
    rows: pl.DataFrame, train: pl.DataFrame, age_gap: float, seed: int
) -> pl.DataFrame:
    alike = ["mask", "gender", "age_group"]
    groups = {
        key: part.select("photo", "person", "age").rows(named=True)
        for key, part in train.drop_nulls([*alike, "age"]).group_by(alike)
    }
    generator = np.random.default_rng(seed)
    partners = []
    for row in rows.iter_rows(named=True):
        others = [
            other
            for other in groups.get(tuple(row[name] for name in alike), [])
            if row["age"] is not None
            and other["person"] != row["person"]
            and abs(other["age"] - row["age"]) <= age_gap
        ]
        partners.append(others[generator.integers(len(others))] if others else None)
    return rows.with_columns(
        pl.Series(_PARTNER, [p["photo"] if p else None for p in partners], pl.String),
        pl.Series(f"{_PARTNER}_age", [p["age"] if p else None for p in partners], pl.Int64),
    ).drop_nulls(_PARTNER)


def _changed(image: Image.Image, row: Row, generator: np.random.Generator) -> Image.Image:
    """Return a photo mirrored or not, a little nearer, in other light, with noise; move its box."""
    box = parse_box(row["box"]) if row["box"] else None
    left, right = _part(image.width, box and (box[0], box[2]), generator)
    top, bottom = _part(image.height, box and (box[1], box[3]), generator)
    width, height = right - left, bottom - top
    picture = image.crop((left, top, right, bottom))
    mirrored = generator.random() < 0.5
    if mirrored:
        picture = ImageOps.mirror(picture)
    if box:
        across = (box[0] - left, box[2] - left)
        across = (width - across[1], width - across[0]) if mirrored else across
        row["box"] = box_text((across[0], box[1] - top, across[1], box[3] - top))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(generator.uniform(1 - _COLOUR, 1 + _COLOUR))
    noise = generator.normal(0, generator.uniform(0, _NOISE), (height, width, 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def _part(
    length: int, kept: tuple[float, float] | None, generator: np.random.Generator
) -> tuple[int, int]:
    """Return the ends of a random part of a side, which leaves out nothing of what is kept."""
    low, high = kept or (length * _ZOOM, length * (1 - _ZOOM))
    first = generator.integers(int(min(max(low, 0), length * _ZOOM / 2)) + 1)
    last = generator.integers(int(min(max(length - high, 0), length * _ZOOM / 2)) + 1)
    return int(first), length - int(last)


def _blended(
    image: Image.Image, row: Row, made: Row, generator: np.random.Generator
) -> Image.Image:
    """Return a photo blended with its partner's (Zhang et al., 2018, 'mixup'); set the mean age."""
    kept = float(generator.uniform(*_KEPT))
    other = ImageOps.fit(decode_photo(row[_PARTNER]), image.size)
    made["age"] = round(kept * row["age"] + (1 - kept) * row[f"{_PARTNER}_age"])
    return Image.blend(other, image, kept)
