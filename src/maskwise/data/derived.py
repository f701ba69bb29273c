"""A new set made from the photos of a manifest, photo by photo, in several processes.

::

    out/
      images/         the photos that a step writes
      derived.json    the step and its options
      derived.jsonl   one line per source row that is done; a killed run goes on behind it
      manifest.csv    written last: the set is complete

Sources are only read. `out` is new, empty, or begun by the same step with the same options.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl
from filelock import FileLock, Timeout
from PIL import Image

from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.data.workers import map_in_order
from maskwise.errors import ManifestError, PhotoError
from maskwise.storage import remove_leftovers, replacing, storage_errors, write_json
from maskwise.version import __version__

Row = dict[str, Any]
"""One row of a manifest, by column."""

_OPTIONS: Final = "derived.json"
_JOURNAL: Final = "derived.jsonl"
_MANIFEST: Final = "manifest.csv"
_LOCK: Final = ".lock"
_CHUNK: Final = 4


@dataclass(frozen=True)
class Outcome:
    """What became of one source row."""

    rows: list[Row] = field(default_factory=list)
    """Manifest rows of the photos written, with paths relative to the set's folder."""
    note: str = ""
    """What a person should look at, such as 'no face'."""
    error: str = ""
    """Why nothing could be made of it."""


class Step(Protocol):
    """Makes photos from one source photo; it travels to worker processes."""

    @property
    def name(self) -> str:
        """What the step is called."""

    def options(self) -> dict[str, Any]:
        """Return everything that decides the result, as JSON values."""

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        """Write the photos made from a row at or below `out`/images/`stem`.

        Raises:
            PhotoError: the photo cannot be used.
            StorageError: the disk is full or the folder cannot be written.
        """


@dataclass(frozen=True)
class DerivedSet:
    """A finished set."""

    frame: pl.DataFrame
    """Its manifest, with absolute paths."""
    sources: list[Row]
    outcomes: list[Outcome]
    """One for each source row, in order."""

    def notes(self) -> list[tuple[str, str]]:
        """Return (photo, note) of the source rows that a person should look at."""
        pairs = zip(self.sources, self.outcomes, strict=True)
        return [(row["photo"], outcome.note) for row, outcome in pairs if outcome.note]

    def errors(self) -> list[str]:
        """Return why some source rows gave nothing."""
        return [outcome.error for outcome in self.outcomes if outcome.error]


def derive_set(
    frame: pl.DataFrame,
    out: Path,
    step: Step,
    workers: int,
    progress: Callable[[int], None] | None = None,
    stems: Sequence[str] | None = None,
) -> DerivedSet:
    """Make a set from every row of a manifest; what an earlier, stopped run did is kept.

    `workers` processes work (0: this one); `progress` is told how many more rows are done.
    `stems` are other names for the photos of each row than those of their files.

    Raises:
        ManifestError: `out` holds something else, or photos of the source, or is being written.
        StorageError: the disk is full or the folder cannot be written.
        WorkerError: a worker process was killed.
    """
    sources = frame.rows(named=True)
    _check_destination(out, sources)
    _claim(out, step, sources)
    with _alone_in(out):
        remove_leftovers(out)
        outcomes = _outcomes(sources, out, step, workers, progress, stems)
        rows = [row for outcome in outcomes for row in outcome.rows]
        made = manifest_from_rows(
            {**row, "photo": str(out.resolve() / row["photo"])} for row in rows
        )
        write_manifest(made, out / _MANIFEST)
    return DerivedSet(made, sources, outcomes)


