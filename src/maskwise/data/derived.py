"""A new set made from the photos of a manifest, photo by photo, in several processes.

::

    out/
      images/         the photos that a step writes
      derived.json    the step and its options
      derived.jsonl   one line per source row that is done; a killed run goes on behind it
      manifest.csv    written when every row is done; folds that it has are kept

Sources are only read. `out` is new, empty, or begun by the same step with the same options.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl
from PIL import Image

from maskwise.data.derived_folder import Journal, Outcome, Row, claimed, row_key
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.data.workers import map_in_order
from maskwise.errors import PhotoError
from maskwise.storage import replacing, storage_errors

__all__ = ["DerivedSet", "Outcome", "Row", "Step", "derive_set", "save_photo"]

_MANIFEST: Final = "manifest.csv"
_CHUNK: Final = 4
_LONGEST: Final = 200
"""Bytes of a file's name; with what a temporary name adds it must stay below 255."""


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
    with claimed(out, step.name, step.options(), sources) as journal:
        outcomes = _outcomes(
            sources, stems or _stems(sources), out, step, workers, journal, progress
        )
        journal.remove_stale(outcomes)
        made = _made_frame(outcomes, out)
        write_manifest(made, out / _MANIFEST)
    return DerivedSet(made, sources, outcomes)


def _made_frame(outcomes: Sequence[Outcome], out: Path) -> pl.DataFrame:
    """Return the set's manifest; folds that an earlier one gave its photos are kept."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    made = manifest_from_rows({**row, "photo": str(out.resolve() / row["photo"])} for row in rows)
    manifest = out / _MANIFEST
    if not manifest.is_file():
        return made
    before = read_manifest(manifest, check_photos=False)
    folds = dict(before.select("photo", "fold").iter_rows())
    kept = pl.col("photo").replace_strict(folds, default=None, return_dtype=pl.String)
    return made.with_columns(fold=pl.coalesce("fold", kept))


def save_photo(image: Image.Image, path: Path, quality: int = 95) -> None:
    """Write a JPEG photo with its colours at full resolution, atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        image.save(temporary, "JPEG", quality=quality, subsampling=0)


def _outcomes(
    sources: Sequence[Row],
    stems: Sequence[str],
    out: Path,
    step: Step,
    workers: int,
    journal: Journal,
    progress: Callable[[int], None] | None,
) -> list[Outcome]:
    """Return what became of each source row; what is not in the journal yet is done now."""
    keys = [row_key(row, stem) for row, stem in zip(sources, stems, strict=True)]
    rows = zip(keys, sources, stems, strict=True)
    tasks = [(key, row, stem) for key, row, stem in rows if key not in journal.done]
    tick = progress or (lambda _: None)
    tick(len(sources) - len(tasks))
    failed = {}
    run = partial(_outcome, step=step, out=out)
    results = map_in_order(run, tasks, workers, chunk=_CHUNK, few=2 * _CHUNK - 1)
    with storage_errors(out):
        for (key, _, _), outcome in zip(tasks, results, strict=True):
            if outcome.error:  # the next run tries again
                failed[key] = outcome
            else:
                journal.add(key, outcome)
            tick(1)
    return [failed.get(key) or journal.done[key] for key in keys]


def _outcome(task: tuple[str, Row, str], step: Step, out: Path) -> Outcome:
    _, row, stem = task
    try:
        return step(row, stem, out)
    except PhotoError as error:
        return Outcome(error=str(error))


def _stems(sources: Sequence[Row]) -> list[str]:
    """Return a name for each row: the photo's path below the folder common to all, no ending."""
    parents = {str(Path(row["photo"]).parent) for row in sources}
    base = Path(os.path.commonpath(parents)) if parents else Path()
    plain = [_shortened(Path(row["photo"]).relative_to(base).with_suffix("")) for row in sources]
    folders = {str(parent).casefold() for stem in plain for parent in Path(stem).parents}
    used = {stem.casefold() for stem in plain}  # some disks do not tell A from a
    seen: set[str] = set()
    stems = []
    for stem in plain:
        name, count = stem, 1
        while (
            name.casefold() in seen
            or (count > 1 and name.casefold() in used)
            or f"{name}.jpg".casefold() in folders
        ):
            count += 1
            name = f"{stem}-{count}"
        seen.add(name.casefold())
        stems.append(name)
    return stems


def _shortened(path: Path) -> str:
    """Return a relative path whose names leave room for endings; a digest tells long ones apart."""
    parts = []
    for part in path.parts:
        content = os.fsencode(part)
        if len(content) > _LONGEST:
            digest = hashlib.sha256(content).hexdigest()[:8]
            part = f"{content[:_LONGEST].decode(errors='ignore')}-{digest}"  # noqa: PLW2901
        parts.append(part)
    return str(Path(*parts))
