"""The photos of a run: which rows train and validate, their frames, and the checks on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maskwise.config import MixSettings, Settings
from maskwise.data.batches import Rows
from maskwise.data.cache import CachedFrames, open_frames
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.frames import FrameSource, photo_refs
from maskwise.data.framing import Framer
from maskwise.data.manifest import read_manifest
from maskwise.data.mattes import matte_path
from maskwise.data.sampling import Sampler
from maskwise.data.shortcuts import ADVICE, find_shortcuts
from maskwise.data.soft import SOFT
from maskwise.data.source_names import base_sources, check_sources
from maskwise.data.split import NO_FOLD, PSEUDO, TEST, check_leaks
from maskwise.data.targets import (
    Ages,
    Codes,
    answered_codes,
    group_mean_ages,
    known_ages,
    training_age_ranges,
    training_ages,
    training_codes,
)
from maskwise.errors import ManifestError, SettingsError, listed
from maskwise.labels import UNKNOWN, code_of
from maskwise.training.data import TrainingData
from maskwise.training.observer import Observer
from maskwise.transforms.preprocess import Preprocess


@dataclass(frozen=True)
class RunRows:
    """The rows of a manifest that a run uses, and which of them train and validate."""

    frame: pl.DataFrame
    train: Rows
    val: Rows

    def summary(self) -> dict[str, Any]:
        """Return photos, people and sources."""
        return {
            "train_photos": len(self.train),
            "train_people": self.frame[self.train]["person"].n_unique(),
            "val_photos": len(self.val),
            "val_people": self.frame[self.val]["person"].n_unique(),
            "sources": self.sources,
        }

    @property
    def sources(self) -> list[str]:
        """The sources of the training photos."""
        return sorted(self.frame[self.train]["source"].unique())

    def epoch_photos(self, settings: Settings) -> int:
        """Return how many photos an epoch holds."""
        return len(self.sampler(settings))

    def sampler(self, settings: Settings) -> Sampler:
        """Return what says which photos an epoch holds."""
        codes = training_codes(self.frame, settings.labels)
        sources = self.frame["source"].to_numpy().astype(np.object_)
        return Sampler(settings.train, codes, sources, self.train)

    def mean_ages(self, settings: Settings) -> tuple[float, float, float]:
        """Return the mean training age of each group, in years."""
        young, middle, old = group_mean_ages(self.frame[self.train], settings.labels)
        return young, middle, old


def choose_rows(manifest: Path, settings: Settings) -> RunRows:
    """Return the rows of a manifest that a run with these settings uses.

    Raises:
        ManifestError: the manifest is wrong, or lacks folds or labels.
    """
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    left_out = settings.train.leave_out_sources
    check_sources(frame, left_out, "train.leave_out_sources")
    frame = frame.filter(~base_sources(frame).is_in(left_out))
    val_fold = settings.train.val_fold
    folds = set(frame["fold"].drop_nulls().unique())
    if frame["fold"].null_count():
        raise ManifestError(
            f"{manifest}: {frame['fold'].null_count()} of {len(frame)} rows have no fold; "
            "assign them with: maskwise data split"
        )
    if val_fold == PSEUDO:
        raise ManifestError("train.val_fold=pseudo: labels that a model gave validate nobody")
    if not folds - {val_fold, TEST} or val_fold not in {*folds, NO_FOLD}:
        raise ManifestError(
            f"{manifest} has the folds {', '.join(sorted(folds)) or 'of no rows'}; training needs "
            f"train.val_fold={val_fold} and at least one other"
        )
    validates = (frame["fold"] == val_fold).to_numpy()
    trains = ~validates & (frame["fold"] != TEST).to_numpy()
    rows = [np.flatnonzero(part) for part in (trains, validates)]
    if settings.train.max_photos:
        generator = np.random.default_rng(settings.train.seed)
        rows = [generator.permutation(part)[: settings.train.max_photos] for part in rows]
    used = np.sort(np.concatenate(rows))
    train_rows, val_rows = (np.flatnonzero(np.isin(used, part)) for part in rows)
    chosen = RunRows(frame[used], train_rows, val_rows)
    check_labels(chosen, settings)
    return chosen


def check_labels(rows: RunRows, settings: Settings) -> None:
    """Check that there is something to learn, and something to score.

    Raises:
        ManifestError: there is not.
    """
    frame = rows.frame[rows.train]
    trained = training_codes(frame, settings.labels)
    years = training_ages(frame, settings.labels)
    ranges = training_age_ranges(frame, settings.labels)
    model = settings.model
    learns_years = "age_group" in settings.trained_tasks and (
        model.age_regression or model.age == "distribution"
    )
    has_years = not (np.isnan(years).all() and np.isnan(ranges).all())
    taught = bool(settings.distill.teacher) or SOFT in frame.columns
    labelled = any((trained[task] != UNKNOWN).any() for task in settings.trained_tasks)
    if not (taught or labelled or (learns_years and has_years)):
        raise ManifestError("no training photo has a label of a task that weighs more than 0")
    if learns_years and model.age_regression and not has_years:
        raise ManifestError("model.age_regression: no training photo has an age in years to learn")
    _check_sources(settings, rows)
    _check_partners(settings.mix, trained, years)
    scored = answered_codes(rows.frame[rows.val], settings.labels, settings.model.tasks)
    if len(rows.val) and all((codes == UNKNOWN).all() for codes in scored.values()):
        raise ManifestError("no validation photo has a label, so no epoch could be called better")


def _check_sources(settings: Settings, rows: RunRows) -> None:
    """Check that there are photos of the sets that shall be repeated."""
    known = sorted(rows.frame[rows.train]["source"].unique())
    left_out = settings.train.leave_out_sources
    missing = sorted(set(settings.train.repeat_sources) - set(known) - set(left_out))
    if missing:
        raise ManifestError(
            f"train.repeat_sources: no training photo is of {' or '.join(missing)}; the sets are "
            f"{', '.join(known)}"
        )


def _check_partners(mix: MixSettings, codes: Codes, ages: Ages) -> None:
    """Check that photos can be mixed with those that settings ask for."""
    old = codes["age_group"] == code_of("age_group", "old")
    fitting = {
        "with_old": (old, "is of the age group old"),
        "within_mask": (codes["mask"] != UNKNOWN, "has a mask label"),
        "age_gap": (~np.isnan(ages), "has an age in years"),
    }
    problems = [
        f"mix.{name}: no training photo {what}, so none can be mixed"
        for name, (fits, what) in fitting.items()
        if getattr(mix, name) and not fits.any()
    ]
    if problems:
        raise ManifestError("\n".join(problems))


def load_data(
    rows: RunRows, settings: Settings, preprocess: Preprocess, told: Observer | None
) -> TrainingData:
    """Return the frames and labels of a run, checked.

    Raises:
        ManifestError: photos cannot be decoded.
        DetectorError: the face detector cannot be had.
        LeakError: a person, or the same photo, is in training and in validation.
        SettingsError: a folder of mattes has none of these photos.
    """
    frame = rows.frame
    frames = open_frames(
        photo_refs(frame),
        Framer(preprocess, settings.augment.used_mattes),
        settings.cache,
        partial(told.decoded, total=len(frame)) if told else None,
    )
    _check_leaks(frame, frames, rows.train, rows.val, settings.cache.workers)
    note_missed(frames, told)
    note_shortcuts(rows, frames, told)
    _check_mattes(settings, frames, told)
    codes = training_codes(frame, settings.labels)
    return TrainingData(
        frames,
        codes,
        training_ages(frame, settings.labels),
        training_age_ranges(frame, settings.labels),
        answered_codes(frame, settings.labels, settings.model.tasks),
        known_ages(frame),
        rows.train,
        rows.val,
        rows.sampler(settings),
        settings.train.batch_size,
    )


def _check_leaks(
    frame: pl.DataFrame, frames: FrameSource, train_rows: Rows, val_rows: Rows, workers: int
) -> None:
    used = np.sort(np.concatenate([train_rows, val_rows]))
    validates = set(val_rows.tolist())
    folds = ["val" if row in validates else "train" for row in used.tolist()]
    # photos that stream are not read before training, so their bytes are not compared here
    digests: Sequence[str] = (
        [frames.digests[row] for row in used.tolist()]
        if isinstance(frames, CachedFrames)
        else [""] * len(used)
    )
    check_leaks(frame[used].with_columns(fold=pl.Series(folds)), digests)
    _check_pseudo(frame, train_rows, val_rows, workers)


def _check_pseudo(frame: pl.DataFrame, train_rows: Rows, val_rows: Rows, workers: int) -> None:
    """Check that no pseudo-labelled photo nearly equals one that validates.

    Splitting finds those of labelled photos; pseudo-labels are added behind it.
    """
    given = train_rows[(frame["fold"][train_rows] == PSEUDO).to_numpy()]
    if not len(given) or not len(val_rows):
        return
    asked = frame[np.concatenate([given, val_rows])]
    folds = [PSEUDO] * len(given) + ["val"] * len(val_rows)
    twins = find_twins(fingerprint_photos(asked["photo"].to_list(), workers))
    check_leaks(asked.with_columns(fold=pl.Series(folds)), [""] * len(asked), twins)


def note_shortcuts(rows: RunRows, frames: FrameSource, observer: Observer | None) -> None:
    """Warn of classes that could be learnt by recognising a source instead of the face."""
    if observer is None or not len(rows.train):
        return

    def face_crops(chosen: Rows) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        crops = next(iter(frames.batches([rows.train[chosen]])))
        return crops[..., :3], np.ones(len(crops), dtype=np.bool_)

    shortcuts = find_shortcuts(rows.frame[rows.train], face_crops)
    if shortcuts:
        observer.noted(
            f"{len(shortcuts)} label shortcut(s):\n{listed(list(map(str, shortcuts)))}\n{ADVICE}"
        )


def note_missed(frames: FrameSource, told: Observer | None) -> None:
    """Tell in how many photos no face was found."""
    missed = int(frames.missed.sum())
    if missed and told:
        told.noted(f"no face in {missed} of {len(frames)} photos: centre taken")


def _check_mattes(settings: Settings, frames: FrameSource, told: Observer | None) -> None:
    """Say how many photos have a matte; none at all is a mistake."""
    folder = settings.augment.used_mattes
    if folder is None or not isinstance(frames, CachedFrames):
        return
    found = sum(matte_path(folder, digest).is_file() for digest in frames.digests)
    if not found:
        raise SettingsError(f"augment.mattes: {folder} has no matte of any photo of the manifest")
    if told:
        told.noted(f"mattes for {found} of {len(frames)} photos")
