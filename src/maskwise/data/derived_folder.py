"""The folder of a derived set: whose it is, who writes it, and what is done in it already."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from maskwise.errors import ManifestError
from maskwise.storage import LOCK, only_writer, remove_leftovers, storage_errors, write_json
from maskwise.version import __version__

Row = dict[str, Any]
"""One row of a manifest, by column."""

_OPTIONS: Final = "derived.json"
_JOURNAL: Final = "derived.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What became of one source row."""

    rows: list[Row] = field(default_factory=list)
    """Manifest rows of the photos written, with paths relative to the set's folder."""
    note: str = ""
    """What a person should look at, such as 'no face'."""
    error: str = ""
    """Why nothing could be made of it."""


@contextmanager
def claimed(
    out: Path, step: str, options: dict[str, Any], sources: Sequence[Row]
) -> Iterator["Journal"]:
    """Make a folder this step's own, keep other runs out of it, and give its journal.

    Raises:
        ManifestError: `out` holds something else or photos of the source, was begun with other
            options or photos.
        StorageError: another process writes there, or the folder cannot be written.
    """
    _check_destination(out, sources)
    with only_writer(out):
        _claim(out, step, options, sources)
        remove_leftovers(out)
        yield Journal(out)


class Journal:
    """What became of the source rows that are done, one line each; a killed run goes on behind."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._path = out / _JOURNAL
        self._written: set[str] = set()
        self.done = self._read()

    def add(self, key: str, outcome: Outcome) -> None:
        """Keep what became of a row, for this run and the next."""
        self.done[key] = outcome
        self._written |= {row["photo"] for row in outcome.rows}
        line = json.dumps({"key": key, **asdict(outcome)}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def remove_stale(self, outcomes: Iterable[Outcome]) -> None:
        """Remove the photos that earlier runs wrote, and none of `outcomes` has."""
        wanted = {row["photo"] for outcome in outcomes for row in outcome.rows}
        for photo in self._written - wanted:
            path = self._out / photo
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def _read(self) -> dict[str, Outcome]:
        """Return what is done; a line that a kill cut short is dropped from the file too."""
        if not self._path.is_file():
            return {}
        done: dict[str, Outcome] = {}
        owners: dict[str, str] = {}
        good = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # the next line would be written behind it
                    break
                try:
                    values = json.loads(line)
                    key = values.pop("key")
                    outcome = Outcome(**values)
                    photos = [row["photo"] for row in outcome.rows]
                except (ValueError, TypeError, KeyError, AttributeError):
                    break
                for photo in photos:  # what was written over is not done any more
                    done.pop(owners.get(photo, ""), None)
                    owners[photo] = key
                done[key] = outcome
                good += len(line)
        with storage_errors(self._path):
            os.truncate(self._path, good)
        self._written = set(owners)
        return {key: outcome for key, outcome in done.items() if self._whole(outcome)}

    def _whole(self, outcome: Outcome) -> bool:
        return all((self._out / row["photo"]).is_file() for row in outcome.rows)


def row_key(row: Row, stem: str) -> str:
    """Return what a row is known by: its name, its values, and the size and time of its file."""
    try:
        status = Path(row["photo"]).stat()
        file: list[int] = [status.st_size, status.st_mtime_ns]
    except OSError:
        file = []
    return json.dumps([stem, *row.values(), *file], ensure_ascii=False)


def _check_destination(out: Path, sources: Sequence[Row]) -> None:
    base = out.resolve()
    try:
        str(base).encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{str(base)!a} is no UTF-8 name; name another folder") from error
    inside = next(
        (row["photo"] for row in sources if Path(row["photo"]).resolve().is_relative_to(base)), None
    )
    if inside:
        raise ManifestError(
            f"{out} holds photos of the source, such as {inside}; name another folder, since "
            "originals are never touched"
        )
    if out.exists() and not out.is_dir():
        raise ManifestError(f"{out} is a file; name a folder to write")
    ours = (out / _OPTIONS).is_file() or not out.is_dir()
    if not ours and any(not _is_begun(path.name) for path in out.iterdir()):
        raise ManifestError(f"{out} is not empty; name a new folder")


def _is_begun(name: str) -> bool:
    """Return whether a file is what a run leaves that was killed before it claimed the folder."""
    return name == LOCK or (name.startswith(f".{_OPTIONS}.") and name.endswith(".tmp"))


def _claim(out: Path, step: str, options: dict[str, Any], sources: Sequence[Row]) -> None:
    """Mark the folder as this step's, or see that it is."""
    faces = json.dumps([(row["photo"], row["box"]) for row in sources])
    digest = hashlib.sha256(faces.encode()).hexdigest()[:16]
    known = {"step": step, "version": __version__, "photos": digest, **options}
    wanted = json.loads(json.dumps(known))
    marker = out / _OPTIONS
    if not marker.is_file():
        write_json(marker, wanted)
        return
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        keys = sorted({*found, *wanted})
        changed = [key for key in keys if found.get(key) != wanted.get(key)]
    except (ValueError, TypeError, AttributeError) as error:
        raise ManifestError(f"{marker} is damaged; remove {out} and start again") from error
    if changed:
        what = ", ".join(
            "other photos or boxes" if key == "photos" else f"{key} {found.get(key)!r}"
            for key in changed
        )
        raise ManifestError(f"{out} was begun with {what}; name another folder, or remove it")
