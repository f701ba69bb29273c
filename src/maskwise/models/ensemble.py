"""Model folders of every kind: of one model, or of an ensemble.

An ensemble's folder holds `ensemble.json` (who votes, and how), a model card, and a copy of each
member in `members/`; so it can be moved, and what its members were made from can go. Either kind
may hold `decision.json`, which belongs to the weights whose digest it names.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskwise.config.base import wrong_values
from maskwise.errors import RunError, listed
from maskwise.labels import TASKS
from maskwise.models.bundle import find_bundle, load_bundle
from maskwise.models.classifier import Classifier, EnsembleClassifier
from maskwise.models.decision import Decision
from maskwise.models.network_classifier import NetworkClassifier
from maskwise.models.votes import Vote
from maskwise.storage import file_digest, write_json, write_text
from maskwise.version import __version__

FORMAT: Final = 1
_FILE: Final = "ensemble.json"
_DECISION: Final = "decision.json"
_CARD: Final = """# Maskwise ensemble

{count} members, {how} vote, Maskwise {version}.

{members}

Weights inherit the terms of the photos that the members were trained on. Gender and age group are
guesses from looks. Do not decide about a person with them.
"""


class EnsembleInfo(BaseModel):
    """Who votes, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = FORMAT
    version: str = __version__
    members: tuple[str, ...] = Field(min_length=1)
    """Names of the members, for people; member i is in the folder `members/i`."""
    vote: Vote
    val_fold: str
    """The fold of a manifest that no member was trained on."""
    figures: dict[str, Any] = {}
    """How the vote was found."""


class _Decided(BaseModel):
    """What `decision.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    """SHA-256 of what it was found for."""
    decision: Decision


def is_ensemble(path: Path) -> bool:
    """Return whether a folder is an ensemble's."""
    return (path / _FILE).is_file()


def load_classifier(path: Path, partly: bool = False, undecided: bool = False) -> Classifier:
    """Load a model or an ensemble, with its decision unless `undecided`.

    Raises:
        RunError: there is none, it is damaged, or another version wrote it; or it answers some of
            the tasks only, and not `partly` is asked for.
    """
    classifier: Classifier
    if is_ensemble(path):
        classifier = _load_ensemble(path)
        folder = path
    else:
        folder = find_bundle(path)
        classifier = NetworkClassifier(*load_bundle(folder, partly))
    if not undecided:
        classifier.decision = _read_decision(folder)
    return classifier


def _load_ensemble(path: Path) -> EnsembleClassifier:
    info = read_ensemble(path)
    members = [
        load_classifier(path / "members" / str(number), partly=True, undecided=True)
        for number in range(len(info.members))
    ]
    if len(info.vote.weights["mask"]) != len(members):
        raise RunError(f"{path / _FILE} is damaged: its weights are not those of its members")
    check_members(members, info.members)
    return EnsembleClassifier(members, info.vote, info.val_fold)


def check_members(members: Sequence[Classifier], names: Sequence[str]) -> None:
    """Check that models can vote together.

    Raises:
        RunError: their age groups differ, or nobody answers a task.
    """
    problems = [
        f"{name} answers ages with boundaries {list(member.boundaries)}, {names[0]} with "
        f"{list(members[0].boundaries)}"
        for name, member in zip(names, members, strict=True)
        if tuple(member.boundaries) != tuple(members[0].boundaries)
    ]
    problems += [
        f"nobody answers {task}; add a model that does"
        for task in TASKS
        if not any(task in member.tasks for member in members)
    ]
    if problems:
        raise RunError(f"these models cannot vote together:\n{listed(problems)}")


def read_ensemble(path: Path) -> EnsembleInfo:
    """Return what an ensemble's folder says.

    Raises:
        RunError: it is damaged, or another version wrote it.
    """
    values = _read_json(path / _FILE)
    if values.get("format") != FORMAT:
        raise RunError(
            f"{path / _FILE} has format {values.get('format')!r}, this is Maskwise {__version__} "
            f"with format {FORMAT}; use the Maskwise version that wrote it"
        )
    try:
        return EnsembleInfo.model_validate(values)
    except ValidationError as error:
        raise RunError(f"{path / _FILE} is damaged:\n{listed(wrong_values(error))}") from error


def save_ensemble(folder: Path, members: Sequence[Path], info: EnsembleInfo) -> None:
    """Write an ensemble's folder, with a copy of each member's model.

    Raises:
        RunError: a member holds no model.
        StorageError: the disk is full or the folder cannot be written.
    """
    for number, member in enumerate(members):
        _copy_model(member, folder / "members" / str(number))
    text = "\n".join(f"- {name}" for name in info.members)
    card = _CARD.format(count=len(members), how=info.vote.how, version=__version__, members=text)
    write_text(folder / "README.md", card)
    write_json(folder / _FILE, info.model_dump(mode="json"))


def _copy_model(source: Path, target: Path) -> None:
    """Copy what is needed to answer: not checkpoints, reports or decisions."""
    if is_ensemble(source):
        folder, names = source, ["README.md", _FILE]
        for number in range(len(read_ensemble(source).members)):
            part = Path("members") / str(number)
            _copy_model(source / part, target / part)
    else:
        folder, names = find_bundle(source), ["README.md", "model.json", "model.safetensors"]
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, target / name)


def model_digest(path: Path) -> str:
    """Return what tells a model or an ensemble from others: a SHA-256 of its files."""
    if not is_ensemble(path):
        return file_digest(find_bundle(path) / "model.safetensors")
    parts = [path / "members" / str(number) for number in range(len(read_ensemble(path).members))]
    digests = [file_digest(path / _FILE), *map(model_digest, parts)]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def save_decision(path: Path, decision: Decision) -> Path:
    """Write how a model's probabilities become answers into its folder; return the file.

    Raises:
        RunError: there is no model.
        StorageError: the disk is full or the folder cannot be written.
    """
    folder = path if is_ensemble(path) else find_bundle(path)
    file = folder / _DECISION
    write_json(file, _Decided(model=model_digest(path), decision=decision).model_dump(mode="json"))
    return file


def _read_decision(folder: Path) -> Decision:
    file = folder / _DECISION
    if not file.is_file():
        return Decision()
    try:
        decided = _Decided.model_validate(_read_json(file))
    except ValidationError as error:
        raise RunError(f"{file} is damaged:\n{listed(wrong_values(error))}") from error
    if decided.model != model_digest(folder):
        raise RunError(
            f"{file} was found for other weights than those beside it: find it anew with maskwise "
            "decide, or remove it"
        )
    return decided.decision


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged: expected an object")
    return values
