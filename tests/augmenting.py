"""Small photos to augment, settings with one change on, and draws that are no accident."""

import numpy as np
import torch

from maskwise.config import AugmentSettings
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import Draws, draw

OFF = {"base": "none"}


def photos(count: int = 4, size: int = 32) -> torch.Tensor:
    generator = np.random.default_rng(0)
    small = generator.integers(40, 216, (count, size // 8, size // 8, 3), dtype=np.uint8)
    return torch.from_numpy(small.repeat(8, axis=1).repeat(8, axis=2))


def only(**settings: float | str) -> Augment:
    return Augment(AugmentSettings(**(OFF | settings)))  # type: ignore[arg-type]


def fixed(count: int, **values: float) -> Draws:
    """Return draws where every number is .5 (the middle: no change) but those given."""
    middle = draw(np.arange(count), 0, 0)
    numbers = {name: torch.full((count,), 0.5) for name in middle.values}
    numbers |= {name: torch.full((count,), value) for name, value in values.items()}
    return Draws(numbers, middle.seeds)
