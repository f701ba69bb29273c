"""Frames of photos, decoded once into one uint8 array on disk.

A cache folder belongs to one preprocessing. `frames.u8` holds frames of equal size one after
another; `index.sqlite` says which file content (SHA-256) and box stands in which row and whether
its face was missed, and which content each path held when it was last seen (by size and time of
change). Frames are written before the index names them, so a build that is killed goes on where
the index ends.
"""

import hashlib
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from maskwise.config import CacheSettings
from maskwise.data.frames import (
    Frames,
    FrameSource,
    PhotoRef,
    StreamedFrames,
    unreadable,
)
from maskwise.data.framing import Framed, Framer
from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError, StorageError
from maskwise.storage import storage_errors, user_cache

_COMMIT_EVERY: Final = 512
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS photos (path TEXT PRIMARY KEY, size INT, changed INT, digest TEXT);
CREATE TABLE IF NOT EXISTS frames
    (digest TEXT, box TEXT, row INT, missed INT, PRIMARY KEY (digest, box));
"""
Progress = Callable[[int], None]
_Seen = dict[str, tuple[int, int, str]]
_Rows = dict[tuple[str, str], tuple[int, bool]]


class CachedFrames:
    """Frames read from the array on disk."""

    def __init__(
        self,
        frames: Frames,
        rows: NDArray[np.int64],
        missed: NDArray[np.bool_],
        digests: list[str],
    ) -> None:
        self._frames = frames
        self._rows = rows
        self.missed = missed
        self.digests = digests
        """SHA-256 of each photo's file."""

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, rows: Iterable[NDArray[np.int64]]) -> Iterator[Frames]:
        """Yield the frames for each array of row numbers; see `FrameSource`."""
        for batch in rows:
            yield self._frames[self._rows[batch]]


def open_frames(
    photos: Sequence[PhotoRef],
    framer: Framer,
    settings: CacheSettings,
    progress: Progress | None = None,
) -> FrameSource:
    """Return the frames of photos: cached, or streamed where they would pass the limit.

    Raises:
        ManifestError: photos that cannot be decoded (a cached set names all of them).
        StorageError: the disk is full; what was decoded before stays usable.
    """
    size = len(photos) * math.prod(framer.shape)
    if size > settings.limit_gb * 1e9:
        return StreamedFrames(photos, framer, settings.workers)
    folder = (settings.folder or default_folder()) / framer.key
    return FrameCache(folder, framer).open(photos, settings.workers, progress)


def default_folder() -> Path:
    """Return the user's cache folder for frames."""
    return user_cache("frames")


