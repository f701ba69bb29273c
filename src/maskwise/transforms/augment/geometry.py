"""Flip, rotation, zoom, shift, shear and crops of photos, as one affine resampling."""

import torch
from kornia.geometry.transform import get_affine_matrix2d
from torch.nn import functional as nnf

from maskwise.config import AugmentSettings
from maskwise.transforms.augment.draws import Draws

_ASPECT = 4 / 3
"""Widest shape of a random part, to the frame's; the narrowest is its inverse."""


def change_geometry(
    photos: torch.Tensor, draws: Draws, settings: AugmentSettings, spare: int = 0
) -> torch.Tensor:
    """Return photos (n, 3, height, width), resampled; `spare` pixels on each side are cropped off.

    The crop lies at random in the photo, at its own scale.
    """
    height, width = photos.shape[2] - 2 * spare, photos.shape[3] - 2 * spare
    corner = torch.stack([draws["spare_x"], draws["spare_y"]], dim=1)
    corner = torch.floor(corner * (2 * spare + 1)).clamp(max=2 * spare)
    if not _moves(settings):
        if not spare:
            return photos
        cut = [
            photo[:, y : y + height, x : x + width]
            for photo, (x, y) in zip(photos, corner.long().tolist(), strict=True)
        ]
        return torch.stack(cut)
    matrix = _affine(draws, settings, height, width) @ _mirror(draws, settings, width)
    matrix = _cropped(draws, settings, height, width) @ matrix
    place = torch.eye(3).repeat(len(photos), 1, 1)
    place[:, :2, 2] = -corner
    grid = _sampling_grid(matrix @ place, (height, width), photos)
    return nnf.grid_sample(photos, grid, padding_mode="border", align_corners=True)


def _moves(settings: AugmentSettings) -> bool:
    names = ("flip", "rotate", "zoom", "shift", "shear", "resized_crop")
    return any(getattr(settings, name) for name in names)


def _affine(draws: Draws, settings: AugmentSettings, height: int, width: int) -> torch.Tensor:
    """Return matrices (n, 3, 3) on pixels: rotation, zoom, shift and shear about the middle."""
    zoom = 1 + draws.spread("zoom", settings.zoom)
    shift_x = draws.spread("shift_x", settings.shift) * width
    shift_y = draws.spread("shift_y", settings.shift) * height
    matrix: torch.Tensor = get_affine_matrix2d(
        torch.stack([shift_x, shift_y], dim=1),
        torch.tensor([(width - 1) / 2, (height - 1) / 2]).expand(len(zoom), 2),
        torch.stack([zoom, zoom], dim=1),
        draws.spread("rotate", settings.rotate),
        sx=torch.deg2rad(draws.spread("shear_x", settings.shear)),
        sy=torch.deg2rad(draws.spread("shear_y", settings.shear)),
    )
    return matrix


def _mirror(draws: Draws, settings: AugmentSettings, width: int) -> torch.Tensor:
    mirror = torch.where(draws["flip"] < settings.flip, -1.0, 1.0)
    reflect = torch.eye(3).repeat(len(mirror), 1, 1)
    reflect[:, 0, 0] = mirror
    reflect[:, 0, 2] = (1 - mirror) * (width - 1) / 2
    return reflect


def _cropped(draws: Draws, settings: AugmentSettings, height: int, width: int) -> torch.Tensor:
    """Return matrices (n, 3, 3) that spread a random part over the frame, for some photos."""
    share = draws.between("crop_share", settings.resized_crop_share, 1.0)
    aspect = torch.as_tensor(_ASPECT) ** (2 * draws["crop_aspect"] - 1)
    sides = torch.stack([torch.sqrt(share * aspect), torch.sqrt(share / aspect)], dim=1)
    sides = sides.clamp(max=1.0)
    size = torch.tensor([width - 1.0, height - 1.0])
    corner = torch.stack([draws["crop_x"], draws["crop_y"]], dim=1) * (1 - sides) * size
    matrix = torch.eye(3).repeat(len(share), 1, 1)
    for photo in draws.chosen("resized_crop", settings.resized_crop):
        matrix[photo, [0, 1], [0, 1]] = 1 / sides[photo]
        matrix[photo, :2, 2] = -corner[photo] / sides[photo]
    return matrix


def _sampling_grid(
    matrix: torch.Tensor, size: tuple[int, int], photos: torch.Tensor
) -> torch.Tensor:
    """Return the grid (n, height, width, 2) that pulls photos through pixel matrices (n, 3, 3).

    `size` is the height and width of what comes out; coordinates are the -1..1 of grid_sample.
    """
    (height, width), device = size, photos.device
    inverse = torch.linalg.inv(matrix)
    scale = torch.tensor([2 / (photos.shape[3] - 1), 2 / (photos.shape[2] - 1)]).view(1, 2, 1)
    across, down, offset = (scale * inverse[:, :2]).to(device).unbind(dim=2)
    columns = torch.arange(width, device=device, dtype=torch.float32).view(1, 1, width, 1)
    rows = torch.arange(height, device=device, dtype=torch.float32).view(1, height, 1, 1)
    shape = (len(matrix), 1, 1, 2)
    line: torch.Tensor = down.view(shape) * rows + (offset - 1).view(shape)
    grid: torch.Tensor = across.view(shape) * columns + line
    return grid
