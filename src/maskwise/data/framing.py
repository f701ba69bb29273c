"""From a photo to the model's frame: the face is found, then cut out as the model wants it.

Training, evaluation, prediction and serving all go through `Framer.frame`, and nothing else
makes frames: what a model was trained on is what it is used on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.data.boxes import overlap
from maskwise.data.faces import (
    SAME_FACE,
    Detector,
    Face,
    by_weight,
    choose_face,
    open_detector,
    points_problem,
    roll,
)
from maskwise.data.mattes import find_matte
from maskwise.errors import PhotoError
from maskwise.transforms.decode import PhotoLike, decode_photo, photo_name
from maskwise.transforms.preprocess import Box, Preprocess

_PERSON: Final = 255
"""Value of a matte where a person is, and where nothing is known, such as outside the photo."""


@dataclass(frozen=True)
class Framed:
    """A model's frame of a photo."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), RGB; with mattes a fourth channel: 255 is person or unknown."""
    box: Box | None
    """The face that was cut out, in pixels of the photo; none is the photo's centre."""
    missed: bool
    """Whether a detector looked for a face and found none."""


@dataclass(frozen=True)
class Framer:
    """Makes the frames of one preprocessing; it travels to worker processes."""

    preprocess: Preprocess
    mattes: Path | None = None
    """Folder of saved mattes, for training with other backgrounds; see `data.mattes`."""

    @property
    def key(self) -> str:
        """A short key of everything that decides the pixels of frames."""
        if self.mattes is None:
            return self.preprocess.frame_key
        saved = sorted(path.name for path in self.mattes.glob("*/*.png"))
        digest = hashlib.sha256("\n".join([str(self.mattes.resolve()), *saved]).encode())
        return f"{self.preprocess.frame_key}-{digest.hexdigest()[:8]}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a frame."""
        width, height = self.preprocess.frame_size
        return height, width, 4 if self.mattes else 3

    def frame(self, photo: PhotoLike, box: Box | None = None, name: str | None = None) -> Framed:
        """Return the frame of a photo: of the face in `box`, or else of the face that is found.

        Without a box and without a detector, or where none finds a face, the photo's centre is
        taken. `name` is what an error calls the photo, else its path.

        Raises:
            PhotoError: the photo cannot be decoded, or the box lies outside it.
            DetectorError: the detector that the preprocessing names cannot be had.
        """
        try:
            image = decode_photo(photo)
            face = self._face(image, box)
            found = box or (face.box if face else None)
            tilt = self._tilt(face)
            pixels = self.preprocess.frame(image, found, tilt)
            if self.mattes:
                matte = self._matte(photo, image.size)
                layer = self.preprocess.frame(matte, found, tilt, outside=_PERSON)[..., :1]
                pixels = np.concatenate([pixels, layer], axis=2)
        except PhotoError as error:
            unnamed = f"{photo_name(b'')}:"
            if not str(error).startswith(unnamed):
                raise
            known = name or photo_name(photo)
            raise PhotoError(f"{known}:{str(error).removeprefix(unnamed)}") from error
        return Framed(pixels, found, missed=self._detector is not None and found is None)

    def faces(self, photo: PhotoLike, most: int) -> tuple[list[Framed], int]:
        """Return the frames of the faces in a photo, the largest and most central first.

        No more than `most` are framed; the number of those that were found comes second. Without a
        detector there are none.

        Raises:
            PhotoError: the photo cannot be decoded.
            DetectorError: the detector that the preprocessing names cannot be had.
        """
        image = decode_photo(photo)
        found = by_weight(self._detector.find(image), image.size) if self._detector else []
        framed = [
            Framed(self.preprocess.frame(image, face.box, self._tilt(face)), face.box, missed=False)
            for face in found[:most]
        ]
        return framed, len(found)

    def crop(self, photo: PhotoLike) -> Framed:
        """Return the frame of a photo that is cut out already: no face is looked for.

        Raises:
            PhotoError: the photo cannot be decoded.
        """
        return Framed(self.preprocess.frame(photo), None, missed=False)

    def _tilt(self, face: Face | None) -> float:
        """Return the degrees to turn a face upright; points that make no sense turn nothing."""
        if face is None or not self.preprocess.align or points_problem(face):
            return 0.0
        return roll(face)

    def _face(self, image: Image.Image, box: Box | None) -> Face | None:
        if self._detector is None or (box and not self.preprocess.align):
            return None
        if box is None and not self.preprocess.align:
            return self._detector.find_main(image)
        return face_of(self._detector.find(image), image.size, box)

    def _matte(self, photo: PhotoLike, size: tuple[int, int]) -> Image.Image:
        """Return the saved matte of a photo file; all person where there is none."""
        everything = Image.new("L", size, _PERSON)
        if self.mattes is None or not isinstance(photo, (str, Path, bytes)):
            return everything
        content = photo if isinstance(photo, bytes) else Path(photo).read_bytes()
        matte = find_matte(self.mattes, hashlib.sha256(content).hexdigest())
        return matte if matte and matte.size == size else everything

    @cached_property
    def _detector(self) -> Detector | None:
        name = self.preprocess.detector
        return None if name == "none" else open_detector(name)

    def __getstate__(self) -> dict[str, object]:
        """Leave the detector behind: every process opens its own."""
        return {name: value for name, value in vars(self).items() if name != "_detector"}


def face_of(faces: Sequence[Face], size: tuple[int, int], box: Box | None) -> Face | None:
    """Return the face that a photo of (width, height) is of, or the one in a box of it, if any."""
    if box is None:
        return choose_face(faces, size)
    nearest = max(faces, key=lambda face: overlap(face.box, box), default=None)
    return nearest if nearest and overlap(nearest.box, box) >= SAME_FACE else None
