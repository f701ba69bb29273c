"""Photos that are nearly the same: candidates by perceptual hash, confirmed by their pixels."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.errors import PhotoError
from maskwise.storage import file_digest
from maskwise.transforms.decode import decode_photo

MAX_HASH_DISTANCE: Final = 14
"""Most bits of 64 in which the perceptual hashes of two candidates differ."""
MAX_PIXEL_DISTANCE: Final = 0.25
"""Largest root mean square difference of two thumbnails, each of mean 0 and deviation 1."""
_THUMBNAIL: Final = 24
_BLOCK: Final = 2048


@dataclass(frozen=True)
class Fingerprints:
    """What is compared of N photos; row i belongs to photo i."""

    digests: list[str]
    """SHA-256 of the file's bytes; empty where the photo cannot be read."""
    hashes: NDArray[np.uint64]
    """(N,) perceptual hashes of 64 bits."""
    thumbnails: NDArray[np.float32]
    """(N, 24 * 24) grey thumbnails of mean 0 and standard deviation 1."""


@dataclass(frozen=True)
class Twin:
    """Two photos, by position, that show nearly the same picture."""

    first: int
    second: int
    distance: float
    """Root mean square difference of the normalised thumbnails; 0 for equal bytes."""


def fingerprint_photo(path: str) -> tuple[str, int, NDArray[np.float32]]:
    """Return digest, perceptual hash and thumbnail of a photo; ('', 0, zeros) if unreadable."""
    blank = np.zeros(_THUMBNAIL**2, dtype=np.float32)
    try:
        image = decode_photo(path).convert("L")
    except PhotoError:
        return "", 0, blank
    bits = imagehash.phash(image).hash
    thumbnail = np.asarray(
        image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), dtype=np.float32
    ).ravel()
    spread = float(thumbnail.std())
    if spread > 1:  # a blank photo looks like every other blank photo: compare bytes only
        blank = (thumbnail - thumbnail.mean()) / spread
    return file_digest(Path(path)), int.from_bytes(np.packbits(bits).tobytes()), blank


def fingerprint_photos(
    photos: Sequence[str], workers: int, progress: Callable[[int], None] | None = None
) -> Fingerprints:
    """Fingerprint photos in `workers` processes (0: in this one), in order."""
    results = []
    if workers and len(photos) > 256:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for result in pool.map(fingerprint_photo, photos, chunksize=64):
                results.append(result)
                if progress:
                    progress(1)
    else:
        for photo in photos:
            results.append(fingerprint_photo(photo))
            if progress:
                progress(1)
    return Fingerprints(
        [digest for digest, _, _ in results],
        np.array([bits for _, bits, _ in results], dtype=np.uint64),
        np.array([thumbnail for _, _, thumbnail in results]).reshape(len(results), -1),
    )


def find_twins(prints: Fingerprints) -> list[Twin]:
    """Return every pair of photos with equal bytes or nearly equal pixels, first < second."""
    twins = {}
    for first, second in _equal_bytes(prints.digests):
        twins[first, second] = Twin(first, second, 0.0)
    usable: NDArray[np.bool_] = np.any(prints.thumbnails != 0, axis=1)
    for first, second in _near_hashes(prints.hashes, usable):
        gap = prints.thumbnails[first] - prints.thumbnails[second]
        distance = float(np.sqrt(np.mean(gap**2)))
        if distance <= MAX_PIXEL_DISTANCE:
            twins.setdefault((first, second), Twin(first, second, distance))
    return [twins[pair] for pair in sorted(twins)]


def _equal_bytes(digests: Sequence[str]) -> list[tuple[int, int]]:
    first_with: dict[str, int] = {}
    pairs = []
    for position, digest in enumerate(digests):
        if digest and first_with.setdefault(digest, position) != position:
            pairs.append((first_with[digest], position))
    return pairs


def _near_hashes(hashes: NDArray[np.uint64], usable: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Compare all hashes with all others, block by block."""
    pairs = []
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        bits = np.bitwise_count(block[:, None] ^ hashes[None, start:])
        near = (bits <= MAX_HASH_DISTANCE) & usable[start:][None, :]
        near &= usable[start : start + _BLOCK][:, None]
        rows, columns = np.nonzero(np.triu(near, k=1))
        pairs += [
            (start + int(row), start + int(column))
            for row, column in zip(rows, columns, strict=True)
        ]
    return pairs
