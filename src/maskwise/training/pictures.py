"""Pictures of what training sees: photos as the network is given them, with their labels."""

import numpy as np
import torch
from PIL import Image

from maskwise.data.sheets import Tile
from maskwise.labels import TASKS, UNKNOWN
from maskwise.training.losses.labels import Labels

_PERCENT = 100


def batch_tiles(photos: torch.Tensor, labels: Labels) -> list[Tile]:
    """Return a picture of each photo (n, 3, height, width) of values 0..1, and what it shows."""
    pixels = (photos.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).to(torch.uint8)
    return [
        (Image.fromarray(picture), caption(labels, number))
        for number, picture in enumerate(pixels.cpu().numpy())
    ]


def caption(labels: Labels, photo: int) -> str:
    """Return what is known of a photo: 'wear male young', with shares where it is mixed."""
    entries = np.flatnonzero(labels.photo == photo)
    texts = []
    for entry in entries:
        words = [
            "?" if labels.codes[task][entry] == UNKNOWN else names[labels.codes[task][entry]]
            for task, names in TASKS.items()
        ]
        share = f"{_PERCENT * labels.weight[entry]:.0f} % " if len(entries) > 1 else ""
        texts.append(share + " ".join(words))
    return ", ".join(texts)
