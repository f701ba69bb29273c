"""Cuts the faces out of a manifest's photos, with room around them.

The crop is as large as in the photo, cut at whole pixels, so a model's preprocessing of a crop
and its box gives what it gives for the photo, as long as its margin is narrower: scaling looks a
little beyond what it scales. Where a box has parts of pixels, values may differ by one.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from maskwise.config import PreprocessSettings
from maskwise.data.boxes import box_text, parse_box
from maskwise.data.derived import Outcome, Row, save_photo
from maskwise.data.faces import Face, open_detector, points_problem, roll
from maskwise.data.framing import face_of
from maskwise.errors import PhotoError
from maskwise.transforms.decode import MIN_SIDE, decode_photo
from maskwise.transforms.preprocess import Box, cut_window, face_region, level_region, scale_region

SHAPES: Final = {"square": (64, 64), "3:4": (64, 48)}
"""Shape of a crop -> height and width in this proportion."""
_NOTHING: Final = 1e-6
"""Pixels that a region may be off by rounding."""


@dataclass(frozen=True)
class CropStep:
    """Cuts out one face; a `Step` of `data.derived`."""

    detector: str
    margin: float = 0.8
    """Added on each side, in shares of the box's longer side."""
    shape: str = "square"
    align: bool = False
    longest: int = 512
    """Pixels of the crop's longer side; larger crops are scaled down."""
    name: str = "crop"

    def options(self) -> dict[str, Any]:
        """Return what decides the pixels."""
        names = ("detector", "margin", "shape", "align", "longest")
        return {name: getattr(self, name) for name in names}

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        """Write the crop of a face, or of the photo's centre where there is none.

        Raises:
            PhotoError: the photo cannot be decoded, or the box lies outside it.
            StorageError: the disk is full or the folder cannot be written.
        """
        image = decode_photo(row["photo"])
        given = parse_box(row["box"]) if row["box"] else None
        faces = self._faces(image, given)
        face = face_of(faces, image.size, given)
        box = given or (face.box if face else None)
        try:
            crop, place = self._cut(image, box, face)
        except ValueError as error:
            raise PhotoError(f"{row['photo']}: {error}") from error
        if min(crop.size) < MIN_SIDE:
            return Outcome(note=f"face too small: a crop of {crop.width}x{crop.height} pixels")
        photo = Path("images") / f"{stem}.jpg"
        save_photo(crop, out / photo)
        made = {**row, "photo": str(photo), "box": box_text(place) if place else None}
        return Outcome([made], note=_note(faces, box, given))

    def _faces(self, image: Image.Image, given: Box | None) -> list[Face]:
        if self.detector == "none" or (given and not self.align):
            return []
        return open_detector(self.detector).find(image)

    def _cut(
        self, image: Image.Image, box: Box | None, face: Face | None
    ) -> tuple[Image.Image, Box | None]:
        """Return the crop and the face's box in it.

        Raises:
            ValueError: the box lies outside the photo.
        """
        height, width = SHAPES[self.shape]
        settings = PreprocessSettings(height=height, width=width, margin=self.margin)
        region = face_region(settings, image.size, box)
        if face and self.align and not points_problem(face):
            image, turned = level_region(image, region, roll(face))
            box = _moved(box, turned[0] - region[0], turned[1] - region[1])
            region = turned
        left, top = math.floor(region[0] + _NOTHING), math.floor(region[1] + _NOTHING)
        reach = max(region[2] - left, (region[3] - top) * width / height)
        across = max(math.ceil(reach - _NOTHING), 1)
        down = math.ceil(across * height / width)
        window = (left, top, left + across, top + down)
        scale = min(self.longest / max(across, down), 1.0)
        if scale == 1:
            return cut_window(image, window), _moved(box, -left, -top)
        pixels = scale_region(image, window, round(across * scale), round(down * scale))
        return Image.fromarray(pixels), _moved(box, -left, -top, scale)


def _moved(box: Box | None, x: float, y: float, scale: float = 1.0) -> Box | None:
    if box is None:
        return None
    left, top, right, bottom = box
    return (left + x) * scale, (top + y) * scale, (right + x) * scale, (bottom + y) * scale


def _note(faces: list[Face], box: Box | None, given: Box | None) -> str:
    if box is None:
        return "no face: the centre is taken"
    if len(faces) > 1 and not given:
        return f"{len(faces)} faces: the largest central one is taken"
    return ""
