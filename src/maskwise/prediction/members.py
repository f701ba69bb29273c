"""Those who take part in an ensemble, and what each says of photos that it never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from maskwise.config import CacheSettings, LabelSettings
from maskwise.data.inputs import choose_fold, labelled_manifest
from maskwise.data.manifest import photo_ids
from maskwise.data.targets import answered_codes
from maskwise.errors import ManifestError, MaskwiseError, RunError, SettingsError, listed
from maskwise.evaluation.evaluate import answer_rows
from maskwise.evaluation.tables import OUT_OF_FOLD, ProbabilityTable, read_probabilities
from maskwise.labels import TASK_BOUNDARIES, TASKS
from maskwise.models.classifier import Classifier
from maskwise.models.ensemble import check_members, load_classifier
from maskwise.models.probabilities import Probabilities
from maskwise.prediction.blending import Known

_FEW: Final = 2


@dataclass(frozen=True)
class Member:
    """One that takes part: a model's folder, or a file of probabilities."""

    name: str
    path: Path
    answers: Classifier | ProbabilityTable
    """The model, or what the file holds."""

    @property
    def classifier(self) -> Classifier | None:
        """The model; None of a file."""
        return None if isinstance(self.answers, ProbabilityTable) else self.answers

    @property
    def tasks(self) -> Sequence[str]:
        """Tasks that it answers."""
        return self.classifier.tasks if self.classifier else list(TASKS)


def open_members(paths: Sequence[Path]) -> list[Member]:
    """Return those who take part.

    Raises:
        RunError: one cannot be used, or they cannot vote together; all problems at once.
        SettingsError: there are fewer than two, or files among models.
    """
    if len(paths) < _FEW:
        raise SettingsError(f"an ensemble has two members or more, not {len(paths)}")
    twice = {str(path) for path in paths if paths.count(path) > 1}
    if twice:
        raise SettingsError(f"named twice: {', '.join(sorted(twice))}; give weights with --weights")
    members, problems = [], []
    for name, path in zip(_names(paths), paths, strict=True):
        try:
            if path.suffix == ".csv":
                members.append(Member(name, path, read_probabilities(path)))
                continue
            # an ensemble makes its own decision
            classifier = load_classifier(path, partly=True, undecided=True)
            members.append(Member(name, path, classifier))
        except MaskwiseError as error:
            problems.append(str(error))
    if problems:
        raise RunError(f"{len(problems)} member(s) cannot be used:\n{listed(problems)}")
    models = [member.classifier for member in members if member.classifier]
    if models and len(models) < len(members):
        raise SettingsError(
            "files of probabilities vote with each other, not with models: let each model write "
            "such a file with maskwise predict or evaluate"
        )
    if models:
        check_members(models, [member.name for member in members])
    return members


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what tells members apart: the last part of each path, or all of it."""
    last = [path.name for path in paths]
    return [
        name if last.count(name) == 1 else str(path) for name, path in zip(last, paths, strict=True)
    ]


def known_answers(
    members: Sequence[Member],
    manifest: Path,
    fold: str | None,
    cache: CacheSettings,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> tuple[Known, list[str]]:
    """Return what members say of photos that they were not trained on, and the photos' ids.

    A cross-validation has its answers out of fold in `oof.csv`, a file its own rows; any other
    model answers the fold that validated it, or `fold`.

    Raises:
        ManifestError: members know different photos, or the manifest lacks some of them.
    """
    boundaries = next((m.classifier.boundaries for m in members if m.classifier), TASK_BOUNDARIES)
    frame = labelled_manifest(manifest, boundaries)
    tables = [_out_of_fold(member, frame, fold, cache, device, progress) for member in members]
    ids = set(tables[0].ids)
    problems = [
        f"{member.name} has {len(set(table.ids) - ids)} that {members[0].name} lacks, and lacks "
        f"{len(ids - set(table.ids))} of its {len(ids)}"
        for member, table in zip(members, tables, strict=True)
        if set(table.ids) != ids
    ]
    if problems:
        raise ManifestError(
            "members answer different photos out of fold; give them the same folds:\n"
            + listed(problems)
        )
    place = {name: row for row, name in enumerate(photo_ids(frame))}
    unknown = [name for name in tables[0].ids if name not in place]
    if unknown:
        raise ManifestError(
            f"{manifest} has no row for {len(unknown)} of the photos, such as {unknown[0]}"
        )
    order = sorted(ids, key=place.__getitem__)
    rows = np.array([place[name] for name in order])
    asked = frame[rows]
    labels = LabelSettings(task_boundaries=boundaries, train_boundaries=boundaries)
    known = Known(
        [in_order(table, order) for table in tables],
        [member.tasks for member in members],
        answered_codes(asked, labels, list(TASKS)),
        asked["person"].rank("dense").to_numpy().astype(np.int64) - 1,
    )
    return known, order


def in_order(table: ProbabilityTable, order: Sequence[str]) -> Probabilities:
    """Return the probabilities of photos by id, in that order."""
    place = {name: row for row, name in enumerate(table.ids)}
    return table.probabilities.take(np.array([place[name] for name in order]))


def _out_of_fold(
    member: Member,
    frame: pl.DataFrame,
    fold: str | None,
    cache: CacheSettings,
    device: str,
    progress: Callable[[int], None] | None,
) -> ProbabilityTable:
    if isinstance(member.answers, ProbabilityTable):
        return member.answers
    if fold is None and (member.path / OUT_OF_FOLD).is_file():
        return read_probabilities(member.path / OUT_OF_FOLD)
    if fold is None and frame["fold"].null_count() == len(frame):
        raise ManifestError(
            f"the manifest has no folds, so {member.name} may have been trained on its photos; "
            "take the manifest that it was trained with, or --fold all if it saw none of them"
        )
    rows, _ = choose_fold(frame, fold, member.answers.val_fold)
    answered = answer_rows(member.answers, rows, cache, device, progress)
    return ProbabilityTable(photo_ids(rows), answered.probabilities)
