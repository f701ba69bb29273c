"""Several looks at one photo: what is answered is their mean, or their vote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from maskwise.config import AugmentSettings
from maskwise.errors import SettingsError
from maskwise.labels import TASKS
from maskwise.models.probabilities import Probabilities
from maskwise.models.votes import count_votes, equal_vote

Look = tuple[bool, float, float]
"""Mirrored or not, zoom, rotation in degrees."""
PLAIN: Final[Look] = (False, 1.0, 0.0)
_FIXED: Final[dict[str, tuple[Look, ...]]] = {
    "1": (PLAIN,),
    "flip": (PLAIN, (True, 1.0, 0.0)),
    "4": tuple((flip, zoom, 0.0) for zoom in (1.0, 1.1) for flip in (False, True)),
    "8": tuple(
        (flip, zoom, turn)
        for zoom, turn in ((1.0, 0.0), (1.1, 0.0), (1.05, -5.0), (1.05, 5.0))
        for flip in (False, True)
    ),
}


@dataclass(frozen=True)
class Views:
    """Which looks are taken at each photo, and how they are counted."""

    looks: tuple[Look, ...] = (PLAIN,)
    """Fixed looks."""
    random: int = 0
    """Looks drawn from training's own changes, after one of the photo as it is."""
    how: Literal["soft", "hard"] = "soft"
    """The mean of probabilities, or a vote of answers."""

    @classmethod
    def named(cls, name: str, how: Literal["soft", "hard"] = "soft") -> "Views":
        """Return the views of a name: 1, flip, 4, 8, or random:5.

        4 mirrors the photo and a zoom of 1.1; 8 mirrors these and turns of 5 degrees either way.

        Raises:
            SettingsError: there are no such views.
        """
        drawn = re.fullmatch(r"random:([1-9]\d?)", name)
        if drawn:
            return cls(random=int(drawn[1]), how=how)
        if name not in _FIXED:
            raise SettingsError(
                f"--views {name!r}: expected {', '.join(_FIXED)}, or random:N with N from 1 to 99"
            )
        return cls(_FIXED[name], how=how)

    @property
    def count(self) -> int:
        """How often the network runs for each photo."""
        return len(self.looks) + self.random

    @property
    def upright(self) -> bool:
        """Whether photos are at most mirrored, which needs no drawing anew."""
        return not self.random and all(look[1:] == PLAIN[1:] for look in self.looks)

    def counted(self, answers: Sequence[Probabilities]) -> Probabilities:
        """Return what is answered of N photos, given the answers to each look at them."""
        if len(answers) == 1:
            return answers[0]
        return count_votes(answers, equal_vote([list(TASKS)] * len(answers), self.how))


def movable_changes(settings: AugmentSettings) -> AugmentSettings:
    """Return changes to training photos that need no file, so that a model can keep them."""
    named = settings.policy in ("none", "randaugment", "trivialaugment")
    values = {
        "background": 0.0,
        "mattes": None,
        "policy": settings.policy if named else "none",
    }
    lost = {"background", *(() if named else ("policy",))}
    one_of = [[change for change in group if change not in lost] for group in settings.one_of]
    kept = [group for group in one_of if len(group) > 1]
    return AugmentSettings.model_validate({**settings.model_dump(), **values, "one_of": kept})
