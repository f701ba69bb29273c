"""Cross-validation by source: how well a model predicts photos of a source it never saw.

::

    OUT/
        manifest.csv          the rows used, with their folds
        all/                  the run on every source
        without-fairface/     a run on all others, for each source that is left out
        sources.json          the table: source x task, trained with it and without it

Both models of a row of the table predict the same photos: those of the source in the fold test, or
in val where there is no test. So their difference, the gap, is what the source itself is worth.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from maskwise.config import Settings
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.inputs import labelled_manifest
from maskwise.data.manifest import read_manifest
from maskwise.data.source_names import base_source, base_sources, check_sources
from maskwise.data.split import NO_FOLD, TEST, split_manifest
from maskwise.data.targets import answered_codes, training_codes
from maskwise.errors import ManifestError, SettingsError, listed
from maskwise.evaluation.evaluate import answer_rows
from maskwise.evaluation.sources import TASK_NAMES, SourceScores, source_scores
from maskwise.experiments.begun import MANIFEST, begin_experiment, is_begun
from maskwise.experiments.folds import schedule_problems
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.ensemble import load_classifier
from maskwise.storage import write_json
from maskwise.training.lineage import seen_sources
from maskwise.training.observer import Observer
from maskwise.training.run import train

_ALL: Final = "all"
_FILE: Final = "sources.json"
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class SourceGap:
    """One task, or the 18 classes, on the photos of a source, with and without it in training."""

    source: str
    task: str
    trained_with: SourceScores
    never_trained_on: SourceScores
    gap: float
    """Balanced accuracy with the source in training, less that without it."""


@dataclass(frozen=True)
class SourcesSummary:
    """How a cross-validation by source ended."""

    folder: str
    fold: str
    """The fold of the photos that were predicted."""
    photos: int
    gaps: list[SourceGap]
    mean_gaps: dict[str, float]
    """Task -> mean gap over sources."""


def leave_source_out(
    source: Path,
    out: Path,
    settings: Settings,
    names: Sequence[str],
    resume: bool,
    observer: Observer,
) -> SourcesSummary:
    """Train a model on every source, and one without each source; compare them on that source.

    The model of the last epoch predicts, so that no epoch is chosen on photos that are scored. A
    manifest without folds is split by people first.

    Args:
        source: A manifest, or a folder to import.
        out: The folder to write.
        settings: The settings of every run.
        names: The sources to leave out, one at a time; empty: every source with a label.
        resume: Whether an experiment that was begun goes on.
        observer: Receives the progress of the runs.

    Raises:
        ManifestError: There are fewer than two sources, a name is unknown, a source has no photo to
            train or to score, or only one source has a class, so that a model without it cannot
            learn it; all problems at once.
        SettingsError: Settings that cannot work together, or differ from those it was begun with.
        RunError: The folder holds other things.
    """
    if problems := schedule_problems(settings):
        raise SettingsError("\n".join(problems))
    frame = labelled_manifest(source, settings.labels.task_boundaries)
    chosen = _chosen_sources(frame, names, settings, source)
    folders = _run_folders(out, chosen)
    digest = hashlib.sha256(frame.write_csv().encode()).hexdigest()
    if not is_begun(out):
        frame = _with_folds(frame, settings)
        _check_runs(frame, chosen, settings, source)
    begin_experiment(
        out,
        "cross-validation by source",
        "train.leave_out_sources=[SOURCE]",
        {"manifest": digest, "sources": chosen},
        lambda: frame,
        settings,
        resume,
    )
    for number, (name, folder) in enumerate(folders.items(), start=1):
        said = f"without {name}" if name else "on every source"
        observer.noted(f"run {number} of {len(folders)}: {said}")
        train(out / MANIFEST, folder, run_settings(settings, name), observer, resume=True)
    summary = _compare(out, folders, settings, observer)
    write_json(out / _FILE, asdict(summary))
    return summary


def _chosen_sources(
    frame: pl.DataFrame, names: Sequence[str], settings: Settings, where: Path
) -> list[str]:
    """Return the sources to leave out: those named, or all that have a label.

    Raises:
        ManifestError: A name is unknown, or there are fewer than two sources.
    """
    given = set(settings.train.leave_out_sources)
    check_sources(frame, sorted(given), "train.leave_out_sources")
    frame = frame.filter(~base_sources(frame).is_in(list(given)))
    check_sources(frame, names, "--source")
    sources = base_sources(frame).to_numpy()
    known = sorted(set(sources))
    if len(known) < 2:
        raise ManifestError(
            f"{where} has one source, {', '.join(known)}: to leave one out takes two or more; join "
            "manifests of several sources with maskwise data merge"
        )
    codes = answered_codes(frame, settings.labels, settings.model.tasks)
    labelled = np.logical_or.reduce([codes[task] != UNKNOWN for task in settings.trained_tasks])
    return sorted(set(names)) or [name for name in known if labelled[sources == name].any()]


def _check_runs(frame: pl.DataFrame, names: Sequence[str], settings: Settings, where: Path) -> None:
    """Check that every run can be trained, and every source be compared, before any begins.

    Raises:
        ManifestError: Not so; all problems at once.
    """
    left_out = base_sources(frame).is_in(list(settings.train.leave_out_sources))
    frame = frame.filter(~left_out)
    sources = base_sources(frame).to_numpy()
    folds = frame["fold"].to_numpy()
    scored = folds == _scored_fold(frame, settings)
    validates = folds == settings.train.val_fold
    trains = ~validates & (folds != TEST)
    codes = training_codes(frame, settings.labels)
    truth = answered_codes(frame, settings.labels, settings.trained_tasks)
    seen = _seen_before(settings)
    problems = []
    for name in names:
        own = sources == name
        if not (own & trains).any():
            problems.append(f"no photo of {name} trains, so no model can be trained with it")
        if not any((truth[task][own & scored] != UNKNOWN).any() for task in truth):
            problems.append(f"no photo of {name} with a label is in the fold that is scored")
        if not (~own & trains).any():
            problems.append(f"without {name} no photo trains")
        if settings.train.val_fold != NO_FOLD and not (~own & validates).any():
            problems.append(f"without {name} no photo validates")
        if name in seen:
            problems.append(f"the pretrained weights, or the teacher, were trained on {name}")
        for task in settings.trained_tasks:
            asked, left = set(truth[task][own & scored]), set(codes[task][~own & trains])
            lost = [TASKS[task][code] for code in sorted(asked - left - {UNKNOWN})]
            if lost:
                problems.append(f"only {name} trains {task} {', '.join(lost)}")
    if problems:
        raise ManifestError(
            f"{where}: {len(problems)} problem(s); leave out other sources (--source), train other "
            f"tasks (model.tasks), or split people again (maskwise data split):\n{listed(problems)}"
        )


def _scored_fold(frame: pl.DataFrame, settings: Settings) -> str:
    """Return the fold whose photos are compared: test where there is one."""
    return TEST if TEST in set(frame["fold"]) else settings.train.val_fold


def _seen_before(settings: Settings) -> frozenset[str]:
    """Return the sources behind pretrained weights and teacher, as far as they are known."""
    return frozenset(map(base_source, seen_sources([], settings) or ()))


def _with_folds(frame: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Return a manifest with folds; people are split where it has none.

    Raises:
        ManifestError: Some rows have a fold and others have none.
    """
    missing = frame["fold"].null_count()
    if missing == len(frame):
        prints = fingerprint_photos(frame["photo"].to_list(), settings.cache.workers)
        return split_manifest(frame, find_twins(prints), seed=settings.train.seed)
    if missing:
        raise ManifestError(
            f"{missing} of {len(frame)} rows have no fold; assign them with: maskwise data split"
        )
    return frame


