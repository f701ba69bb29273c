"""All random changes to the photos of a batch, in order."""

from typing import Final

import torch
from torch.nn import functional as nnf

from maskwise.config import AugmentSettings
from maskwise.transforms.augment.colour import change_colour
from maskwise.transforms.augment.damage import add_noise, blur, compress, equalise, erase
from maskwise.transforms.augment.draws import Draws
from maskwise.transforms.augment.geometry import change_geometry
from maskwise.transforms.augment.policy import apply_policy, build_policy
from maskwise.transforms.network_input import middle, to_planes

_CELLS: Final = (1, 2, 5)
"""Random colours on a side of a new background, spread out over the photo."""


class Augment:
    """Augments frames; the model's normalisation is not part of it.

    Geometry is one affine resampling and colour one matrix per photo; the rest touches only the
    photos that it is drawn for.

    Raises:
        SettingsError: the policy is a file that cannot be used.
    """

    def __init__(self, settings: AugmentSettings, spare: int = 0) -> None:
        self._settings = settings
        self._spare = spare
        self._policy = build_policy(settings)

    def __call__(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Return augmented photos: float32 (n, 3, height, width) in 0..1.

        `frames` is uint8 (n, height, width, 3), or 4 with a matte: 255 is person. They have `spare`
        pixels more on each side than what is returned.
        """
        settings = self._settings
        if not settings.enabled:
            return to_planes(middle(frames, self._spare))
        photos = to_planes(frames)
        draws = draws.keep_one_of(settings.one_of)
        if frames.shape[-1] == 4:
            self._background(photos, frames[..., 3], draws)
        photos = change_geometry(photos, draws, settings, self._spare)
        if self._policy is not None:
            apply_policy(photos, draws, self._policy, settings)
        equalise(photos, draws, settings)
        photos = change_colour(photos, draws, settings)
        blur(photos, draws, settings)
        add_noise(photos, draws, settings)
        compress(photos, draws, settings)
        erase(photos, draws, settings)
        return photos.clamp_(0, 1)

    def _background(self, photos: torch.Tensor, mattes: torch.Tensor, draws: Draws) -> None:
        """Put another background behind some people: one colour, a gradient, or soft clouds."""
        for photo in draws.chosen("background", self._settings.background):
            cells = _CELLS[min(int(draws["background_cells"][photo] * len(_CELLS)), 2)]
            generator = torch.Generator().manual_seed(draws.seeds[photo] ^ 1)
            colours = torch.rand((1, 3, cells, cells), generator=generator).to(photos.device)
            size = [photos.shape[2], photos.shape[3]]
            behind = nnf.interpolate(colours, size, mode="bilinear", align_corners=True)[0]
            person = mattes[photo].to(photos.dtype) / 255
            photos[photo] = behind + (photos[photo] - behind) * person
