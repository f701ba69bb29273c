"""Random changes to a batch of training photos, on the device.

All geometry (flip, rotation, zoom, shift, shear) is one affine resampling, and all colour
(brightness, contrast, saturation, hue, grey, and the model's normalisation) one 3x4 matrix per
photo. What is drawn for a photo depends on seed, epoch and photo alone, not on its batch, so it
does not change with the number of processes or after a resume.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_affine_matrix2d
from numpy.typing import NDArray
from torch.nn import functional as nnf

from maskwise.config import AugmentSettings

_CELLS: Final = (1, 2, 5)
"""Random colours on a side of a new background, spread out over the photo."""
_LUMA: Final = (0.299, 0.587, 0.114)
_DRAWS: Final = (
    "flip", "rotate", "zoom", "shift_x", "shift_y", "shear_x", "shear_y", "brightness", "contrast",
    "saturation", "hue", "grey", "blur", "blur_sigma", "noise", "noise_sigma", "noise_seed",
    "erase", "erase_share", "erase_aspect", "erase_x", "erase_y", "background", "background_cells",
)  # fmt: skip


@dataclass(frozen=True)
class Draws:
    """Uniform numbers 0..1 for n photos, by name, each a float32 tensor (n,) on the CPU."""

    values: dict[str, torch.Tensor]
    noise_seeds: list[int] = field(default_factory=list)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.values[name]

    def spread(self, name: str, strength: float) -> torch.Tensor:
        """Return numbers uniform in -strength..strength."""
        return (2 * self.values[name] - 1) * strength

    def chosen(self, name: str, probability: float) -> list[int]:
        """Return the positions of the photos that an event of this probability hits."""
        return torch.nonzero(self.values[name] < probability).flatten().tolist()


def draw(rows: NDArray[np.int64], seed: int, epoch: int) -> Draws:
    """Draw what is done to each photo; row r of epoch e gets the same numbers in any batch."""
    numbers = np.array(
        [
            np.random.Generator(np.random.Philox(key=[seed << 32 | epoch, row])).random(len(_DRAWS))
            for row in rows.tolist()
        ]
    ).reshape(len(rows), len(_DRAWS))
    columns = torch.from_numpy(numbers.T.astype(np.float32))
    seeds = (numbers[:, _DRAWS.index("noise_seed")] * 2**52).astype(np.int64)
    return Draws(dict(zip(_DRAWS, columns, strict=True)), seeds.tolist())


def to_planes(frames: torch.Tensor) -> torch.Tensor:
    """Turn uint8 frames (n, height, width, 3 or 4) into float32 (n, 3, height, width) in 0..1.

    A fourth channel, the matte, is left out.
    """
    return frames[..., :3].permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)


def normalise(photos: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Turn photos (n, 3, height, width) in 0..1 into the model's input, in place."""
    shape = (1, 3, 1, 1)
    return photos.sub_(photos.new_tensor(mean).view(shape)).div_(photos.new_tensor(std).view(shape))


