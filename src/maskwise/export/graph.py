"""A model as two graphs: frames to what its networks give, and that to calibrated probabilities.

They are apart so that the first can be made smaller (int8, fp16) while the second stays exact. The
second does what `Probabilities`, `Vote` and `Decision` do; an export is checked against them.
"""

import copy
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maskwise.errors import RunError
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.classifier import Classifier, EnsembleClassifier
from maskwise.models.decision import Decision
from maskwise.models.network_classifier import NetworkClassifier
from maskwise.models.outputs import (
    Outputs,
    answered_ages,
    joint_log_probabilities,
    task_log_probabilities,
)
from maskwise.models.votes import TIES, Vote, equal_vote
from maskwise.transforms.network_input import middle, network_input, to_planes

_LEAST: Final = 1e-12
_LEAST_STACKED: Final = 1e-6
Told = tuple[torch.Tensor, Outputs, torch.Tensor]
"""Probabilities of the 18 classes (n, 18), those of each task, ages (n,) that may be NaN."""


Tree = int | tuple[tuple["Tree", ...], Vote]
"""Who answers: a network by number, or several such that vote."""


class Networks(nn.Module):
    """Frames, uint8 (n, height, width, 3), to what each network gives, one after another.

    Where they are `mirrored` each gives twice: for the frames, and for their mirror images.
    """

    def __init__(
        self, members: Sequence[NetworkClassifier], half: bool = False, mirrored: bool = False
    ) -> None:
        super().__init__()
        self._mirrored = mirrored
        self._preprocesses = [member.info.preprocess for member in members]
        self._kind = torch.float16 if half else torch.float32
        self.networks = nn.ModuleList(
            copy.deepcopy(member.network).to(self._kind) for member in members
        )

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return all outputs for frames, float32, in the order of `names`."""
        (frames,) = values
        count = frames.shape[0]
        if self._mirrored:
            frames = torch.cat([frames, frames.flip(2)])
        found: list[torch.Tensor] = []
        for network, preprocess in zip(self.networks, self._preprocesses, strict=True):
            photos = network_input(to_planes(middle(frames, preprocess.spare)), preprocess)
            outputs = network(photos.to(self._kind))
            given = [outputs[name].float() for name in sorted(outputs)]
            found += [values[:count] for values in given]
            if self._mirrored:
                found += [values[count:] for values in given]
        return tuple(found)

    def names(self) -> list[list[str]]:
        """Return the names of each network's outputs, in order; twice where it gives twice."""
        names = []
        for network, preprocess in zip(self.networks, self._preprocesses, strict=True):
            width, height = preprocess.frame_size
            frames = torch.zeros(1, height, width, 3, dtype=torch.uint8)
            photos = network_input(to_planes(middle(frames, preprocess.spare)), preprocess)
            with torch.inference_mode():
                own = sorted(network(photos.to(self._kind)))
            names += [own, own] if self._mirrored else [own]
        return names


class Answers(nn.Module):
    """What networks give to calibrated probabilities."""

    def __init__(self, model: Tree, names: list[list[str]], decision: Decision) -> None:
        super().__init__()
        self._model = model
        self._names = names
        self._decision = decision

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return 'mask', 'gender', 'age_group', the classes, and ages (n,), NaN where untold."""
        rest = list(values)
        told = []
        for names in self._names:
            told.append(_told({name: rest.pop(0) for name in names}))
        joint, tasks, ages = _calibrated(_voted(self._model, told), self._decision)
        return *(tasks[task] for task in TASKS), joint, ages


def networks_of(classifier: Classifier) -> tuple[list[NetworkClassifier], Tree]:
    """Return the networks of a model or an ensemble, and how they vote.

    Raises:
        RunError: one of them is no network with weights, such as an ONNX file.
    """
    found: list[NetworkClassifier] = []

    def walk(part: Classifier) -> Tree:
        if isinstance(part, NetworkClassifier):
            found.append(part)
            return len(found) - 1
        if isinstance(part, EnsembleClassifier):
            return tuple(walk(member) for member in part.members), part.vote
        raise RunError("only run folders, model folders and ensembles of them can be exported")

    return found, walk(classifier)


def mirrored_tree(tree: Tree) -> Tree:
    """Return a tree in which each network's two looks vote first, as `Views.counted` does."""
    if isinstance(tree, int):
        return (2 * tree, 2 * tree + 1), equal_vote([list(TASKS)] * 2)
    parts, vote = tree
    return tuple(map(mirrored_tree, parts)), vote


