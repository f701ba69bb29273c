"""What searches share: a study that can be gone on with, and trials that train and are scored.

The people that validate the run itself take no part: a share of the training people scores trials.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import polars as pl
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from maskwise.config import Settings, TrainSettings
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.data.split import TEST, split_manifest
from maskwise.errors import ManifestError, SettingsError
from maskwise.storage import LOCK, file_digest
from maskwise.training.observer import Observer
from maskwise.training.run import train

_INNER_SHARE: Final = 0.25
"""Of the training people, who score the trials."""
_TERMS: Final = "terms"
FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def search_terms(manifest: Path, settings: Settings, **others: Any) -> dict[str, Any]:
    """Return what a study belongs to: it is not gone on with for anything else."""
    plain = settings.model_dump(mode="json", exclude={"cache", "faces"})
    return {"manifest": file_digest(manifest), "settings": plain, **others}


def begin_study(
    manifest: Path,
    out: Path,
    settings: Settings,
    terms: dict[str, Any],
    name: str,
    storage: str | None = None,
) -> optuna.Study:
    """Return the study of a search, new or begun on the same terms.

    Its people are in OUT/manifest.csv; without a `storage` it lies in OUT/study.db. What trials
    that were stopped have left is removed.

    Raises:
        ManifestError: the manifest is wrong or has no training people.
        SettingsError: the folder holds other things; the study was begun on other terms, or the
            storage cannot be reached.
    """
    inner, database = out / "manifest.csv", out / "study.db"
    begun = inner if storage else database
    if not begun.is_file() and out.is_dir() and {path.name for path in out.iterdir()} - {LOCK}:
        raise SettingsError(f"--out {out}: the folder holds other things; name a new one")
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / LOCK):
        # a mistake in the manifest is found before there is a study
        frame = None if inner.is_file() else inner_manifest(manifest, settings)
        study = open_study(
            storage or f"sqlite:///{database.resolve()}", name, terms, settings.train
        )
        if frame is not None:
            write_manifest(frame, inner)
        _end_stopped(out, study)
    return study


def _end_stopped(out: Path, study: optuna.Study) -> None:
    """Remove the runs of trials that no process trains any more, and note that they failed."""
    running = {trial.number for trial in study.trials if trial.state == TrialState.RUNNING}
    for folder in out.glob("trial-*/"):
        lock = FileLock(folder / LOCK)
        with suppress(Timeout, FileNotFoundError), lock.acquire(timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".yaml").unlink(missing_ok=True)
            number = folder.name.removeprefix("trial-")
            if number.isdecimal() and int(number) in running:
                study.tell(int(number), state=TrialState.FAIL)


def open_study(
    storage: str, name: str, terms: dict[str, Any], training: TrainSettings
) -> optuna.Study:
    """Return a study, new or begun on the same terms.

    A trial that is worse than most may end when half its epochs are done: what learns slowly at
    first, such as a policy of strong changes, is not judged by its beginning.

    Raises:
        SettingsError: it was begun on others, or the storage cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=5, n_warmup_steps=training.epochs // 2
            ),
        )
    except Exception as error:  # each database raises errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(f"the study {name} cannot be opened in {storage}: {reason}") from error
    known = study.user_attrs.get(_TERMS)
    if known is None:
        study.set_user_attr(_TERMS, terms)
    elif known != terms:
        changed = sorted(key for key in {*known, *terms} if known.get(key) != terms.get(key))
        raise SettingsError(
            f"the study in {storage} was begun with other {' and '.join(changed)}; name another"
        )
    return study


def draw_apart(trial: optuna.Trial, seed: int) -> None:
    """Let a trial draw by the seed and its own number, which no other trial of its study has.

    So neither a search that goes on nor another process that takes part draws the same again.
    """
    own = int(np.random.SeedSequence([seed, trial.number]).generate_state(1)[0])
    trial.study.sampler = optuna.samplers.TPESampler(seed=own, constant_liar=True)


def finished(study: optuna.Study) -> int:
    """Return how many trials were trained, or ended early as hopeless."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def inner_manifest(manifest: Path, settings: Settings) -> pl.DataFrame:
    """Return the training rows of a manifest, a share of whose people validates.

    Nearly equal photos under other names stay together.

    Raises:
        ManifestError: there are none.
    """
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    outside = [settings.train.val_fold, TEST]
    frame = frame.filter(pl.col("fold").is_not_null() & ~pl.col("fold").is_in(outside))
    if frame.is_empty():
        raise ManifestError(f"{manifest} has no training rows; split it: maskwise data split")
    twins = find_twins(fingerprint_photos(frame["photo"].to_list(), settings.cache.workers))
    return split_manifest(frame, twins, _INNER_SHARE, 0, settings.train.seed, reassign=True)


def trained_score(
    inner: Path, folder: Path, settings: Settings, trial: optuna.Trial | None
) -> float:
    """Train and return the score of the last epoch; what was trained is removed."""
    train_inner = settings.train.model_copy(update={"val_fold": "val"})
    shutil.rmtree(folder, ignore_errors=True)  # of a trial that was stopped
    watched = Watched(trial)
    try:
        train(inner, folder, settings.model_copy(update={"train": train_inner}), watched)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return watched.score


class Watched(Observer):
    """Observer of one trial: reports each epoch, and ends one that is worse than most."""

    def __init__(self, trial: optuna.Trial | None) -> None:
        self._trial = trial
        self.score = 0.0

    def epoch_done(
        self,
        epoch: int,
        figures: dict[str, float],
        best: bool,  # noqa: ARG002 # a trial counts by its last epoch
    ) -> None:
        """Keep the score of an epoch.

        Raises:
            TrialPruned: the trial is hopeless.
        """
        self.score = figures["score"]
        if self._trial:
            self._trial.report(self.score, epoch)
            if self._trial.should_prune():
                raise optuna.TrialPruned
