"""Several looks at one photo: what is answered is their mean, or their vote."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from kornia.geometry.transform import affine, get_affine_matrix2d

from maskwise.config import AugmentSettings
from maskwise.errors import SettingsError
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.network_input import middle, to_planes

Look = tuple[bool, float, float]
"""Mirrored or not, zoom, rotation in degrees."""
_PLAIN: Final[Look] = (False, 1.0, 0.0)
_FIXED: Final[dict[str, tuple[Look, ...]]] = {
    "1": (_PLAIN,),
    "flip": (_PLAIN, (True, 1.0, 0.0)),
    "4": tuple((flip, zoom, 0.0) for zoom in (1.0, 1.1) for flip in (False, True)),
    "8": tuple(
        (flip, zoom, turn)
        for zoom, turn in ((1.0, 0.0), (1.1, 0.0), (1.05, -5.0), (1.05, 5.0))
        for flip in (False, True)
    ),
}


@dataclass(frozen=True)
class Views:
    """Which looks are taken at each photo, and how they are counted."""

    looks: tuple[Look, ...] = (_PLAIN,)
    """Fixed looks."""
    random: int = 0
    """Looks drawn from training's own changes, after one of the photo as it is."""
    how: Literal["soft", "hard"] = "soft"
    """The mean of probabilities, or a vote of answers."""

    @classmethod
    def named(cls, name: str, how: Literal["soft", "hard"] = "soft") -> "Views":
        """Return the views of a name: 1, flip, 4, 8, or random:5.

        4 mirrors the photo and a zoom of 1.1; 8 mirrors these and turns of 5 degrees either way.

        Raises:
            SettingsError: there are no such views.
        """
        drawn = re.fullmatch(r"random:([1-9]\d?)", name)
        if drawn:
            return cls(random=int(drawn[1]), how=how)
        if name not in _FIXED:
            raise SettingsError(
                f"--views {name!r}: expected {', '.join(_FIXED)}, or random:N with N from 1 to 99"
            )
        return cls(_FIXED[name], how=how)

    @property
    def count(self) -> int:
        """How often the network runs for each photo."""
        return len(self.looks) + self.random

    def of(
        self, frames: torch.Tensor, spare: int, augment: AugmentSettings | None
    ) -> Iterator[torch.Tensor]:
        """Yield each look at frames: photos (n, 3, height, width) in 0..1.

        `frames` is uint8 (n, height, width, 3) with `spare` pixels about them. `augment` are the
        changes that the model was trained with, for random looks; they follow from the photo's
        pixels alone.
        """
        photos = to_planes(middle(frames, spare))
        for look in self.looks:
            yield photos.clone() if look == _PLAIN else _seen(photos, look)
        if not self.random:
            return
        change = Augment(augment or AugmentSettings(), spare)
        seeds = np.array([zlib.crc32(frame.tobytes()) for frame in frames.cpu().numpy()])
        for number in range(self.random):
            yield change(frames, draw(seeds, number, 0))


def movable_changes(settings: AugmentSettings) -> AugmentSettings:
    """Return changes to training photos that need no file, so that a model can keep them."""
    named = settings.policy in ("none", "randaugment", "trivialaugment")
    values = {
        "background": 0.0,
        "mattes": None,
        "policy": settings.policy if named else "none",
    }
    lost = {"background", *(() if named else ("policy",))}
    one_of = [[change for change in group if change not in lost] for group in settings.one_of]
    kept = [group for group in one_of if len(group) > 1]
    return AugmentSettings.model_validate({**settings.model_dump(), **values, "one_of": kept})


def _seen(photos: torch.Tensor, look: Look) -> torch.Tensor:
    mirrored, zoom, turn = look
    seen = photos.flip(3) if mirrored else photos
    if zoom == 1 and not turn:
        return seen
    count, _, height, width = photos.shape
    centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]]).expand(count, 2)
    matrix = get_affine_matrix2d(
        torch.zeros(count, 2), centre, torch.full((count, 2), zoom), torch.full((count,), turn)
    )
    moved: torch.Tensor = affine(seen, matrix[:, :2].to(photos), padding_mode="border")
    return moved
