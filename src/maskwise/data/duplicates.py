"""Photos that are nearly the same: candidates by perceptual hash, confirmed by their pixels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError
from maskwise.storage import file_digest
from maskwise.transforms.decode import decode_photo

MAX_HASH_DISTANCE: Final = 14
"""Most bits of 64 in which the perceptual hashes of two candidates differ."""
MAX_PIXEL_DISTANCE: Final = 0.25
"""Largest root mean square difference of two thumbnails, each of mean 0 and deviation 1."""
_THUMBNAIL: Final = 24
_FEW: Final = 256
"""So few photos are done before worker processes have started."""
_COMPARED: Final = 32_000_000
"""Pairs of hashes compared at a time, to bound the memory."""
_CONFIRMED: Final = 16_384
"""Pairs of thumbnails compared at a time."""


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


Print = tuple[str, int, NDArray[np.float32]]
"""Digest, perceptual hash and thumbnail of one photo."""


def fingerprint_photo(path: str) -> Print:
    """Return what is compared of a photo; ('', 0, zeros) if it cannot be read."""
    try:
        return fingerprint_image(decode_photo(path), path)
    except PhotoError:
        return no_print()


def no_print() -> Print:
    """Return what is compared of a photo that cannot be read: nothing."""
    return "", 0, np.zeros(_THUMBNAIL**2, dtype=np.float32)


def fingerprint_image(decoded: Image.Image, path: str) -> Print:
    """Return what is compared of a photo that was decoded from a file."""
    image = decoded.convert("L")
    bits = imagehash.phash(image).hash
    grey = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    thumbnail = np.asarray(grey, dtype=np.float32).ravel()
    spread = float(thumbnail.std())
    # a blank photo looks like every other blank photo: only its bytes are compared
    plain = (thumbnail - thumbnail.mean()) / spread if spread > 1 else np.zeros_like(thumbnail)
    return file_digest(Path(path)), int.from_bytes(np.packbits(bits).tobytes()), plain


def fingerprint_photos(
    photos: Sequence[str], workers: int, progress: Callable[[int], None] | None = None
) -> Fingerprints:
    """Fingerprint photos in `workers` processes (0: in this one), in order; each file once."""
    files = list(dict.fromkeys(photos))
    found = map_in_order(fingerprint_photo, files, workers, chunk=64, few=_FEW)
    by_file = {}
    for file, result in zip(files, found, strict=True):
        by_file[file] = result
        if progress:
            progress(1)
    return gather_prints([by_file[photo] for photo in photos])


def gather_prints(results: Sequence[Print]) -> Fingerprints:
    """Return what is compared of photos, from that of each."""
    return Fingerprints(
        [digest for digest, _, _ in results],
        np.array([bits for _, bits, _ in results], dtype=np.uint64),
        np.array([thumbnail for _, _, thumbnail in results]).reshape(len(results), -1),
    )


def find_twins(prints: Fingerprints) -> list[Twin]:
    """Return every pair of photos with equal bytes or nearly equal pixels, first < second."""
    twins = {pair: Twin(*pair, 0.0) for pair in _equal_bytes(prints.digests)}
    for first, second, distance in _near_photos(prints):
        twins.setdefault((first, second), Twin(first, second, distance))
    return [twins[pair] for pair in sorted(twins)]


def _equal_bytes(digests: Sequence[str]) -> list[tuple[int, int]]:
    first_with: dict[str, int] = {}
    pairs = []
    for position, digest in enumerate(digests):
        if digest and first_with.setdefault(digest, position) != position:
            pairs.append((first_with[digest], position))
    return pairs


def _near_photos(prints: Fingerprints) -> Iterator[tuple[int, int, float]]:
    """Compare all hashes with all later ones, block by block, then the pixels of what is near."""
    usable = np.flatnonzero(np.any(prints.thumbnails != 0, axis=1))
    hashes, thumbnails = prints.hashes[usable], prints.thumbnails[usable]
    block = max(1, _COMPARED // max(len(hashes), 1))
    for start in range(0, len(hashes), block):
        bits = np.bitwise_count(hashes[start : start + block, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(np.triu(bits <= MAX_HASH_DISTANCE, k=1))
        for part in range(0, len(rows), _CONFIRMED):
            first = start + rows[part : part + _CONFIRMED]
            second = start + columns[part : part + _CONFIRMED]
            gaps = thumbnails[first] - thumbnails[second]
            distances = np.sqrt(np.mean(gaps**2, axis=1))
            for place in np.flatnonzero(distances <= MAX_PIXEL_DISTANCE):
                pair = int(usable[first[place]]), int(usable[second[place]])
                yield *pair, float(distances[place])
