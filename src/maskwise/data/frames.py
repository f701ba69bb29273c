"""Reads the frames of a manifest's photos in batches: from the cache, or streamed from files.

Both give the same pixels: `Framer.frame` of the photo and its box.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from maskwise.data.boxes import parse_box
from maskwise.data.framing import Framed, Framer
from maskwise.data.workers import worker_pool
from maskwise.errors import ManifestError, PhotoError, listed
from maskwise.transforms.preprocess import Box

if TYPE_CHECKING:
    import polars as pl  # slow to import, and answering single photos needs no tables

_AHEAD = 4
"""Batches that the workers decode ahead of the reader, per worker."""
_PART = 8
"""Photos that one worker decodes at a time."""

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class PhotoRef:
    """A photo file and the box of the face in it; no box is the whole photo."""

    path: str
    box: Box | None = None

    def __str__(self) -> str:
        box = f" [{' '.join(f'{edge:g}' for edge in self.box)}]" if self.box else ""
        return self.path + box


class FrameSource(Protocol):
    """N photos whose frames can be read in any order."""

    missed: NDArray[np.bool_]
    """(N,) photos where a detector found no face; of photos that stream, those read so far."""

    def __len__(self) -> int:
        """Return the number of photos."""

    def batches(self, rows: Iterable[NDArray[np.int64]]) -> Iterator[Frames]:
        """Yield the frames (n, height, width, 3) for each array of n row numbers.

        Raises:
            ManifestError: a photo cannot be decoded.
        """


def photo_refs(frame: "pl.DataFrame") -> list[PhotoRef]:
    """Return the photos and boxes of a manifest, row by row."""
    return [
        PhotoRef(photo, parse_box(box) if box else None)
        for photo, box in frame.select("photo", "box").iter_rows()
    ]


class StreamedFrames:
    """Decodes photos whenever they are asked for, in worker processes."""

    def __init__(self, photos: Sequence[PhotoRef], framer: Framer, workers: int) -> None:
        self.missed = np.zeros(len(photos), dtype=np.bool_)
        self._photos = photos
        self._framer = framer
        self._workers = workers

    def __len__(self) -> int:
        return len(self._photos)

    def batches(self, rows: Iterable[NDArray[np.int64]]) -> Iterator[Frames]:
        """Yield the frames for each array of row numbers; see `FrameSource`."""
        asked: deque[NDArray[np.int64]] = deque()
        for results in decode_in_order(self._work(rows, asked), self._framer, self._workers):
            problems = [str(result) for result in results if isinstance(result, PhotoError)]
            if problems:
                raise unreadable(problems)
            framed = [result for result in results if not isinstance(result, PhotoError)]
            self.missed[asked.popleft()] = [result.missed for result in framed]
            yield np.stack([result.pixels for result in framed])

    def _work(
        self, rows: Iterable[NDArray[np.int64]], asked: deque[NDArray[np.int64]]
    ) -> Iterator[list[PhotoRef]]:
        for batch in rows:
            asked.append(batch)
            yield [self._photos[row] for row in batch]


def unreadable(problems: Sequence[str]) -> ManifestError:
    """Return the error for photos of a manifest that cannot be decoded."""
    return ManifestError(
        f"{len(problems)} photo(s) cannot be used; repair them or remove their rows:\n"
        f"{listed(problems)}"
    )


def decode_photos(photos: Sequence[PhotoRef], framer: Framer) -> list[Framed | PhotoError]:
    """Return the frame of every photo, or the error in its place."""
    results: list[Framed | PhotoError] = []
    for photo in photos:
        try:
            results.append(framer.frame(photo.path, photo.box))
        except PhotoError as error:
            results.append(error)
    return results


def decode_in_order(
    work: Iterable[Sequence[PhotoRef]], framer: Framer, workers: int
) -> Iterator[list[Framed | PhotoError]]:
    """Decode batches in `workers` processes (0: in this one), a few ahead, results in order."""
    if not workers:
        for photos in work:
            yield decode_photos(photos, framer)
        return
    with worker_pool(workers) as pool:
        waiting: deque[list[Future[list[Framed | PhotoError]]]] = deque()
        for photos in work:
            waiting.append([pool.submit(decode_photos, part, framer) for part in _parts(photos)])
            if len(waiting) > _AHEAD:
                yield _gathered(waiting.popleft())
        while waiting:
            yield _gathered(waiting.popleft())


def _parts(photos: Sequence[PhotoRef]) -> list[Sequence[PhotoRef]]:
    return [photos[start : start + _PART] for start in range(0, len(photos), _PART)]


def _gathered(parts: list[Future[list[Framed | PhotoError]]]) -> list[Framed | PhotoError]:
    return [result for part in parts for result in part.result()]
