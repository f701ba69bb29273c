"""People in front of a camera: who is the same as before, what is steadily said of them, passes.

A face is followed from frame to frame by where it is; nobody is recognised again. What a model says
of it is averaged over about half a second, and the state changes only when another one is clearly
ahead, so that an answer does not flicker. A person who is gone has passed, in the last state.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from maskwise.data.boxes import overlap
from maskwise.prediction.result import Prediction
from maskwise.transforms.preprocess import Box

_SMOOTH: Final = 0.5
"""Seconds in which an answer of before loses all but 1/e of its weight."""
_AHEAD: Final = 0.15
"""By how much another state must be more likely before the state changes."""
_STEADY: Final = (3, 0.4)
"""Frames and seconds that a person must have been seen before a state is told."""
_GONE: Final = 1.0
"""Seconds out of sight after which a person has passed."""
_OVERLAP: Final = 0.2
_NEAR: Final = 0.8
"""A face is the one of before if their boxes share so much, or if their middles are as near as this
many of its sides: people who walk by a slow camera leave their old box."""

Shares = dict[str, dict[str, float]]
"""Task -> word -> probability."""


@dataclass(frozen=True)
class Pass:
    """A person who came and went."""

    number: int
    """Counts people from 1; it says nothing of who they are."""
    state: str
    """wear, incorrect or not_wear: the last that was steady."""
    probability: float
    """Of the state, averaged."""
    began: float
    """Seconds, on the clock that frames are timed by."""
    ended: float
    frames: int
    """Frames in which the person was seen."""
    box: Box
    """Where the face was last, in pixels."""


@dataclass
class Person:
    """Somebody in sight."""

    number: int
    box: Box
    began: float
    seen: float
    """When, last."""
    shares: Shares
    """The answers, averaged."""
    frames: int = 1
    state: str | None = None
    """The mask state; None until it is steady."""

    def moved(self, face: Prediction, at: float) -> None:
        """Take in what a later frame shows."""
        weight = 1 - math.exp(-max(at - self.seen, 0) / _SMOOTH)
        for task, words in (face.probabilities or {}).items():
            mean = self.shares[task]
            for word, share in words.items():
                mean[word] += weight * (share - mean[word])
        self.box, self.seen, self.frames = face.face or self.box, at, self.frames + 1
        self._settle()

    def word(self, task: str) -> str:
        """Return the most likely word of a task."""
        return max(self.shares[task], key=self.shares[task].__getitem__)

    def _settle(self) -> None:
        frames, seconds = _STEADY
        if self.frames < frames or self.seen - self.began < seconds:
            return
        mask = self.shares["mask"]
        likely = self.word("mask")
        if self.state is None or mask[likely] > mask[self.state] + _AHEAD:
            self.state = likely


@dataclass
class Watch:
    """What one camera has seen. Frames come in order; times are seconds on any clock."""

    people: list[Person] = field(default_factory=list)
    """Those in sight now."""
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("wear", "incorrect", "not_wear"), 0)
    )
    """Passes by state."""
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _away: list[Person] = field(default_factory=list)
    _last: float | None = None
    _gaps: "deque[float]" = field(default_factory=lambda: deque(maxlen=2))
    """Seconds between the last frames."""

    def see(self, faces: Sequence[Prediction], at: float) -> list[Pass]:
        """Take in the faces of the next frame; return who has passed since the last one."""
        gone_after = self._patience(at)
        everybody = self.people + self._away
        known = [person for person in everybody if at - person.seen <= gone_after]
        pairs = sorted(
            ((_nearness(person.box, face.face), row, column)
             for row, person in enumerate(known)
             for column, face in enumerate(faces) if face.face),
            reverse=True,
        )  # fmt: skip
        taken_rows: set[int] = set()
        taken_columns: set[int] = set()
        for nearness, row, column in pairs:
            if nearness > 0 and row not in taken_rows and column not in taken_columns:
                taken_rows.add(row)
                taken_columns.add(column)
                known[row].moved(faces[column], at)
        self.people = [known[row] for row in sorted(taken_rows)]
        self.people += [
            self._new(face, face.face, at)
            for column, face in enumerate(faces)
            if column not in taken_columns and face.face
        ]
        self._away = [person for row, person in enumerate(known) if row not in taken_rows]
        return self._passed(person for person in everybody if at - person.seen > gone_after)

    def _patience(self, at: float) -> float:
        """Return the seconds out of sight after which somebody is gone, at the next frame.

        A camera of few frames a second lets people be unseen between two; a single long pause does
        not, as another person may have come.
        """
        if self._last is not None:
            self._gaps.append(at - self._last)
        self._last = at
        return max(_GONE, 2 * min(self._gaps, default=0.0))

    @property
    def hidden(self) -> list[Box]:
        """Where the faces of those were who have been out of sight for a moment."""
        return [person.box for person in self._away]

    def end(self) -> list[Pass]:
        """Return the passes of all who are still there."""
        people, self.people, self._away = self.people + self._away, [], []
        return self._passed(people)

    def _new(self, face: Prediction, box: Box, at: float) -> Person:
        shares = {task: dict(words) for task, words in (face.probabilities or {}).items()}
        return Person(next(self._numbers), box, at, at, shares)

    def _passed(self, people: Iterable[Person]) -> list[Pass]:
        passes = []
        for person in people:
            if person.state is None:
                continue  # a glimpse, or a false find
            self.counts[person.state] += 1
            share = person.shares["mask"][person.state]
            passes.append(
                Pass(
                    person.number,
                    person.state,
                    share,
                    person.began,
                    person.seen,
                    person.frames,
                    person.box,
                )
            )
        return passes


def _nearness(old: Box, new: Box | None) -> float:
    """Return how surely two boxes hold the same face: 0 is not, 2 is most."""
    if new is None:
        return 0.0
    shared = overlap(old, new)
    if shared >= _OVERLAP:
        return 1 + shared
    side = max(new[2] - new[0], new[3] - new[1], old[2] - old[0], old[3] - old[1])
    middles = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (old, new)]
    away = math.dist(*middles) / side
    return max(1 - away / _NEAR, 0.0)
