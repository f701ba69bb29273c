"""What happens to some photos of a batch only: equalisation, blur, noise, JPEG, erasing.

Each changes photos (n, 3, height, width) of values 0..1 in place.
"""

import math

import torch
from kornia.enhance import equalize_clahe, jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d

from maskwise.config import AugmentSettings
from maskwise.transforms.augment.draws import Draws

_TILES = 8
"""Of a side, in local equalisation, at most."""
_TILE = 16
"""Pixels of a tile's sides, at least: with fewer pixels than grey levels no limit is felt."""


def equalise(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> None:
    """Equalise contrast locally (CLAHE: Pizer et al., 1987), with a random clip limit."""
    limits = draws.between("clahe_limit", 1.0, settings.clahe_limit)
    tiles = max(1, min(_TILES, min(photos.shape[2:]) // _TILE))
    for photo in draws.chosen("clahe", settings.clahe):
        photos[photo] = equalize_clahe(
            photos[photo].clamp(0, 1), float(limits[photo]), (tiles, tiles)
        )


def blur(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> None:
    """Blur by Gaussians of random width."""
    chosen = draws.chosen("blur", settings.blur)
    if not chosen:
        return
    sigma = 0.1 + draws["blur_sigma"][chosen] * (settings.blur_sigma - 0.1)
    kernel = 2 * math.ceil(3 * settings.blur_sigma) + 1
    kernel = min(kernel, 2 * (min(photos.shape[2:]) // 2) - 1)
    sigmas = torch.stack([sigma, sigma], dim=1).to(photos.device)
    photos[chosen] = gaussian_blur2d(photos[chosen], (kernel, kernel), sigmas)


def add_noise(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> None:
    """Add Gaussian noise of random strength."""
    generator = torch.Generator(photos.device)
    for photo in draws.chosen("noise", settings.noise):
        generator.manual_seed(draws.seeds[photo])
        noise = torch.randn(photos.shape[1:], generator=generator, device=photos.device)
        sigma = float(draws["noise_sigma"][photo]) * settings.noise_sigma
        photos[photo].add_(noise, alpha=sigma)


def compress(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> None:
    """Compress by JPEG of random quality."""
    chosen = draws.chosen("jpeg", settings.jpeg)
    if not chosen:
        return
    quality = draws.between("jpeg_quality", float(settings.jpeg_quality), 100.0)[chosen]
    with torch.no_grad():
        photos[chosen] = jpeg_codec_differentiable(
            photos[chosen].clamp(0, 1), quality.to(photos.device)
        )


def erase(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> None:
    """Put a grey rectangle of random size and shape somewhere."""
    height, width = photos.shape[2:]
    area = draws["erase_share"] * settings.erase_share
    aspect = torch.exp(draws.spread("erase_aspect", math.log(3)))
    half_x, half_y = torch.sqrt(area * aspect) / 2, torch.sqrt(area / aspect) / 2
    across = _spans(draws["erase_x"], half_x, width)
    down = _spans(draws["erase_y"], half_y, height)
    for photo in draws.chosen("erase", settings.erase):
        photos[photo, :, down[photo], across[photo]] = 0.5


def _spans(centre: torch.Tensor, half: torch.Tensor, length: int) -> list[slice]:
    """Return the pixels of a side that each rectangle covers."""
    lows, highs = (centre - half).tolist(), (centre + half).tolist()
    return [
        slice(max(0, round(low * length)), min(length, round(high * length)))
        for low, high in zip(lows, highs, strict=True)
    ]
