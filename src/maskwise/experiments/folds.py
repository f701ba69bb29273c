"""Cross-validation: a model for each fold of people, whom it never saw and who score it.

::

    OUT/
        manifest.csv      the rows used, with folds 0 to k-1; people kept out are in the fold test
        fold-0/ ...       the runs
        oof.csv           out-of-fold probabilities: of each photo once
        ensemble.json     the folds' models as one ensemble; members/ holds them
        folds.json        scores of each fold, mean and deviation, and that of all people at once
        refit/            with --refit: a model of everybody
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.config import Settings
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.inputs import labelled_manifest
from maskwise.data.manifest import read_manifest
from maskwise.data.split import NO_FOLD, PSEUDO, TEST, TRAIN, split_manifest
from maskwise.errors import ManifestError, SettingsError, listed
from maskwise.evaluation.tables import OUT_OF_FOLD
from maskwise.experiments.begun import begin_experiment
from maskwise.experiments.fold_answers import FoldScores, answer_fold, score_folds
from maskwise.labels import TASKS
from maskwise.models.ensemble import EnsembleInfo, save_ensemble
from maskwise.models.votes import equal_vote
from maskwise.settings import check_settings
from maskwise.storage import write_json
from maskwise.training.observer import Observer
from maskwise.training.run import RunSummary, train

_FILE: Final = "folds.json"


@dataclass(frozen=True)
class FoldsSummary(FoldScores):
    """How a cross-validation ended."""

    folder: str
    best_epochs: list[int]
    epochs: int
    """For a last training on everybody: the mean of the folds' best."""
    held_out: int
    """Photos that took no part."""
    refit: str = ""
    """Folder of the model of everybody."""


def cross_validate(
    source: Path,
    out: Path,
    settings: Settings,
    folds: int,
    refit: bool,
    resume: bool,
    observer: Observer,
) -> FoldsSummary:
    """Train a model for each fold of people, or go on with it; score all people out of fold.

    Folds 0 to `folds` - 1 of the manifest are taken as they are. Without any, people are split;
    where it is split into train and val, its training people are, and the others take no part.
    The model of each fold's last epoch answers and votes, so that no epoch is chosen on the
    people that it is scored on.

    Raises:
        ManifestError: the manifest is wrong, or has other folds.
        LeakError: a person, or the same photo, is in two folds.
        SettingsError: settings that cannot work together, or are not those that it was begun with.
        RunError: the folder holds other things.
    """
    _check(settings, refit)
    manifest = out / "manifest.csv"
    _begin(source, out, folds, settings, resume)
    parts, best = [], []
    for fold in map(str, range(folds)):
        observer.noted(f"fold {fold} of {folds}")
        best.append(_fold_run(manifest, out, settings, fold, observer).best_epoch)
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    for fold in map(str, range(folds)):
        observer.noted(f"answering fold {fold}")
        parts.append(answer_fold(frame, out / f"fold-{fold}" / "last", settings, fold))
    epochs = max(1, round(sum(best) / len(best)))
    summary = FoldsSummary(
        **asdict(score_folds(frame, parts, settings, out / OUT_OF_FOLD)),
        folder=str(out),
        best_epochs=best,
        epochs=epochs,
        held_out=int((frame["fold"] == TEST).sum()),
    )
    _write_ensemble(out, folds, settings, summary)
    if refit:
        observer.noted(f"everybody, for {epochs} epochs")
        train(manifest, out / "refit", refit_settings(settings, epochs), observer, resume=True)
        summary = replace(summary, refit=str(out / "refit"))
    write_json(out / _FILE, asdict(summary))
    return summary


def _check(settings: Settings, refit: bool) -> None:
    """Check that no fold's people would choose how their model is trained.

    Raises:
        SettingsError: they would; or a refit is asked of a part of the photos.
    """
    problems = schedule_problems(settings)
    if refit and settings.train.max_photos:
        problems.append("--refit is on everybody: set train.max_photos=0")
    if problems:
        raise SettingsError("\n".join(problems))