def _told(outputs: Outputs) -> Told:
    """Return what one network tells of photos."""
    joint = joint_log_probabilities(outputs).exp()
    tasks = {task: values.exp() for task, values in task_log_probabilities(outputs).items()}
    ages = answered_ages(outputs)
    return joint, tasks, torch.full_like(joint[:, 0], torch.nan) if ages is None else ages


def _voted(tree: Tree, told: Sequence[Told]) -> Told:
    """Do as `count_votes`."""
    if isinstance(tree, int):
        return told[tree]
    parts, vote = tree
    members = [_voted(part, told) for part in parts]
    ages = _mean_ages(members, vote)
    if vote.how == "stack":
        tasks = {task: _stacked(members, vote, task) for task in TASKS}
        return _product(tasks), tasks, ages
    joint, tasks = _mean(members, vote)
    if vote.how == "soft":
        return joint, tasks, ages
    answers = [
        (_one_hot(member[0]), {task: _one_hot(p) for task, p in member[1].items()}, member[2])
        for member in members
    ]
    votes, of_tasks = _mean(answers, vote)
    parted = {task: (1 - TIES) * of_tasks[task] + TIES * tasks[task] for task in TASKS}
    return (1 - TIES) * votes + TIES * joint, parted, ages


def _mean(members: Sequence[Told], vote: Vote) -> tuple[torch.Tensor, Outputs]:
    tasks = {
        task: _weighed([member[1][task] for member in members], vote.shares(task)) for task in TASKS
    }
    if not vote.alike:
        return _product(tasks), tasks
    return _weighed([member[0] for member in members], vote.shares("mask")), tasks


def _weighed(values: Sequence[torch.Tensor], weights: NDArray[np.float64]) -> torch.Tensor:
    pairs = zip(values, weights.tolist(), strict=True)
    return torch.stack([value * weight for value, weight in pairs]).sum(dim=0)


def _one_hot(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(values.argmax(dim=1), values.shape[1]).float()


def _mean_ages(members: Sequence[Told], vote: Vote) -> torch.Tensor:
    ages = torch.stack([member[2] for member in members])
    untold = torch.isnan(ages)
    shares = torch.tensor(vote.shares("age_group"), dtype=torch.float32)[:, None]
    weights = torch.where(untold, torch.zeros_like(ages), shares)
    total = weights.sum(dim=0)
    told = (torch.where(untold, torch.zeros_like(ages), ages) * weights).sum(dim=0)
    return torch.where(total > 0, told / total.clamp(min=_LEAST), torch.full_like(total, torch.nan))


def _stacked(members: Sequence[Told], vote: Vote, task: str) -> torch.Tensor:
    columns = [member[1][name] for member in members for name in TASKS]
    features = torch.cat(columns, dim=1).clamp(min=_LEAST_STACKED).log()
    weights = torch.tensor(vote.stack[task].weights, dtype=torch.float32)
    scores = features @ weights.T + torch.tensor(vote.stack[task].bias, dtype=torch.float32)
    return scores.softmax(dim=1)


def _calibrated(told: Told, decision: Decision) -> Told:
    """Do as `Decision.calibrated`."""
    joint, tasks, ages = told
    if any(decision.temperatures[task] != 1 for task in TASKS):
        tempered = {
            task: _scaled(tasks[task].clamp(min=_LEAST) ** (1 / decision.temperatures[task]))
            for task in TASKS
        }
        changes = {task: tempered[task] / tasks[task].clamp(min=_LEAST) for task in TASKS}
        joint, tasks = _scaled(joint * _product(changes)), tempered
    if decision.prior:
        joint = _scaled(joint * torch.tensor(decision.prior, dtype=torch.float32))
        tasks = _sums(joint)
    return joint, tasks, ages


def _product(tasks: Outputs) -> torch.Tensor:
    mask, gender, age = (tasks[task] for task in TASKS)
    joint = mask[:, :, None, None] * gender[:, None, :, None] * age[:, None, None, :]
    return joint.reshape(-1, NUM_CLASSES)


def _sums(joint: torch.Tensor) -> Outputs:
    cube = joint.reshape(-1, *(len(words) for words in TASKS.values()))
    axes = (1, 2, 3)
    return {
        task: cube.sum(dim=tuple(axis for axis in axes if axis != place + 1))
        for place, task in enumerate(TASKS)
    }


def _scaled(values: torch.Tensor) -> torch.Tensor:
    return values / values.sum(dim=1, keepdim=True)