def _run_folders(out: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return source -> the folder of the run without it; '' is the run on every source."""
    folders = {"": out / _ALL}
    for number, name in enumerate(names):
        plain = f"without-{_NOT_IN_NAMES.sub('_', name)}"
        taken = out / plain in folders.values()
        folders[name] = out / (f"{plain}-{number}" if taken else plain)
    return folders


def run_settings(settings: Settings, left_out: str) -> Settings:
    """Return the settings of a run without a source; its score does not end it early."""
    given = settings.train
    more = (left_out,) if left_out else ()
    names = tuple(dict.fromkeys((*given.leave_out_sources, *more)))
    changed = given.model_copy(update={"patience": 0, "leave_out_sources": names})
    return settings.model_copy(update={"train": changed})


def _compare(
    out: Path, folders: dict[str, Path], settings: Settings, observer: Observer
) -> SourcesSummary:
    frame = read_manifest(out / MANIFEST, settings.labels.task_boundaries)
    fold = _scored_fold(frame, settings)
    names = [name for name in folders if name]
    scored = frame.filter((pl.col("fold") == fold) & base_sources(frame).is_in(names))
    with_all = _predicted(scored, folders[""], settings)
    gaps = []
    for name in names:
        observer.noted(f"predicting {name} without it")
        alone = _predicted(scored.filter(base_sources(scored) == name), folders[name], settings)
        for task, figures in alone.get(name, {}).items():
            seen = with_all[name][task]
            gap = seen.balanced_accuracy - figures.balanced_accuracy
            gaps.append(SourceGap(name, task, seen, figures, gap))
    means = {
        task: float(np.mean([own.gap for own in gaps if own.task == task]))
        for task in TASK_NAMES
        if any(own.task == task for own in gaps)
    }
    return SourcesSummary(str(out), fold, len(scored), gaps, means)


def _predicted(
    frame: pl.DataFrame, run: Path, settings: Settings
) -> dict[str, dict[str, SourceScores]]:
    """Return the figures of a run's last epoch on some rows, by source."""
    model = load_classifier(run / "last", partly=True)
    found = answer_rows(model, frame, settings.cache, settings.train.device)
    return source_scores(
        frame, settings.labels, found.probabilities, found.classes, settings.trained_tasks
    )
