"""Search of an augmentation policy: the one that a small model, trained for a short while, likes.

After Cubuk et al., 2019, 'AutoAugment', with Optuna's sampler in place of a controller network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import optuna
from filelock import FileLock

from maskwise.config import Settings
from maskwise.errors import SettingsError
from maskwise.experiments.trials import (
    FINISHED,
    begin_study,
    draw_apart,
    finished,
    search_terms,
    trained_score,
)
from maskwise.storage import LOCK
from maskwise.training.setup import build_model, check_named, make_accelerator
from maskwise.transforms.augment.policy import (
    STRENGTHS,
    Policy,
    PolicyChange,
    PolicyStep,
    write_policy,
)

_STEPS: Final = 2
"""Changes in a sequence."""
_NONE: Final = "score_without"


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
    terms = search_terms(manifest, settings, sequences=sequences)
    study = begin_study(manifest, out, settings, terms, "policy")
    inner = out / "manifest.csv"
    with FileLock(out / LOCK):  # what all trials need is done by one process
        if _NONE not in study.user_attrs:
            score = trained_score(inner, out / "without", settings, None)
            study.set_user_attr(_NONE, score)
    told(f"without a policy: score {study.user_attrs[_NONE]:.4f}")

    def objective(trial: optuna.Trial) -> float:
        draw_apart(trial, settings.train.seed)
        policy = _suggested(trial, sequences)
        file = out / f"trial-{trial.number}.yaml"
        write_policy(file, policy)
        augment = settings.augment.model_copy(update={"policy": str(file)})
        with_policy = settings.model_copy(update={"augment": augment})
        try:
            score = trained_score(inner, out / f"trial-{trial.number}", with_policy, trial)
        finally:
            file.unlink()
        told(f"policy {trial.number}: score {score:.4f}")
        return score

    enough = optuna.study.MaxTrialsCallback(trials, states=FINISHED)
    if finished(study) < trials:
        study.optimize(objective, callbacks=[enough])
    best = study.best_trial
    write_policy(out / "policy.yaml", _suggested(best, sequences))
    return FoundPolicy(
        str(out / "policy.yaml"),
        float(best.value or 0.0),
        float(study.user_attrs[_NONE]),
        finished(study),
    )


def _check(settings: Settings) -> None:
    """Check that trials can differ, and that one training is one trial."""
    augment = settings.augment
    if settings.model.head == "tasks":
        raise SettingsError("model.head=tasks is three trainings; search with multi or single")
    if not augment.enabled or not augment.policy_share:
        raise SettingsError("augment.enabled and augment.policy_share: a policy would do nothing")
    # what cannot train fails before there is a folder
    check_named(settings)
    build_model(settings, make_accelerator(settings))


def _suggested(trial: optuna.Trial | optuna.trial.FrozenTrial, sequences: int) -> Policy:
    """Return the policy of a trial."""
    changes = get_args(PolicyChange)
    return Policy(
        sequences=tuple(
            tuple(
                PolicyStep(
                    change=trial.suggest_categorical(f"{number}.{step}.change", changes),
                    probability=round(
                        trial.suggest_float(f"{number}.{step}.probability", 0, 1, step=0.1), 1
                    ),
                    strength=trial.suggest_int(f"{number}.{step}.strength", 0, STRENGTHS - 1),
                )
                for step in range(_STEPS)
            )
            for number in range(sequences)
        )
    )
