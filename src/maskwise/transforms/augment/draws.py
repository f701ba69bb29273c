"""The random numbers behind what is done to each photo."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

_NUMBERS: Final = (
    "flip", "rotate", "zoom", "shift_x", "shift_y", "shear_x", "shear_y", "brightness", "contrast",
    "saturation", "hue", "grey", "blur", "blur_sigma", "noise", "noise_sigma", "seed",
    "erase", "erase_share", "erase_aspect", "erase_x", "erase_y", "background", "background_cells",
    "resized_crop", "crop_share", "crop_aspect", "crop_x", "crop_y", "spare_x", "spare_y",
    "clahe", "clahe_limit", "jpeg", "jpeg_quality", "policy", "one_of_0", "one_of_1", "one_of_2",
    "one_of_3",
)  # fmt: skip
_STRENGTHS: Final = {
    "rotate": ("rotate",),
    "zoom": ("zoom",),
    "shift": ("shift_x", "shift_y"),
    "shear": ("shear_x", "shear_y"),
    "brightness": ("brightness",),
    "contrast": ("contrast",),
    "saturation": ("saturation",),
    "hue": ("hue",),
}
"""Changes of a strength either way, whose middle is no change; the others have a probability."""


@dataclass(frozen=True)
class Draws:
    """Uniform numbers 0..1 for n photos, by name, each a float32 tensor (n,) on the CPU."""

    values: dict[str, torch.Tensor]
    seeds: list[int] = field(default_factory=list)
    """A seed of each photo, for what needs more numbers."""

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.values[name]

    def spread(self, name: str, strength: float) -> torch.Tensor:
        """Return numbers uniform in -strength..strength."""
        return (2 * self.values[name] - 1) * strength

    def between(self, name: str, low: float, high: float) -> torch.Tensor:
        """Return numbers uniform in low..high."""
        return low + (high - low) * self.values[name]

    def chosen(self, name: str, probability: float) -> list[int]:
        """Return the positions of the photos that an event of this probability hits."""
        return torch.nonzero(self.values[name] < probability).flatten().tolist()

    def keep_one_of(self, groups: Sequence[Sequence[str]]) -> "Draws":
        """Return draws in which each photo keeps one change of each group."""
        values = dict(self.values)
        for number, group in enumerate(groups):
            kept = (self.values[f"one_of_{number}"] * len(group)).long()
            for place, change in enumerate(group):
                neutral = 0.5 if change in _STRENGTHS else 1.0
                for name in _STRENGTHS.get(change, (change,)):
                    values[name] = torch.where(kept == place, values[name], neutral)
        return Draws(values, self.seeds)


def draw(rows: NDArray[np.int64], seed: int, epoch: int, stream: int = 0) -> Draws:
    """Draw what is done to each photo; number r of epoch e gets the same draws in any batch.

    Another `stream` gives other numbers for the same photos.
    """
    numbers = np.array(
        [
            np.random.Generator(
                np.random.Philox(key=[seed << 32 | epoch, stream << 60 | row])
            ).random(len(_NUMBERS))
            for row in rows.tolist()
        ]
    ).reshape(len(rows), len(_NUMBERS))
    columns = torch.from_numpy(numbers.T.astype(np.float32))
    seeds = (numbers[:, _NUMBERS.index("seed")] * 2**52).astype(np.int64)
    return Draws(dict(zip(_NUMBERS, columns, strict=True)), seeds.tolist())
