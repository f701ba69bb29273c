"""What the service answers, as JSON."""

from collections.abc import Collection
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from maskwise.labels import TASKS
from maskwise.prediction.result import Prediction
from maskwise.serving.answering import Answered
from maskwise.transforms.preprocess import Box

Task = Literal["mask", "gender", "age_group"]
Probability = Annotated[float, Field(ge=0, le=1)]


class FaceAnswer(BaseModel):
    """One face. What was not asked for is not there."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    box: Box | None = None
    """Left, top, right, bottom in pixels of the upright photo; it may reach over its border."""
    mask: Literal["wear", "incorrect", "not_wear"] | None = None
    """Whether a mask is worn: properly (wear), in a wrong way (incorrect), or not (not_wear)."""
    gender: Literal["male", "female"] | None = None
    """A guess from looks."""
    age_group: Literal["young", "middle", "old"] | None = None
    """A guess from looks: under 30, 30 to 59, 60 and over."""
    answer: Annotated[int, Field(ge=0, le=17)] | None = None
    """The class, mask * 6 + gender * 3 + age group, where all three were asked for."""
    unsure: bool | None = None
    """Whether the class is less likely than the model's decision asks for."""
    probabilities: dict[str, dict[str, Probability]] = {}
    """Task -> word -> probability."""

    @classmethod
    def of(cls, face: Prediction, tasks: Collection[str]) -> Self:
        """Return what a model says of a face, as far as it was asked."""
        probabilities = face.probabilities or {}
        every = len(tasks) == len(TASKS)
        return cls(
            box=_rounded(face.face) if face.face else None,
            **{task: getattr(face, task) for task in tasks},
            answer=face.answer if every else None,
            unsure=face.unsure if every else None,
            probabilities={
                task: {word: round(p, 6) for word, p in probabilities[task].items()}
                for task in tasks
            },
        )


class PhotoAnswer(BaseModel):
    """One photo of a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The file's name as it was sent."""
    width: int | None = None
    """Pixels, upright."""
    height: int | None = None
    faces: list[FaceAnswer] = []
    """The largest and most central first; none where no face was found."""
    left_out: int = 0
    """Faces beyond the limit of one photo, which were not answered."""
    error: str | None = None
    """Why this photo could not be read; the others of the request were answered."""

    @classmethod
    def of(cls, name: str, answered: Answered, tasks: Collection[str]) -> Self:
        """Return the answers for a photo."""
        width, height = answered.size
        faces = [FaceAnswer.of(face, tasks) for face in answered.faces]
        return cls(name=name, width=width, height=height, faces=faces, left_out=answered.left_out)


def _rounded(box: Box) -> Box:
    left, top, right, bottom = (round(edge, 1) for edge in box)
    return left, top, right, bottom


EXAMPLE: Final[dict[str, Any]] = {
    "photos": [
        {
            "name": "door.jpg",
            "width": 640,
            "height": 480,
            "faces": [
                {
                    "box": [251.3, 120.8, 389.1, 301.4],
                    "mask": "incorrect",
                    "gender": "female",
                    "age_group": "middle",
                    "answer": 10,
                    "unsure": False,
                    "probabilities": {
                        "mask": {"wear": 0.021, "incorrect": 0.968, "not_wear": 0.011},
                        "gender": {"male": 0.034, "female": 0.966},
                        "age_group": {"young": 0.213, "middle": 0.771, "old": 0.016},
                    },
                }
            ],
            "left_out": 0,
        }
    ]
}


class Answers(BaseModel):
    """The answers to a request, photo by photo in its order."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    photos: list[PhotoAnswer]


class Info(BaseModel):
    """What answers, and how much it takes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: str
    model: str
    boundaries: tuple[int, int]
    """First age of the middle and of the old group."""
    people: bool
    """Whether gender and age group may be asked for."""
    keys: bool
    """Whether a key is needed."""
    photos: int
    """Photos of one request, at most."""
    faces: int
    """Faces of one photo that are answered."""
    megabytes: float
    """Of one request, at most."""
    megapixels: float
    """Of one photo, at most."""
