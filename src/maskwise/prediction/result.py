"""What a model says of one photo."""

from dataclasses import dataclass
from typing import Any

from maskwise.labels import TASKS, UNKNOWN


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
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Return one row for a CSV file: ImageID, ans, words, probabilities, error."""
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
            "error": self.error or None,
        }
