"""What a model says of one photo."""

from dataclasses import dataclass
from typing import Any

from maskwise.data.boxes import box_text
from maskwise.labels import TASKS, UNKNOWN
from maskwise.transforms.preprocess import Box


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
    """Whether a face was looked for and none found, so that the centre was taken."""
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Return one row for a CSV file: ImageID, ans, words, probabilities, face, error."""
        words: dict[str, Any] = {task: getattr(self, task) for task in TASKS}
        return {
            "ImageID": self.photo,
            "ans": None if self.error else self.answer,
            **{task: word or None for task, word in words.items()},
            **{
                f"p_{word}": round(self.probabilities[task][word], 6)
                if self.probabilities
                else None
                for task, names in TASKS.items()
                for word in names
            },
            "unsure": None if self.error else self.unsure,
            "face": box_text(self.face) if self.face else None,
            "error": self.error or None,
        }
