"""Recipes side by side: each trained as long, on the same people, and scored on the same others.

Each training is a process of its own, so that its memory is its own and its failure is one row.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from maskwise.config import Settings
from maskwise.data.manifest import read_manifest
from maskwise.errors import ManifestError, MaskwiseError, SettingsError, StorageError
from maskwise.evaluation.report import read_history
from maskwise.experiments.process import run_command
from maskwise.labels import TASKS
from maskwise.recipes import Recipe, find_recipe
from maskwise.settings import check_settings, load_settings, write_settings
from maskwise.storage import file_digest, write_json

_OURS: Final = ("train.epochs", "train.epoch_photos", "train.patience")
_ALIKE: Final = ("train.val_fold=val", "train.max_photos=0", "labels.task_boundaries=[30, 60]")
"""What decides who is scored, and how; --set may set it otherwise, for all."""
_SPENT: Final = "seconds.json"
_LOG: Final = "log.txt"
_EPOCHS: Final = 5
"""Times that each training is validated."""


@dataclass(frozen=True)
class Terms:
    """What is the same for all recipes."""

    size: int
    """Pixels of both sides of the frame; 0 leaves each recipe its own."""
    backbone: str
    """Empty leaves each recipe its own."""
    seconds: float
    """Of training, validation not counted."""
    photos: int = 0
    """Photos to train on instead of a time."""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """How one recipe did, or why it did not."""

    recipe: str
    about: str
    error: str = ""
    macro_f1: float | None = None
    interval: tuple[float, float] | None = None
    """95 %, from bootstrap samples of people."""
    tasks: dict[str, float] = field(default_factory=dict)
    """Macro-F1 of each task."""
    seconds: float | None = None
    """Of the training, with validation."""
    memory_gb: float | None = None
    """Most that the training took at once."""
    photos_per_second: float | None = None
    photos_seen: int = 0
    parameters: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def compare(names: Sequence[str], manifest: Path, out: Path, terms: Terms) -> Iterator[Row]:
    """Train and score recipes, one after another; yield a row for each.

    What was finished before, on the same terms, is not done again; what was stopped goes on. The
    model scored is that of the last epoch, so no epoch is chosen on the people it is scored on.

    Raises:
        SettingsError: a name is no recipe, or two are the same; the folder holds a comparison on
            other terms.
        ManifestError: nobody who validates has all three labels, or the manifest is wrong.
        StorageError: the disk is full or the folder cannot be written.
    """
    recipes = [find_recipe(name) for name in names]
    twice = {recipe.name for recipe in recipes if [r.name for r in recipes].count(recipe.name) > 1}
    if twice:
        raise SettingsError(f"named twice: {', '.join(sorted(twice))}; each has one folder")
    _check_words(terms)
    _check_scored(manifest, terms)
    _claim(out, manifest, terms)
    for recipe in recipes:
        yield _row(recipe, manifest, out / recipe.name, terms)


def _check_words(terms: Terms) -> None:
    """Check what is set for all, before the folder is anybody's.

    Raises:
        SettingsError: it is wrong, or what the comparison itself decides.
    """
    taken = [word for word in terms.overrides if word.startswith(_OURS)]
    if taken:
        raise SettingsError(f"--set {taken[0]}: a comparison sets that itself, alike for all")
    load_settings(None, terms.overrides)


def _check_scored(manifest: Path, terms: Terms) -> None:
    """Check that somebody who validates has all three labels: recipes are compared by the classes.

    Raises:
        ManifestError: nobody has, or the manifest is wrong.
    """
    settings = load_settings(None, [*_ALIKE, *terms.overrides])
    frame = read_manifest(manifest, settings.labels.task_boundaries)
    val = frame.filter(pl.col("fold") == settings.train.val_fold)
    if not len(val.drop_nulls([*TASKS])):
        raise ManifestError(
            f"{manifest}: no row of the fold {settings.train.val_fold} has {', '.join(TASKS)}, and "
            "recipes are compared by the 18 classes"
        )


def _claim(out: Path, manifest: Path, terms: Terms) -> None:
    """Write on what terms a folder's recipes are compared, or check that they are these."""
    path = out / "terms.json"
    wanted = json.loads(json.dumps({**asdict(terms), "manifest": file_digest(manifest)}))
    if path.is_file():
        found = _read(path)
        changed = [
            f"{name} was {found.get(name)!r}, is {value!r}"
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        if changed:
            raise SettingsError(
                f"{out} holds a comparison on other terms: {'; '.join(changed)}; name another"
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise SettingsError(f"--out {out}: the folder holds other things; name a new one")
    write_json(path, wanted)


def _row(recipe: Recipe, manifest: Path, folder: Path, terms: Terms) -> Row:
    done = folder / "result.json"
    try:
        _check_unchanged(common_settings(recipe, terms), folder)
        if done.is_file():
            return Row(**_read(done))
        row = _trained(recipe, manifest, folder, terms)
    except StorageError:
        raise
    except MaskwiseError as error:
        return Row(recipe.name, recipe.about, error=str(error))
    write_json(done, asdict(row))
    return row


def _seconds_before(folder: Path) -> float:
    """Return the time that trainings which were stopped have taken."""
    path = folder / _SPENT
    return float(_read(path)["seconds"]) if path.is_file() else 0.0


def _check_unchanged(settings: Settings, folder: Path) -> None:
    """Note what a recipe's folder was begun with, or check that it still says so.

    Raises:
        SettingsError: it has changed since.
    """
    noted, now = folder / "recipe.json", settings.model_dump(mode="json")
    if not noted.is_file():
        write_json(noted, now)
    elif _read(noted) != now:
        raise SettingsError(f"it was changed since {folder} was begun: name it anew")


def _trained(recipe: Recipe, manifest: Path, folder: Path, terms: Terms) -> Row:
    run, config = folder / "run", folder / "settings.yaml"
    seen = _look(recipe, manifest, run, config, terms)
    summary = _summary(manifest, run, config)
    words = ("evaluate", run / "last", manifest, "--out", folder / "evaluation")
    scores = run_command(words, folder / _LOG)
    return Row(
        recipe.name,
        recipe.about,
        macro_f1=scores["classes"]["macro_f1"],
        interval=_pair(scores["classes"]["macro_f1_interval"]),
        tasks={task: scores["tasks"][task]["macro_f1"] for task in TASKS},
        seconds=round(_seconds_before(folder), 1),
        memory_gb=summary["memory_gb"],
        photos_per_second=seen["photos_per_second"],
        photos_seen=seen["photos_seen"],
        parameters=seen["parameters"],
        history=read_history(run),
    )


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return (values[0], values[1]) if values else None


def _look(recipe: Recipe, manifest: Path, run: Path, config: Path, terms: Terms) -> dict[str, Any]:
    """Return what a dry run tells, and `photos_seen`; write the settings of the run."""
    noted = run.parent / "look.json"
    if not noted.is_file():
        settings = common_settings(recipe, terms)
        write_settings(config, settings)
        words = ("train", manifest, "--config", config, "--out", run, "--dry-run")
        look = run_command(words, run.parent / _LOG)
        photos = terms.photos or round(terms.seconds * look["photos_per_second"])
        photos = max(settings.train.batch_size, photos)
        write_settings(config, timed_settings(settings, photos))
        write_json(noted, {**look, "photos_seen": photos})
    return _read(noted)


def _summary(manifest: Path, run: Path, config: Path) -> dict[str, Any]:
    """Train, or go on with it; return how it ended."""
    noted = run.parent / "trained.json"
    if not noted.is_file():
        begun, spent = time.perf_counter(), _seconds_before(run.parent)
        try:
            words = ("train", manifest, "--config", config, "--out", run, "--resume")
            write_json(noted, run_command(words, run.parent / _LOG))
        finally:
            write_json(run.parent / _SPENT, {"seconds": spent + time.perf_counter() - begun})
    return _read(noted)


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def common_settings(recipe: Recipe, terms: Terms) -> Settings:
    """Return a recipe's settings with what is the same for all.

    Raises:
        SettingsError: they do not go together; it does not learn all tasks, or its rate follows
            the scores that it is compared by.
    """
    own = load_settings(None, (), recipe.path)
    words = list(_ALIKE)
    if terms.size:
        spare = round(own.preprocess.spare * terms.size / own.preprocess.height)
        words += [f"preprocess.{side}={terms.size}" for side in ("height", "width")]
        words.append(f"preprocess.spare={spare}")
    if terms.backbone:
        words.append(f"model.backbone={terms.backbone}")
    settings = load_settings(None, [*words, *terms.overrides], recipe.path)
    tasks = settings.model.tasks
    if len(tasks) < len(TASKS):
        raise SettingsError(f"it learns {' and '.join(tasks)} only, not the 18 classes")
    if settings.schedule.name == "plateau":
        raise SettingsError(
            "schedule.name=plateau would follow the scores of the people that it is compared on; "
            "give the recipe another schedule, such as step"
        )
    return settings


def timed_settings(settings: Settings, photos: int) -> Settings:
    """Return settings of a run over so many photos, in equal epochs that are all trained."""
    networks = len(TASKS) if settings.model.head == "tasks" else 1
    length = max(settings.train.batch_size, photos // networks // _EPOCHS)
    frozen = settings.optim.freeze_epochs * _EPOCHS / settings.train.epochs
    swa = min(settings.train.swa, _EPOCHS)
    train = {"epochs": _EPOCHS, "epoch_photos": length, "patience": 0, "swa": swa}
    optim = {"freeze_epochs": min(math.ceil(frozen), _EPOCHS - 1)}
    return check_settings(
        {
            **settings.model_dump(),
            "train": {**settings.train.model_dump(), **train},
            "optim": {**settings.optim.model_dump(), **optim},
        }
    )
