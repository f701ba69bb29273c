"""Search of settings: the best of a space, found on the training people."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import optuna
import yaml
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from maskwise.config import Settings
from maskwise.errors import DetectorError, MaskwiseError, SettingsError, StorageError, WorkerError
from maskwise.evaluation.search_page import write_search
from maskwise.experiments.space import Range, Space, read_space, suggested, with_values
from maskwise.experiments.trials import (
    begin_study,
    draw_apart,
    finished,
    search_terms,
    trained_score,
)
from maskwise.storage import write_text
from maskwise.training.setup import check_named, make_accelerator

_WRONG: Final = "wrong"
"""What a trial notes whose settings do not go together."""
_REFUSED: Final = 10
"""Draws that are refused for each trial that is asked for, before a search gives up."""
_FEW: Final = 8
"""Trials before importances mean anything."""


@dataclass(frozen=True)
class FoundSettings:
    """What a search found."""

    recipe: str
    """The file of the best settings."""
    score: float
    """Of the best trial, on people that it did not train on."""
    values: dict[str, Any]
    """What varied, as it is in the best trial."""
    trials: int
    """Trained, or ended early as hopeless."""
    pruned: int
    refused: int
    """Draws beside these whose settings do not go together."""
    importances: dict[str, float]
    """Share of each setting in what scores differ by; of few trials none."""
    page: str


def search_settings(
    manifest: Path,
    out: Path,
    base: Settings,
    space_file: Path,
    trials: int,
    storage: str | None,
    name: str,
    told: Callable[[str], None],
) -> FoundSettings:
    """Train a model for each of `trials` draws from a space; write the best as a recipe.

    A search that was stopped goes on; several processes may share one folder, several machines one
    storage (any URL of SQLAlchemy), each with a folder of its own.

    Raises:
        ManifestError: the manifest is wrong or has no training people.
        SettingsError: the space is wrong, the study is of another one, or the folder holds other
            things.
    """
    space = read_space(space_file, base)
    if base.model.head == "tasks":
        raise SettingsError("model.head=tasks is three trainings; search with multi or single")
    make_accelerator(base)
    check_named(base)
    plain = {
        key: part.model_dump(mode="json") if isinstance(part, Range) else part
        for key, part in space.items()
    }
    terms = search_terms(manifest, base, space=plain)
    study = begin_study(manifest, out, base, terms, name, storage)
    inner = out / "manifest.csv"

    def objective(trial: optuna.Trial) -> float:
        draw_apart(trial, base.train.seed)
        values = suggested(trial, space)
        folder = out / f"trial-{trial.number}"
        try:
            settings = with_values(base, values)
            score = trained_score(inner, folder, settings, trial)
        except (StorageError, DetectorError, WorkerError):
            raise  # another draw would fare no better
        except MaskwiseError as error:  # what does not go together, or has no number, is no loss
            trial.set_user_attr(_WRONG, str(error))
            told(f"trial {trial.number}: {str(error).splitlines()[-1].strip(' -')}")
            raise optuna.TrialPruned from error
        told(f"trial {trial.number}: score {score:.4f}  {values}")
        return score

    def ended(study: optuna.Study, _: object) -> None:
        if _trained(study) >= trials or len(_refused(study)) >= trials * _REFUSED:
            study.stop()

    if _trained(study) < trials:
        study.optimize(objective, callbacks=[ended])
    return _found(study, space, base, out, space_file)


def _refused(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the draws whose settings do not go together."""
    return [trial for trial in study.get_trials(deepcopy=False) if _WRONG in trial.user_attrs]


def _trained(study: optuna.Study) -> int:
    """Return how many trials were trained, or ended early as hopeless."""
    return finished(study) - len(_refused(study))


def _found(
    study: optuna.Study, space: Space, base: Settings, out: Path, space_file: Path
) -> FoundSettings:
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    refused = _refused(study)
    if not complete:
        wrong = refused[0].user_attrs[_WRONG] if refused else "none was finished"
        raise SettingsError(f"no trial of {space_file} could be trained, such as: {wrong}")
    best = study.best_trial
    values = suggested(best, space)
    recipe = out / "best.yaml"
    _write_recipe(recipe, with_values(base, values), float(best.value or 0), _trained(study))
    importances = _importances(study, len(complete), space)
    page = out / "search.html"
    history = [(trial.number, float(trial.value or 0)) for trial in complete]
    found = FoundSettings(
        str(recipe),
        float(best.value or 0),
        values,
        _trained(study),
        _trained(study) - len(complete),
        len(refused),
        importances,
        str(page),
    )
    write_search(page, history, [suggested(t, space) for t in complete], asdict(found))
    return found


def _importances(study: optuna.Study, complete: int, space: Space) -> dict[str, float]:
    """Return each setting's importance (Watanabe et al., 2023, 'PED-ANOVA'); none of few trials."""
    if complete < _FEW or len(space) < 2:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: float(value) for key, value in found.items()}


def _write_recipe(path: Path, settings: Settings, score: float, trials: int) -> None:
    about = f"# Found by a search: score {score:.4f}, the best of {trials} trials\n"
    tree = settings.model_dump(mode="json", exclude_defaults=True, exclude={"cache", "faces"})
    write_text(path, about + yaml.safe_dump(tree, sort_keys=False))
