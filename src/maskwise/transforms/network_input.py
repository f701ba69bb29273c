"""From frames to what a network takes: values, their scale, and channels beside the colours."""

import torch
from kornia.color import rgb_to_grayscale
from kornia.filters import sobel

from maskwise.config import PreprocessSettings
from maskwise.transforms.preprocess import Preprocess

_LEAST_DEVIATION = 1 / 255


def middle(frames: torch.Tensor, spare: int) -> torch.Tensor:
    """Return frames (n, height, width, channels) without `spare` pixels on each side."""
    if not spare:
        return frames
    return frames[:, spare:-spare, spare:-spare]


def to_planes(frames: torch.Tensor) -> torch.Tensor:
    """Turn uint8 frames (n, height, width, 3 or 4) into float32 (n, 3, height, width) in 0..1.

    A fourth channel, the matte, is left out.
    """
    return frames[..., :3].permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)


def network_input(photos: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Turn photos (n, 3, height, width) in 0..1 into the network's input; they are used up.

    Each value less the mean, over the deviation, of the set or of the photo itself. An extra
    channel, of lightness or of edges (Sobel), is scaled alike.
    """
    extra = None
    if preprocess.extra != "none":
        extra = rgb_to_grayscale(photos)
        if preprocess.extra == "edges":
            extra = sobel(extra)
    if preprocess.scale == "photo":
        photos = _by_photo(photos)
        extra = None if extra is None else _by_photo(extra)
    else:
        photos = _by_set(photos, preprocess.mean, preprocess.std)
        if extra is not None:
            extra = _by_set(extra, (sum(preprocess.mean) / 3,), (sum(preprocess.std) / 3,))
    return photos if extra is None else torch.cat([photos, extra], dim=1)


def _by_set(photos: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    # a whole row of each: ONNX Runtime, which keeps colours last, is slow to repeat three values
    less, over = (
        photos.new_tensor(values).view(1, -1, 1, 1).repeat(1, 1, 1, photos.shape[3])
        for values in (mean, std)
    )
    return photos.sub_(less).div_(over)


def _by_photo(photos: torch.Tensor) -> torch.Tensor:
    mean = photos.mean(dim=(2, 3), keepdim=True)
    std = photos.std(dim=(2, 3), keepdim=True).clamp(min=_LEAST_DEVIATION)
    return (photos - mean) / std


def input_channels(preprocess: PreprocessSettings) -> int:
    """Return the channels that `network_input` gives."""
    return 3 if preprocess.extra == "none" else 4
