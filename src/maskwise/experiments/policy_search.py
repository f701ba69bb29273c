"""Search of an augmentation policy: the one that a small model, trained for a short while, likes.

After Cubuk et al., 2019, 'AutoAugment', with Optuna's sampler in place of a controller network. The
people that validate the run itself take no part: a share of the training people scores the trials.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import optuna
import polars as pl
from filelock import FileLock

from maskwise.config import Settings
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.data.sheets import Tile
from maskwise.data.split import TEST, split_manifest
from maskwise.errors import ManifestError, SettingsError
from maskwise.storage import file_digest
from maskwise.training.run import train
from maskwise.training.setup import build_model, make_accelerator, prepare_settings
from maskwise.transforms.augment.policy import (
    STRENGTHS,
    Policy,
    PolicyChange,
    PolicyStep,
    write_policy,
)

_STEPS: Final = 2
"""Changes in a sequence."""
_INNER_SHARE: Final = 0.25
"""Of the training people, who score the trials."""
_NONE: Final = "score_without"
_TERMS: Final = "terms"
_FINISHED: Final = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


@dataclass(frozen=True)
class FoundPolicy:
    """What a search found."""

    policy: str
    """The file of the best policy."""
    score: float
    """Of the best trial, on people that it did not train on."""
    score_without: float
    """Likewise without a policy."""
    trials: int
    """Trained, or ended early as hopeless."""


def search_policy(
    manifest: Path,
    out: Path,
    settings: Settings,
    trials: int,
    sequences: int,
    told: Callable[[str], None],
) -> FoundPolicy:
    """Train a model for each of `trials` policies of so many sequences; write the best.

    A search that was stopped goes on; several processes may share one folder.

    Raises:
        ManifestError: the manifest is wrong or has no training people.
        SettingsError: the folder holds another search, or other things.
    """
    _check(settings)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    inner = out / "manifest.csv"
    study = _open_study(manifest, out, settings, sequences)
    with FileLock(out / ".lock"):  # what all trials need is done by one process
        if not inner.is_file():
            write_manifest(_inner_manifest(manifest, settings), inner)
        if _NONE not in study.user_attrs:
            score = _score(inner, out / "without", settings, None)
            study.set_user_attr(_NONE, score)
    told(f"without a policy: score {study.user_attrs[_NONE]:.4f}")

    def objective(trial: optuna.Trial) -> float:
        policy = _suggested(trial, sequences)
        file = out / f"trial-{trial.number}.yaml"
        write_policy(file, policy)
        augment = settings.augment.model_copy(update={"policy": str(file)})
        with_policy = settings.model_copy(update={"augment": augment})
        try:
            score = _score(inner, out / f"trial-{trial.number}", with_policy, trial)
        finally:
            file.unlink()
        told(f"policy {trial.number}: score {score:.4f}")
        return score

    enough = optuna.study.MaxTrialsCallback(trials, states=_FINISHED)
    if _finished(study) < trials:
        study.optimize(objective, callbacks=[enough])
    best = study.best_trial
    write_policy(out / "policy.yaml", _suggested(best, sequences))
    return FoundPolicy(
        str(out / "policy.yaml"),
        float(best.value or 0.0),
        float(study.user_attrs[_NONE]),
        _finished(study),
    )


def _check(settings: Settings) -> None:
    """Check that trials can differ, and that one training is one trial."""
    augment = settings.augment
    if settings.model.head == "tasks":
        raise SettingsError("model.head=tasks is three trainings; search with multi or single")
    if not augment.enabled or not augment.policy_share:
        raise SettingsError("augment.enabled and augment.policy_share: a policy would do nothing")
    # what cannot train fails before there is a folder
    build_model(prepare_settings(settings, None), make_accelerator(settings))


def _open_study(manifest: Path, out: Path, settings: Settings, sequences: int) -> optuna.Study:
    """Return the study of a folder, new or begun on the same terms."""
    database = out / "study.db"
    if not database.is_file() and out.is_dir() and any(out.iterdir()):
        raise SettingsError(f"--out {out}: the folder holds other things; name a new one")
    out.mkdir(parents=True, exist_ok=True)
    terms = {
        "manifest": file_digest(manifest),
        "sequences": sequences,
        "settings": settings.model_dump(mode="json", exclude={"cache", "faces"}),
    }
    study = optuna.create_study(
        storage=f"sqlite:///{database.resolve()}",
        study_name="policy",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
    )
    known = study.user_attrs.get(_TERMS)
    if known is None:
        study.set_user_attr(_TERMS, terms)
    elif known != terms:
        raise SettingsError(f"{out} holds a search with other settings or photos; name another")
    # a search that goes on must not draw again what it drew, nor what another process draws
    others = any(trial.state == optuna.trial.TrialState.RUNNING for trial in study.trials)
    seed = settings.train.seed + len(study.trials) + (os.getpid() if others else 0)
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study


def _inner_manifest(manifest: Path, settings: Settings) -> pl.DataFrame:
    """Return the training rows of a manifest, a share of whose people validates."""
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    outside = [settings.train.val_fold, TEST]
    frame = frame.filter(pl.col("fold").is_not_null() & ~pl.col("fold").is_in(outside))
    if frame.is_empty():
        raise ManifestError(f"{manifest} has no training rows; split it: maskwise data split")
    return split_manifest(frame, [], _INNER_SHARE, 0, settings.train.seed, reassign=True)


def _score(inner: Path, folder: Path, settings: Settings, trial: optuna.Trial | None) -> float:
    """Train and return the score of the last epoch; what was trained is removed."""
    train_inner = settings.train.model_copy(update={"val_fold": "val"})
    shutil.rmtree(folder, ignore_errors=True)  # of a trial that was stopped
    watched = _Watched(trial)
    try:
        train(inner, folder, settings.model_copy(update={"train": train_inner}), watched)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return watched.score


def _suggested(trial: optuna.Trial | optuna.trial.FrozenTrial, sequences: int) -> Policy:
    """Return the policy of a trial."""
    changes = get_args(PolicyChange)
    return Policy(
        sequences=tuple(
            tuple(
                PolicyStep(
                    change=trial.suggest_categorical(f"{number}.{step}.change", changes),
                    probability=trial.suggest_float(f"{number}.{step}.probability", 0, 1, step=0.1),
                    strength=trial.suggest_int(f"{number}.{step}.strength", 0, STRENGTHS - 1),
                )
                for step in range(_STEPS)
            )
            for number in range(sequences)
        )
    )


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=_FINISHED))


class _Watched:
    """Observer of one trial: reports each epoch, and ends one that is worse than most."""

    def __init__(self, trial: optuna.Trial | None) -> None:
        self._trial = trial
        self.score = 0.0

    def run_started(self, folder: Path, settings: Settings, step: int) -> None: ...
    def noted(self, text: str) -> None: ...
    def decoded(self, photos: int, total: int) -> None: ...
    def epoch_started(self, epoch: int, epochs: int, photos: int, done: int) -> None: ...
    def step_done(self, photos: int, loss: float, rate: float, step: int) -> None: ...
    def pictured(self, name: str, tiles: Sequence[Tile]) -> None: ...

    def epoch_done(
        self,
        epoch: int,
        figures: dict[str, float],
        best: bool,  # noqa: ARG002 # a trial counts by its last epoch
    ) -> None:
        self.score = figures["score"]
        if self._trial:
            self._trial.report(self.score, epoch)
            if self._trial.should_prune():
                raise optuna.TrialPruned
