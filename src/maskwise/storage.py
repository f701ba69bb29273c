"""Files that are either there whole or not at all."""

import csv
import errno
import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from maskwise.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DAY: Final = 24 * 60 * 60
LOCK: Final = ".lock"
"""File of a folder that one process at a time may write to."""


def is_file(path: Path) -> bool:
    """Return whether a path is that of a file; of a name that no file can have it is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, no right to read, a zero byte
        return False


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            hint = "the disk is full: free some space and run the command again"
        else:
            hint = "check that the folder exists and may be written"
        raise StorageError(f"cannot write {path}: {error.strerror or error}; {hint}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    A block that fails leaves what stood at `path` before, and no temporary file.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):  # it must not hide what went wrong before
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; rename it to `path` when the block succeeds.

    `path` must not exist, or be an empty folder. What a killed process left is removed a day later.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    name = f".{path.name}.{uuid.uuid4().hex}.tmp"
    temporary = path.with_name(name)
    try:
        with storage_errors(path):
            _remove_old(path)
            try:
                temporary.mkdir(parents=True)
            except OSError:
                if not path.is_dir():
                    raise
                temporary = path / name  # the folder above belongs to somebody else
                temporary.mkdir()
            yield temporary
            _put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a folder; where the other is a mount, or lies around it, move what is inside."""
    try:
        temporary.replace(path)
    except OSError:
        if not path.is_dir():
            raise
        for child in temporary.iterdir():
            shutil.move(child, path / child.name)


def _remove_old(path: Path) -> None:
    """Remove folders that `replacing_folder` of killed processes left a day ago or earlier."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if time.time() - left.stat().st_mtime > _DAY:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes out of it, until the block or this process ends.

    Raises:
        StorageError: another process writes there, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # slow to import, and most commands lock nothing

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder / LOCK).acquire(timeout=0)
        except Timeout as error:
            raise StorageError(
                f"{folder} is being written by another process; wait for it, or name another folder"
            ) from error
    with lock:
        yield


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left below a folder."""
    for path in list(folder.rglob(".*.tmp")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, with NaN refused.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        ValueError: `value` holds NaN or infinity.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically: UTF-8, commas, lines that end with a line feed.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def user_cache(name: str) -> Path:
    """Return this user's cache folder of that name: below $XDG_CACHE_HOME, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maskwise" / name


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
