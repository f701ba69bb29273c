"""What a model says of one photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from maskwise.data.boxes import box_text
from maskwise.labels import TASK_BOUNDARIES, TASKS, UNKNOWN, age_group_text
from maskwise.transforms.preprocess import Box

_MASKS: Final = {
    "wear": "mask worn properly",
    "incorrect": "mask worn incorrectly",
    "not_wear": "no mask",
}


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo; an unreadable photo has an `error` and no answer."""

    photo: str
    answer: int = UNKNOWN
    """The class, 0..17."""
    mask: str = ""
    gender: str = ""
    age_group: str = ""
    probabilities: dict[str, dict[str, float]] | None = None
    """Task -> word -> probability."""
    classes: tuple[float, ...] = ()
    """(18,) probabilities of the classes."""
    unsure: bool = False
    """Whether the class is less likely than the model's decision asks for."""
    face: Box | None = None
    """Left, top, right, bottom of the face answered, in pixels; none is the photo's centre."""
    no_face: bool = False
    """Whether a face was looked for and none found; then the centre was taken, or nothing."""
    error: str = ""

    def sentence(self, boundaries: Sequence[int] = TASK_BOUNDARIES) -> str:
        """Return the answer as people say it; `boundaries` are those of the model's age groups."""
        if self.error:
            return self.error
        if self.probabilities is None:
            return f"{self.photo}: no face"
        said = {
            "mask": _MASKS[self.mask],
            "gender": self.gender,
            "age_group": age_group_text(self.age_group, boundaries),
        }
        shares = {task: self.probabilities[task][getattr(self, task)] for task in TASKS}
        parts = [f"{words} ({100 * shares[task]:.0f} %)" for task, words in said.items()]
        noted = ["unsure"] * self.unsure + ["no face found, centre taken"] * self.no_face
        return f"{self.photo}: {', '.join(parts + noted)}"

    def row(self) -> dict[str, Any]:
        """Return one row for a CSV file: ImageID, ans, words, probabilities, face, error."""
        words: dict[str, Any] = {task: getattr(self, task) for task in TASKS}
        return {
            "ImageID": self.photo,
            "ans": None if self.answer == UNKNOWN else self.answer,
            **{task: word or None for task, word in words.items()},
            **{
                f"p_{word}": round(self.probabilities[task][word], 6)
                if self.probabilities
                else None
                for task, names in TASKS.items()
                for word in names
            },
            "unsure": None if self.answer == UNKNOWN else self.unsure,
            "face": box_text(self.face) if self.face else None,
            "error": self.error or None,
        }
