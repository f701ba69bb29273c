"""What answers photos: one network, or several that vote."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from maskwise.config import Boundaries
from maskwise.labels import TASKS
from maskwise.models.bundle import ModelInfo
from maskwise.models.decision import Decision
from maskwise.models.inference import photo_probabilities
from maskwise.models.network import Network
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views
from maskwise.models.votes import Vote, count_votes, equal_vote
from maskwise.transforms.preprocess import Preprocess

Frames = Mapping[str, torch.Tensor]
"""`Preprocess.frame_key` -> uint8 (n, height, width, 3): the same n photos, framed each way."""


class Classifier(Protocol):
    """One model, or several that answer as one."""

    tasks: Sequence[str]
    """Tasks that it answers; of the others all words are equally likely."""
    boundaries: Boundaries
    mean_ages: tuple[float, float, float]
    val_fold: str
    """The fold of a manifest that it was not trained on."""
    decision: Decision
    """How its probabilities become answers."""

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """The ways in which photos must be framed, by `frame_key`."""

    @property
    def networks(self) -> int:
        """How many networks run for each look at a photo."""

    @property
    def about(self) -> dict[str, str]:
        """What it is, for people."""

    def place(self, device: torch.device) -> None:
        """Move to a device."""

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """Return the probabilities of n photos."""


class NetworkClassifier:
    """A network with what belongs to it."""

    def __init__(self, network: Network, info: ModelInfo) -> None:
        self.network = network
        self.info = info
        self.tasks: Sequence[str] = info.model.tasks
        self.boundaries = info.task_boundaries
        self.mean_ages = info.mean_ages
        self.val_fold = info.val_fold
        self.decision = Decision()
        self.networks = len(info.model.tasks) if info.model.head == "tasks" else 1

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """See `Classifier`."""
        return {self.info.preprocess.frame_key: self.info.preprocess}

    @property
    def about(self) -> dict[str, str]:
        """See `Classifier`."""
        settings, frame = self.info.model, self.info.preprocess
        return {
            "model": f"{settings.backbone}, {settings.head} head, {frame.width}x{frame.height}",
            "first weights": self.info.pretrained,
        }

    def place(self, device: torch.device) -> None:
        """See `Classifier`."""
        self.network.to(device).to(memory_format=torch.channels_last)

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """See `Classifier`."""
        preprocess = self.info.preprocess
        looks = views.of(frames[preprocess.frame_key], preprocess.spare, self.info.augment)
        with torch.inference_mode():
            answers = [photo_probabilities(self.network, photos, preprocess) for photos in looks]
        if len(answers) == 1:
            return answers[0]
        return count_votes(answers, equal_vote([list(TASKS)] * len(answers), views.how))


class EnsembleClassifier:
    """Several models that vote; each task is answered by one of them at least."""

    tasks: Sequence[str] = tuple(TASKS)

    def __init__(self, members: Sequence[Classifier], vote: Vote, val_fold: str) -> None:
        self.members = members
        self.vote = vote
        self.boundaries = members[0].boundaries
        self.val_fold = val_fold
        self.decision = Decision()
        ages = np.array([member.mean_ages for member in members])
        young, middle, old = vote.shares("age_group") @ ages
        self.mean_ages = (float(young), float(middle), float(old))

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """See `Classifier`."""
        return {
            key: preprocess
            for member in self.members
            for key, preprocess in member.preprocesses.items()
        }

    @property
    def networks(self) -> int:
        """See `Classifier`."""
        return sum(member.networks for member in self.members)

    @property
    def about(self) -> dict[str, str]:
        """See `Classifier`."""
        members = [member.about["model"] for member in self.members]
        return {"model": f"{self.vote.how} vote of {'; '.join(members)}"}

    def place(self, device: torch.device) -> None:
        """See `Classifier`."""
        for member in self.members:
            member.place(device)

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """See `Classifier`."""
        return count_votes([member.answer(frames, views) for member in self.members], self.vote)
