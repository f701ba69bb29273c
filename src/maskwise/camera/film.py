"""A film of what was seen, with faces that nobody recognises."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from maskwise.errors import CameraError
from maskwise.prediction.passes import Person
from maskwise.storage import replacing, storage_errors
from maskwise.transforms.preprocess import Box

_COLOURS: Final = {
    "wear": ("#0b6b34", "#ffffff"),
    "incorrect": ("#ffb000", "#241600"),
    "not_wear": ("#b01224", "#ffffff"),
    None: ("#4d5968", "#ffffff"),
}
"""State -> colour of the box, and of words on it."""
_WORDS: Final = {"wear": "mask", "incorrect": "mask not worn properly", "not_wear": "no mask"}
_MARGIN: Final = 0.2
"""Of a box's sides, blurred around it: hair and chin, and how far one moves in a moment."""
_CELLS: Final = 6
"""Cells across a face that remain of it."""
_TICKS: Final = Fraction(1, 1000)


def annotated(image: Image.Image, people: Sequence[Person], faces: Sequence[Box]) -> Image.Image:
    """Return a picture with blurred faces, and a box and words for each person in sight.

    `faces` are blurred too, though nobody is told of there.
    """
    picture = image.copy()
    for box in [*(person.box for person in people), *faces]:
        _blur(picture, box)
    pen = ImageDraw.Draw(picture)
    size = max(picture.width // 50, 12)
    font = ImageFont.load_default(size)
    for person in people:
        colour, ink = _COLOURS[person.state]
        left, top, right, bottom = person.box
        pen.rectangle((left, top, right, bottom), outline=colour, width=max(size // 5, 2))
        words = f"{person.number} {_WORDS.get(person.state or '', '...')}"
        base = max(top - 1.4 * size, 0)
        width = pen.textlength(words, font=font)
        pen.rectangle((left, base, left + width + size, base + 1.4 * size), fill=colour)
        pen.text((left + size / 2, base + 0.1 * size), words, fill=ink, font=font)
    return picture


def _blur(picture: Image.Image, box: Box) -> None:
    grow = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = max(int(box[0] - grow), 0), max(int(box[1] - grow), 0)
    right, bottom = min(int(box[2] + grow), picture.width), min(int(box[3] + grow), picture.height)
    if right <= left or bottom <= top:
        return
    face = picture.crop((left, top, right, bottom))
    cells = face.resize((_CELLS, _CELLS), Image.Resampling.BOX)
    cells = cells.resize(face.size, Image.Resampling.BICUBIC)
    picture.paste(
        cells.filter(ImageFilter.GaussianBlur(max(face.size) / (2 * _CELLS))), (left, top)
    )


def check_film(path: Path) -> None:
    """Check that a film may be written there.

    Raises:
        CameraError: its name is of another kind, or something is there already.
    """
    if path.suffix != ".mp4":
        raise CameraError(f"{path}: expected a name that ends in .mp4")
    if path.exists():
        raise CameraError(f"{path} is there already; name another file")


class FilmWriter:
    """Writes an MP4 file that appears when it is closed.

    Raises:
        CameraError: the file cannot be written in this kind, or is there already.
        StorageError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_film(path)
        self._path = path
        self._replacing = replacing(path)
        temporary = self._replacing.__enter__()
        with storage_errors(path):
            self._container = av.open(str(temporary), "w", format="mp4")
        self._stream: av.VideoStream | None = None
        self._began = 0.0
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def write(self, picture: Image.Image, seconds: float) -> None:
        """Add a picture, taken at so many seconds on a clock that only goes forward."""
        even = picture.crop((0, 0, picture.width // 2 * 2, picture.height // 2 * 2))
        if self._stream is None:
            self._stream = self._container.add_stream("mpeg4", rate=25)
            self._stream.width, self._stream.height = even.size
            self._stream.bit_rate = 4 * even.width * even.height
            self._stream.codec_context.time_base = _TICKS
            self._began = seconds
        size = (self._stream.width, self._stream.height)
        shown = even if even.size == size else even.resize(size)
        frame = av.VideoFrame.from_ndarray(np.asarray(shown), format="rgb24")
        self._last = max(round((seconds - self._began) / _TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, _TICKS
        with storage_errors(self._path):
            self._container.mux(self._stream.encode(frame))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file; after an error, or without a picture, it is thrown away.

        Raises:
            CameraError: no picture came.
            StorageError: the disk is full.
        """
        try:
            if error is None:
                self._finish()
        except BaseException as failed:
            kind, error, trace = type(failed), failed, failed.__traceback__
            raise
        finally:
            with suppress(OSError, av.FFmpegError):
                self._container.close()
            if error is None:
                self._replacing.__exit__(None, None, None)
            else:
                with suppress(type(error)):  # it is on its way already
                    self._replacing.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self._stream is None:
            raise CameraError(f"{self._path}: no picture came, so there is no film")
        with storage_errors(self._path):
            self._container.mux(self._stream.encode(None))
            self._container.close()
