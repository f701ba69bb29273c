"""What the labelling page and its database tell each other."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from maskwise.labels import TASKS

Action = Literal["accept", "label", "relabel", "wrong", "skip", "delete"]
"""Labels are right; they become others; some do, but the photo is still to be looked at; they are
wrong, but what is right is not said; later; the photo goes."""
FIELDS: Final = (*TASKS, "age")
"""The labels that a person may change."""
STATE_OF: Final[dict[str, str]] = {
    "accept": "done",
    "label": "done",
    "wrong": "wrong",
    "skip": "skipped",
    "delete": "deleted",
}
Labels = dict[str, str | int | None]


@dataclass(frozen=True)
class Decision:
    """What a person decided about a photo."""

    photo: int
    version: int
    """That the person saw; another one's decision since then makes this one void."""
    action: Action
    labels: Labels
    """Field -> new value, of `label` and `relabel` only; what is not named stays."""


@dataclass(frozen=True)
class Filters:
    """Which photos are asked for."""

    state: str = "open"
    """One of `schema.STATES`, or all."""
    kind: str = ""
    """Photos with such a finding; empty: with any or none."""
    task: str = ""
    word: str = ""
    """Photos whose label of the task is this word now."""
    person: str = ""
    found: bool = False
    """Only photos with a finding."""


class StaleError(Exception):
    """Somebody else decided about the photo meanwhile."""

    def __init__(self, photo: dict[str, Any]) -> None:
        super().__init__(f"{photo['name']} was changed meanwhile")
        self.photo = photo
        """As it stands now."""


class WrongDecisionError(Exception):
    """A decision that cannot be made; the text says why."""