class FrameCache:
    """One cache folder."""

    def __init__(self, folder: Path, framer: Framer) -> None:
        self._folder = folder
        self._index = folder / "index.sqlite"
        self._frames = folder / "frames.u8"
        self._framer = framer
        self._frame_bytes = math.prod(framer.shape)

    def open(
        self, photos: Sequence[PhotoRef], workers: int, progress: Progress | None = None
    ) -> CachedFrames:
        """Decode what is missing and return all frames, in the order of `photos`.

        Raises:
            ManifestError: photos that cannot be decoded.
            StorageError: the disk is full or the folder cannot be written.
        """
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / "lock"):
                try:
                    found = self._open_index(photos, workers, progress)
                except sqlite3.OperationalError as error:
                    raise StorageError(
                        f"cannot write the cache {self._folder}: {error}; free some space, or set "
                        "cache.folder to another disk or cache.limit_gb to 0"
                    ) from error
                except sqlite3.DatabaseError:
                    self._index.unlink()  # a damaged index costs a new decoding, nothing else
                    found = self._open_index(photos, workers, progress)
        return CachedFrames(self._map(), *found)

    def _open_index(
        self, photos: Sequence[PhotoRef], workers: int, progress: Progress | None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[str]]:
        if not self._index.is_file():
            # frames that no index names go, and a process that still reads them keeps its own
            self._frames.unlink(missing_ok=True)
        with closing(sqlite3.connect(self._index)) as index:
            index.executescript(_SCHEMA)
            return self._complete(index, photos, workers, progress)

    def _complete(
        self,
        index: sqlite3.Connection,
        photos: Sequence[PhotoRef],
        workers: int,
        progress: Progress | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[str]]:
        seen: _Seen = {row[0]: row[1:] for row in index.execute("SELECT * FROM photos")}
        stored = self._stored_rows(index)
        missing = []
        for photo in dict.fromkeys(photos):
            digest = _unchanged_digest(photo.path, seen)
            if digest is None or (digest, _box_key(photo)) not in stored:
                missing.append(photo)
        if progress:
            progress(len(photos) - len(missing))
        problems = self._append(index, missing, stored, seen, workers, progress)
        if problems:
            raise unreadable(problems)
        digests = [seen[photo.path][2] for photo in photos]
        found = [stored[digest, _box_key(p)] for digest, p in zip(digests, photos, strict=True)]
        rows = np.array([row for row, _ in found], dtype=np.int64)
        return rows, np.array([missed for _, missed in found], dtype=np.bool_), digests

    def _stored_rows(self, index: sqlite3.Connection) -> _Rows:
        """Return (digest, box) -> row and whether its face was missed.

        Rows that a shortened file no longer holds are forgotten.
        """
        size = self._frames.stat().st_size if self._frames.is_file() else 0
        index.execute("DELETE FROM frames WHERE row >= ?", (size // self._frame_bytes,))
        index.commit()
        rows = index.execute("SELECT digest, box, row, missed FROM frames")
        return {(digest, box): (row, bool(missed)) for digest, box, row, missed in rows}

    def _append(
        self,
        index: sqlite3.Connection,
        missing: Sequence[PhotoRef],
        stored: _Rows,
        seen: _Seen,
        workers: int,
        progress: Progress | None,
    ) -> list[str]:
        """Decode photos and write them behind the last row; return what could not be decoded."""
        problems = []
        self._frames.touch()
        with self._frames.open("r+b") as file:
            row = max((row for row, _ in stored.values()), default=-1) + 1
            file.seek(row * self._frame_bytes)
            read = partial(_read, framer=self._framer)
            results = map_in_order(read, missing, workers, chunk=32, few=2 * _COMMIT_EVERY)
            for count, (photo, result) in enumerate(zip(missing, results, strict=True), start=1):
                if isinstance(result, PhotoError):
                    problems.append(str(result))
                    continue
                size, changed, digest, frame = result
                seen[photo.path] = (size, changed, digest)
                index.execute(
                    "REPLACE INTO photos VALUES (?, ?, ?, ?)", (photo.path, size, changed, digest)
                )
                key = (digest, _box_key(photo))
                if key not in stored:
                    file.write(frame.pixels.tobytes())
                    entry = (*key, row, frame.missed)
                    index.execute("REPLACE INTO frames VALUES (?, ?, ?, ?)", entry)
                    stored[key] = (row, frame.missed)
                    row += 1
                if count % _COMMIT_EVERY == 0:
                    _commit(file.fileno(), file.flush, index)
                if progress:
                    progress(1)
            _commit(file.fileno(), file.flush, index)
        return problems

    def _map(self) -> Frames:
        count = self._frames.stat().st_size // self._frame_bytes
        if not count:
            return np.empty((0, *self._framer.shape), dtype=np.uint8)
        shape = (count, *self._framer.shape)
        return np.memmap(self._frames, dtype=np.uint8, mode="r", shape=shape)


def _commit(descriptor: int, flush: Callable[[], None], index: sqlite3.Connection) -> None:
    flush()
    os.fsync(descriptor)
    index.commit()


def _box_key(photo: PhotoRef) -> str:
    return " ".join(f"{edge:g}" for edge in photo.box) if photo.box else ""


def _unchanged_digest(path: str, seen: _Seen) -> str | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    known = seen.get(path)
    if known and known[:2] == (status.st_size, status.st_mtime_ns):
        return known[2]
    return None


_Read = tuple[int, int, str, Framed]


def _read(photo: PhotoRef, framer: Framer) -> _Read | PhotoError:
    """Return size, time of change, digest and frame of a photo file."""
    try:
        status = Path(photo.path).stat()
        content = Path(photo.path).read_bytes()
        frame = framer.frame(content, photo.box, photo.path)
    except OSError as error:
        return PhotoError(f"{photo.path}: {(error.strerror or str(error)).lower()}")
    except PhotoError as error:
        return error
    return status.st_size, status.st_mtime_ns, hashlib.sha256(content).hexdigest(), frame
