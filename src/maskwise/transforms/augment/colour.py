"""Brightness, contrast, saturation, hue and grey, as one 3x4 matrix per photo."""

import math
from typing import Final

import torch
from torch.nn import functional as nnf

from maskwise.config import AugmentSettings
from maskwise.transforms.augment.draws import Draws

LUMA: Final = (0.299, 0.587, 0.114)


def change_colour(photos: torch.Tensor, draws: Draws, settings: AugmentSettings) -> torch.Tensor:
    """Return photos (n, 3, height, width) in other colours, by a grouped 1x1 convolution."""
    count, _, height, width = photos.shape
    weight, bias = _matrices(draws, settings)
    level = photos.mean(dim=(1, 2, 3))
    mixed = nnf.conv2d(
        photos.reshape(1, 3 * count, height, width),
        weight.to(photos.device).view(3 * count, 3, 1, 1),
        (bias.to(photos.device) * level).repeat_interleave(3),
        groups=count,
    )
    return mixed.view(count, 3, height, width)


def _matrices(draws: Draws, settings: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights (n, 3, 3) and, in shares of each photo's mean level, biases (n,)."""
    saturation = 1 + draws.spread("saturation", settings.saturation)
    saturation[draws["grey"] < settings.grey] = 0
    saturation = saturation[:, None, None]
    weight = saturation * torch.eye(3) + (1 - saturation) * torch.tensor(LUMA).expand(3, 3)
    weight = weight @ _hue_rotation(torch.deg2rad(draws.spread("hue", settings.hue)))
    contrast = 1 + draws.spread("contrast", settings.contrast)
    brightness = 1 + draws.spread("brightness", settings.brightness)
    return (brightness * contrast)[:, None, None] * weight, brightness * (1 - contrast)


def _hue_rotation(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (n, 3, 3) about the grey axis (Rodrigues' formula), for angles (n,)."""
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    return cosine * torch.eye(3) + sine * cross + (1 - cosine) / 3