def save_photo(image: Image.Image, path: Path, quality: int = 95) -> None:
    """Write a JPEG photo with its colours at full resolution, atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        image.save(temporary, "JPEG", quality=quality, subsampling=0)


def _outcomes(
    sources: Sequence[Row],
    out: Path,
    step: Step,
    workers: int,
    progress: Callable[[int], None] | None,
    stems: Sequence[str] | None,
) -> list[Outcome]:
    """Return what became of each source row; what is not in the journal yet is done now."""
    done = {
        key: outcome
        for key, outcome in _read_journal(out / _JOURNAL).items()
        if all((out / row["photo"]).is_file() for row in outcome.rows)
    }
    keys = [_row_key(row) for row in sources]
    tasks = [
        (key, row, stem)
        for key, row, stem in zip(keys, sources, stems or _stems(sources), strict=True)
        if key not in done
    ]
    tick = progress or (lambda _: None)
    tick(len(sources) - len(tasks))
    with storage_errors(out), (out / _JOURNAL).open("a", encoding="utf-8") as journal:
        run = partial(_outcome, step=step, out=out)
        results = map_in_order(run, tasks, workers, chunk=_CHUNK, few=2 * _CHUNK - 1)
        for (key, _, _), outcome in zip(tasks, results, strict=True):
            done[key] = outcome
            if not outcome.error:  # what failed is tried again by the next run
                line = json.dumps({"key": key, **asdict(outcome)}, ensure_ascii=False)
                journal.write(f"{line}\n")
                journal.flush()
            tick(1)
    return [done[key] for key in keys]


def _outcome(task: tuple[str, Row, str], step: Step, out: Path) -> Outcome:
    _, row, stem = task
    try:
        return step(row, stem, out)
    except PhotoError as error:
        return Outcome(error=str(error))


def _check_destination(out: Path, sources: Sequence[Row]) -> None:
    base = out.resolve()
    inside = next(
        (row["photo"] for row in sources if Path(row["photo"]).resolve().is_relative_to(base)), None
    )
    if inside:
        raise ManifestError(
            f"{out} holds photos of the source, such as {inside}; name another folder, since "
            "originals are never touched"
        )


def _claim(out: Path, step: Step, sources: Sequence[Row]) -> None:
    """Mark the folder as this step's, or see that it is."""
    faces = json.dumps([(row["photo"], row["box"]) for row in sources])
    digest = hashlib.sha256(faces.encode()).hexdigest()[:16]
    known = {"step": step.name, "version": __version__, "photos": digest, **step.options()}
    options = json.loads(json.dumps(known))
    marker = out / _OPTIONS
    if out.exists() and not out.is_dir():
        raise ManifestError(f"{out} is a file; name a folder to write")
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            keys = sorted({*found, *options})
            changed = [key for key in keys if found.get(key) != options.get(key)]
        except (ValueError, TypeError, AttributeError) as error:
            raise ManifestError(f"{marker} is damaged; remove {out} and start again") from error
        if changed:
            what = ", ".join(
                "other photos or boxes" if key == "photos" else f"{key} {found.get(key)!r}"
                for key in changed
            )
            raise ManifestError(f"{out} was begun with {what}; name another folder, or remove it")
        return
    if out.is_dir() and any(out.iterdir()):
        raise ManifestError(f"{out} is not empty; name a new folder")
    write_json(marker, options)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder; they would write the same files and journal."""
    with storage_errors(out):
        try:
            lock = FileLock(out / _LOCK).acquire(timeout=0)
        except Timeout as error:
            raise ManifestError(
                f"{out} is being written by another run; wait for it, or name another folder"
            ) from error
    with lock:
        yield


def _read_journal(path: Path) -> dict[str, Outcome]:
    """Return what is done; a line that a kill cut short is dropped from the file too."""
    if not path.is_file():
        return {}
    done = {}
    good = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):  # the next line would be written behind it
                break
            try:
                values = json.loads(line)
                key = values.pop("key")
                done[key] = Outcome(**values)
            except (ValueError, TypeError, KeyError, AttributeError):
                break
            good += len(line)
    with storage_errors(path):
        os.truncate(path, good)
    return done


def _row_key(row: Row) -> str:
    """Return what a row is known by: its values, and the size and time of its file."""
    try:
        status = Path(row["photo"]).stat()
        file: list[int] = [status.st_size, status.st_mtime_ns]
    except OSError:
        file = []
    return json.dumps([*row.values(), *file], ensure_ascii=False)


def _stems(sources: Sequence[Row]) -> list[str]:
    """Return a name for each row: the photo's path below the folder common to all, no ending."""
    parents = {str(Path(row["photo"]).parent) for row in sources}
    base = Path(os.path.commonpath(parents)) if parents else Path()
    plain = [str(Path(row["photo"]).relative_to(base).with_suffix("")) for row in sources]
    used = {stem.casefold() for stem in plain}  # some disks do not tell A from a
    seen: set[str] = set()
    stems = []
    for stem in plain:
        name, count = stem, 1
        while name.casefold() in seen or (count > 1 and name.casefold() in used):
            count += 1
            name = f"{stem}-{count}"
        seen.add(name.casefold())
        stems.append(name)
    return stems
