"""What answers photos: a model, or several that vote."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskwise.config import Boundaries
from maskwise.labels import TASKS
from maskwise.models.decision import Decision
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views
from maskwise.models.votes import Vote, count_votes
from maskwise.transforms.preprocess import Preprocess

Frames = Mapping[str, NDArray[np.uint8]]
"""`Preprocess.frame_key` -> (n, height, width, 3): the same n photos, framed each way."""


Sources = frozenset[str] | None
"""Names of sources; None where they are not known."""


def joined_sources(parts: Iterable[Sources]) -> Sources:
    """Return the union of sources; None if one part is not known."""
    names: set[str] = set()
    for part in parts:
        if part is None:
            return None
        names |= part
    return frozenset(names)


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
    trained_on: Sources
    """The sources of its training photos."""

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """The ways in which photos must be framed, by `frame_key`."""

    @property
    def networks(self) -> int:
        """How many networks run for each look at a photo."""

    @property
    def about(self) -> dict[str, str]:
        """What it is, for people."""

    def place(self, device: str) -> None:
        """Answer on a device from now on: auto, cpu, cuda, ...

        Raises:
            SettingsError: the device is not to be had.
        """

    def check_views(self, views: Views) -> None:
        """Check that photos can be looked at in these ways.

        Raises:
            SettingsError: they cannot.
        """

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """Return the probabilities of n photos."""


class EnsembleClassifier:
    """Several models that vote; each task is answered by one of them at least."""

    tasks: Sequence[str] = tuple(TASKS)

    def __init__(self, members: Sequence[Classifier], vote: Vote, val_fold: str) -> None:
        self.members = members
        self.vote = vote
        self.boundaries = members[0].boundaries
        self.val_fold = val_fold
        self.decision = Decision()
        self.trained_on = joined_sources(member.trained_on for member in members)
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

    def place(self, device: str) -> None:
        """See `Classifier`."""
        for member in self.members:
            member.place(device)

    def check_views(self, views: Views) -> None:
        """See `Classifier`."""
        for member in self.members:
            member.check_views(views)

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """See `Classifier`."""
        return count_votes([member.answer(frames, views) for member in self.members], self.vote)
