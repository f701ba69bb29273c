"""Looks at photos as a network is given them."""

import zlib
from collections.abc import Iterator

import numpy as np
import torch
from kornia.geometry.transform import affine, get_affine_matrix2d

from maskwise.config import AugmentSettings
from maskwise.models.views import PLAIN, Look, Views
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.network_input import middle, to_planes


def looks_at(
    frames: torch.Tensor, views: Views, spare: int, augment: AugmentSettings | None
) -> Iterator[torch.Tensor]:
    """Yield each look at frames: photos (n, 3, height, width) in 0..1.

    `frames` is uint8 (n, height, width, 3) with `spare` pixels about them. `augment` are the
    changes that the model was trained with, for random looks; they follow from the photo's pixels
    alone.
    """
    photos = to_planes(middle(frames, spare))
    for look in views.looks:
        yield photos.clone() if look == PLAIN else _seen(photos, look)
    if not views.random:
        return
    change = Augment(augment or AugmentSettings(), spare)
    seeds = np.array([zlib.crc32(frame.tobytes()) for frame in frames.cpu().numpy()])
    for number in range(views.random):
        yield change(frames, draw(seeds, number, 0))


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