def schedule_problems(settings: Settings) -> list[str]:
    """Return what is wrong with a schedule whose runs are scored on their validation people."""
    problem = (
        "schedule.name=plateau would follow the scores of the people that answer out of fold; "
        "take another schedule, such as step"
    )
    return [problem] if settings.schedule.name == "plateau" else []


def _begin(source: Path, out: Path, folds: int, settings: Settings, resume: bool) -> None:
    """Write settings and the manifest with folds, or check that what was begun is the same."""
    frame = labelled_manifest(source, settings.labels.task_boundaries)
    digest = hashlib.sha256(frame.write_csv().encode()).hexdigest()
    origin = {"manifest": digest, "folds": folds}
    split = partial(fold_manifest, frame, folds, settings)
    instead = "--fold 0, then --fold 1"
    begin_experiment(out, "cross-validation", instead, origin, split, settings, resume)


def fold_manifest(frame: pl.DataFrame, folds: int, settings: Settings) -> pl.DataFrame:
    """Return a manifest with folds 0 to `folds` - 1, and those who take no part in the fold test.

    Raises:
        ManifestError: it has other folds.
    """
    pseudo = frame.filter(pl.col("fold") == PSEUDO)
    frame = frame.filter(pl.col("fold").is_null() | (pl.col("fold") != PSEUDO))
    present = set(frame["fold"].drop_nulls()) - {TEST}
    wanted = {str(fold) for fold in range(folds)}
    if present == wanted and not frame["fold"].null_count():
        return pl.concat([frame, pseudo])
    without = frame.filter(pl.col("fold").is_null())["photo"].to_list()
    if present == wanted and without:
        raise ManifestError(
            f"{len(without)} row(s) have no fold beside those with folds; give them one: maskwise "
            f"data split --folds {folds}\n{listed(without)}"
        )
    if present and TRAIN not in present:
        raise ManifestError(
            f"the manifest has the folds {', '.join(sorted(present))}, not 0 to {folds - 1}; "
            f"split it anew: maskwise data split --folds {folds} --reassign"
        )
    kept_out = pl.col("fold").is_not_null() & (pl.col("fold") != TRAIN)
    held = frame.filter(kept_out).with_columns(fold=pl.lit(TEST))
    inner = frame.filter(~kept_out)
    prints = fingerprint_photos(inner["photo"].to_list(), settings.cache.workers)
    split = split_manifest(
        inner, find_twins(prints), folds=folds, seed=settings.train.seed, reassign=True
    )
    return pl.concat([split, held, pseudo])


def fold_settings(settings: Settings, fold: str) -> Settings:
    """Return the settings of the run that leaves a fold out; its score does not end it early."""
    train_settings = settings.train.model_copy(update={"val_fold": fold, "patience": 0})
    return settings.model_copy(update={"train": train_settings})


def refit_settings(settings: Settings, epochs: int) -> Settings:
    """Return the settings of a run on everybody."""
    tree = settings.model_dump()
    swa = min(settings.train.swa, epochs)
    tree["train"] |= {"val_fold": NO_FOLD, "epochs": epochs, "patience": 0}
    tree["train"]["swa"] = swa if swa > 1 else 0
    tree["optim"]["freeze_epochs"] = min(settings.optim.freeze_epochs, epochs - 1)
    return check_settings(tree)


def _fold_run(
    manifest: Path, out: Path, settings: Settings, fold: str, observer: Observer
) -> RunSummary:
    return train(
        manifest, out / f"fold-{fold}", fold_settings(settings, fold), observer, resume=True
    )


def _write_ensemble(out: Path, folds: int, settings: Settings, summary: FoldsSummary) -> None:
    """Write the folds' models as an ensemble; a model of some tasks is none."""
    tasks = settings.model.tasks
    if len(tasks) < len(TASKS):
        return
    names = tuple(f"fold-{fold}" for fold in range(folds))
    figures = {"out_of_fold_macro_f1": summary.macro_f1}
    info = EnsembleInfo(
        members=names, vote=equal_vote([tasks] * folds), val_fold=TEST, figures=figures
    )
    save_ensemble(out, [out / name / "last" for name in names], info)