class Augment:
    """Augments frames; the model's normalisation is not part of it."""

    def __init__(self, settings: AugmentSettings) -> None:
        self._settings = settings

    def __call__(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Return augmented photos: float32 (n, 3, height, width) in 0..1.

        `frames` is uint8 (n, height, width, 3), or 4 with a matte: 255 is person.
        """
        photos = to_planes(frames)
        if not self._settings.enabled:
            return photos
        if frames.shape[-1] == 4:
            self._background(photos, frames[..., 3], draws)
        photos = self._geometry(photos, draws)
        photos = self._colour(photos, draws)
        self._blur(photos, draws)
        self._noise(photos, draws)
        self._erase(photos, draws)
        return photos.clamp_(0, 1)

    def _background(self, photos: torch.Tensor, mattes: torch.Tensor, draws: Draws) -> None:
        """Put another background behind some people: one colour, a gradient, or soft clouds."""
        for photo in draws.chosen("background", self._settings.background):
            cells = _CELLS[int(draws["background_cells"][photo] * len(_CELLS))]
            generator = torch.Generator().manual_seed(draws.noise_seeds[photo] ^ 1)
            colours = torch.rand((1, 3, cells, cells), generator=generator).to(photos.device)
            size = [photos.shape[2], photos.shape[3]]
            behind = nnf.interpolate(colours, size, mode="bilinear", align_corners=True)[0]
            person = mattes[photo].to(photos.dtype) / 255
            photos[photo] = behind + (photos[photo] - behind) * person

    def _geometry(self, photos: torch.Tensor, draws: Draws) -> torch.Tensor:
        settings = self._settings
        if not (
            settings.flip or settings.rotate or settings.zoom or settings.shift or settings.shear
        ):
            return photos
        count, _, height, width = photos.shape
        zoom = 1 + draws.spread("zoom", settings.zoom)
        shift_x = draws.spread("shift_x", settings.shift) * width
        shift_y = draws.spread("shift_y", settings.shift) * height
        matrix = get_affine_matrix2d(
            torch.stack([shift_x, shift_y], dim=1),
            torch.tensor([(width - 1) / 2, (height - 1) / 2]).expand(count, 2),
            torch.stack([zoom, zoom], dim=1),
            draws.spread("rotate", settings.rotate),
            sx=torch.deg2rad(draws.spread("shear_x", settings.shear)),
            sy=torch.deg2rad(draws.spread("shear_y", settings.shear)),
        )
        mirror = torch.where(draws["flip"] < settings.flip, -1.0, 1.0)
        reflect = torch.eye(3).repeat(count, 1, 1)
        reflect[:, 0, 0] = mirror
        reflect[:, 0, 2] = (1 - mirror) * (width - 1) / 2
        grid = _sampling_grid(matrix @ reflect, height, width, photos.device)
        return nnf.grid_sample(photos, grid, padding_mode="border", align_corners=True)

    def _colour(self, photos: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Apply one colour matrix per photo, as a grouped 1x1 convolution."""
        count, _, height, width = photos.shape
        weight, bias = self._colour_matrices(draws)
        level = photos.mean(dim=(1, 2, 3))
        mixed = nnf.conv2d(
            photos.view(1, 3 * count, height, width),
            weight.to(photos.device).view(3 * count, 3, 1, 1),
            (bias.to(photos.device) * level).repeat_interleave(3),
            groups=count,
        )
        return mixed.view(count, 3, height, width)

    def _colour_matrices(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights (n, 3, 3) and, in shares of each photo's mean level, biases (n,)."""
        settings = self._settings
        saturation = 1 + draws.spread("saturation", settings.saturation)
        saturation[draws["grey"] < settings.grey] = 0
        saturation = saturation[:, None, None]
        weight = saturation * torch.eye(3) + (1 - saturation) * torch.tensor(_LUMA).expand(3, 3)
        weight = weight @ _hue_rotation(torch.deg2rad(draws.spread("hue", settings.hue)))
        contrast = 1 + draws.spread("contrast", settings.contrast)
        brightness = 1 + draws.spread("brightness", settings.brightness)
        return (brightness * contrast)[:, None, None] * weight, brightness * (1 - contrast)

    def _blur(self, photos: torch.Tensor, draws: Draws) -> None:
        chosen = draws.chosen("blur", self._settings.blur)
        if not chosen:
            return
        sigma = 0.1 + draws["blur_sigma"][chosen] * (self._settings.blur_sigma - 0.1)
        kernel = 2 * math.ceil(3 * self._settings.blur_sigma) + 1
        kernel = min(kernel, 2 * (min(photos.shape[2:]) // 2) - 1)
        sigmas = torch.stack([sigma, sigma], dim=1).to(photos.device)
        photos[chosen] = gaussian_blur2d(photos[chosen], (kernel, kernel), sigmas)

    def _noise(self, photos: torch.Tensor, draws: Draws) -> None:
        generator = torch.Generator(photos.device)
        for photo in draws.chosen("noise", self._settings.noise):
            generator.manual_seed(draws.noise_seeds[photo])
            noise = torch.randn(photos.shape[1:], generator=generator, device=photos.device)
            sigma = float(draws["noise_sigma"][photo]) * self._settings.noise_sigma
            photos[photo].add_(noise, alpha=sigma)

    def _erase(self, photos: torch.Tensor, draws: Draws) -> None:
        height, width = photos.shape[2:]
        area = draws["erase_share"] * self._settings.erase_share
        aspect = torch.exp(draws.spread("erase_aspect", math.log(3)))
        half_x, half_y = torch.sqrt(area * aspect) / 2, torch.sqrt(area / aspect) / 2
        for photo in draws.chosen("erase", self._settings.erase):
            across = _span(draws["erase_x"][photo], half_x[photo], width)
            down = _span(draws["erase_y"][photo], half_y[photo], height)
            photos[photo, :, down, across] = 0.5


def _span(centre: torch.Tensor, half: torch.Tensor, length: int) -> slice:
    low, high = float(centre - half) * length, float(centre + half) * length
    return slice(max(0, round(low)), min(length, round(high)))


def _sampling_grid(
    matrix: torch.Tensor, height: int, width: int, device: torch.device
) -> torch.Tensor:
    """Return the grid (n, height, width, 2) that pulls photos through pixel matrices (n, 3, 3)."""
    inverse = torch.linalg.inv(matrix)
    # from pixels to the -1..1 of grid_sample
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)]).view(1, 2, 1)
    across, down, offset = (scale * inverse[:, :2]).to(device).unbind(dim=2)
    columns = torch.arange(width, device=device, dtype=torch.float32).view(1, 1, width, 1)
    rows = torch.arange(height, device=device, dtype=torch.float32).view(1, height, 1, 1)
    shape = (len(matrix), 1, 1, 2)
    line: torch.Tensor = down.view(shape) * rows + (offset - 1).view(shape)
    grid: torch.Tensor = across.view(shape) * columns + line
    return grid


def _hue_rotation(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (n, 3, 3) about the grey axis (Rodrigues' formula), for angles (n,)."""
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    return cosine * torch.eye(3) + sine * cross + (1 - cosine) / 3
