"""Makes one answerer of several: how they vote, and what that is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwise.errors import ManifestError, RunError, SettingsError, listed
from maskwise.evaluation.tables import OUT_OF_FOLD, ProbabilityTable, write_probabilities
from maskwise.labels import TASKS
from maskwise.models.ensemble import EnsembleInfo, save_ensemble
from maskwise.models.probabilities import Probabilities
from maskwise.models.votes import How, Vote, count_votes, equal_vote
from maskwise.prediction.blending import Find, Known, crossed_answers, diversity, find_vote, score
from maskwise.prediction.members import Member, in_order
from maskwise.storage import replacing_folder


@dataclass(frozen=True)
class Wish:
    """How members shall vote."""

    how: How = "soft"
    weights: Find | tuple[float, ...] = "equal"
    """How weights are found, or the weights."""

    @property
    def needs_labels(self) -> bool:
        """Whether the vote is found on photos whose labels are known."""
        return self.how == "stack" or self.weights in ("greedy", "loss", "tasks")


@dataclass(frozen=True)
class Ensembled:
    """How an ensemble was made."""

    folder: str
    members: dict[str, dict[str, Any]]
    """Name -> weight by task, and macro-F1 out of fold where labels are known."""
    vote: str
    photos: int
    """Whose labels are known and that no member was trained on; 0 where none were given."""
    best_member: float | None
    equal: float | None
    """Macro-F1 of an equal vote."""
    found: float | None
    """Likewise of this vote, on the photos that it was found on."""
    crossed: float | None
    """Likewise, each photo answered by a vote that was found on other people."""
    diversity: list[dict[str, Any]]


def make_ensemble(
    members: Sequence[Member], out: Path, wish: Wish, known: tuple[Known, list[str]] | None
) -> Ensembled:
    """Write an ensemble of models, or the common answer of files of probabilities, to a folder.

    Raises:
        SettingsError: the vote needs labels and there are none, or cannot be had.
        RunError: the folder holds other things.
        StorageError: the disk is full or the folder cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise RunError(f"--out {out}: the folder is not empty; name a new one")
    if wish.needs_labels and known is None:
        raise SettingsError("weights are found on labelled photos: name their manifest with --on")
    answered = [member.tasks for member in members]

    def wished(part: Known) -> Vote:
        if isinstance(wish.weights, tuple):
            return _given(wish.how, wish.weights, answered)
        return find_vote(part, wish.how, wish.weights)

    vote = wished(known[0]) if known else _unfound(wish, answered)
    # found anew for each group of people, so that a later vote or decision may be found on it
    crossed = crossed_answers(known[0], wished) if known else None
    summary = _summary(members, out, vote, known[0] if known else None, crossed)
    tables = [m.answers for m in members if isinstance(m.answers, ProbabilityTable)]
    with replacing_folder(out.resolve()) as new:
        if not tables:
            _save_models(members, new, vote, summary)
        else:
            ids = common_ids(members, tables)
            found = count_votes([in_order(table, ids) for table in tables], vote)
            write_probabilities(new / "probabilities.csv", ids, found)
        if known and crossed:
            write_probabilities(new / OUT_OF_FOLD, known[1], crossed)
    return summary


def _unfound(wish: Wish, answered: Sequence[Sequence[str]]) -> Vote:
    if isinstance(wish.weights, tuple):
        return _given(wish.how, wish.weights, answered)
    return equal_vote(answered, wish.how)


def _given(how: How, weights: tuple[float, ...], answered: Sequence[Sequence[str]]) -> Vote:
    """Return the vote of given weights; a member has none in a task that it does not answer."""
    valid = len(weights) == len(answered) and any(weights)
    if not valid or not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise SettingsError(
            f"--weights: expected {len(answered)} numbers of 0 or more, not all 0, got {weights}"
        )
    own = {
        task: tuple(
            weight if task in tasks else 0.0
            for weight, tasks in zip(weights, answered, strict=True)
        )
        for task in TASKS
    }
    nobody = [task for task in TASKS if not any(own[task])]
    if nobody:
        raise SettingsError(f"--weights: nobody with a weight answers {' and '.join(nobody)}")
    return Vote(how=how, weights=own)


def common_ids(members: Sequence[Member], tables: Sequence[ProbabilityTable]) -> list[str]:
    """Return the ids of files of probabilities, in the order of the first.

    Raises:
        ManifestError: they are not the same.
    """
    first = set(tables[0].ids)
    problems = [
        f"{member.path} lacks {len(first - set(table.ids))} of them and has "
        f"{len(set(table.ids) - first)} others"
        for member, table in zip(members, tables, strict=True)
        if set(table.ids) != first
    ]
    if problems:
        raise ManifestError(
            f"the files are of other photos than {members[0].path}:\n{listed(problems)}"
        )
    return tables[0].ids


def _save_models(members: Sequence[Member], out: Path, vote: Vote, summary: Ensembled) -> None:
    folds = {member.classifier.val_fold for member in members if member.classifier}
    info = EnsembleInfo(
        members=tuple(member.name for member in members),
        vote=vote,
        val_fold=folds.pop() if len(folds) == 1 else "test",
        figures={"out_of_fold_macro_f1": summary.crossed} if summary.crossed else {},
    )
    save_ensemble(out, [member.path for member in members], info)


def _summary(
    members: Sequence[Member],
    out: Path,
    vote: Vote,
    known: Known | None,
    crossed: Probabilities | None,
) -> Ensembled:
    names = [member.name for member in members]
    entries: dict[str, dict[str, Any]] = {
        name: {task: round(float(vote.shares(task)[number]), 4) for task in TASKS}
        for number, name in enumerate(names)
    }
    if known is None or crossed is None:
        return Ensembled(str(out), entries, vote.how, 0, None, None, None, None, [])
    whole = [
        score(probabilities, known.truth) if len(tasks) == len(TASKS) else None
        for probabilities, tasks in zip(known.members, known.answered, strict=True)
    ]
    for name, value in zip(names, whole, strict=True):
        entries[name]["macro_f1"] = value
    equal = count_votes(known.members, equal_vote(known.answered))
    return Ensembled(
        str(out),
        entries,
        vote.how,
        len(known.people),
        max((value for value in whole if value is not None), default=None),
        score(equal, known.truth),
        score(count_votes(known.members, vote), known.truth),
        score(crossed, known.truth),
        diversity(known, names),
    )
