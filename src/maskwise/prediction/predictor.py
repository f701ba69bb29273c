"""A trained model, or an ensemble, that answers photos."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Literal, Self, cast, overload

import numpy as np

from maskwise.data.frames import PhotoRef, decode_in_order
from maskwise.data.framing import Framed, Framer
from maskwise.data.workers import process_count
from maskwise.errors import PhotoError, SettingsError
from maskwise.labels import TASKS, decode_class
from maskwise.models.classifier import Classifier
from maskwise.models.loading import SHIPPED, open_classifier
from maskwise.models.views import Views
from maskwise.prediction.result import Prediction
from maskwise.transforms.decode import PHOTO_TYPES, PhotoLike, decode_photo, photo_name
from maskwise.transforms.preprocess import Box

_PLAIN = Views()
_BATCH = 64


class Predictor:
    """A trained model or an ensemble, with the ways in which its photos are framed."""

    def __init__(
        self,
        classifier: Classifier,
        device: str = "auto",
        views: Views = _PLAIN,
    ) -> None:
        self.classifier = classifier
        self.views = views
        self.framers = {
            key: Framer(preprocess) for key, preprocess in classifier.preprocesses.items()
        }
        classifier.check_views(views)
        classifier.place(device)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str = "auto",
        views: str = "1",
        views_vote: Literal["soft", "hard"] = "soft",
    ) -> Self:
        """Load a run folder, its `best/` or `last/`, an ensemble, or an ONNX file.

        Without a path it is the model that comes with Maskwise.

        `views` are looks at each photo, such as flip or 8, whose answers' mean, or vote, is taken.

        Raises:
            RunError: the folder holds no model, a damaged one, or one of another version.
            SettingsError: the device is not to be had, or there are no such views.
        """
        looks = Views.named(views, views_vote)
        classifier = open_classifier(Path(path) if path else SHIPPED)
        return cls(classifier, device, looks)

    @property
    def looks(self) -> int:
        """How often a network runs for each photo."""
        return self.classifier.networks * self.views.count

    @overload
    def predict(self, photos: PhotoLike) -> Prediction: ...  # type: ignore[overload-overlap] # str

    @overload
    def predict(self, photos: Iterable[PhotoLike]) -> list[Prediction]: ...

    def predict(self, photos: PhotoLike | Iterable[PhotoLike]) -> Prediction | list[Prediction]:
        """Return the answer for a photo, or one for each of a list.

        A photo is a path, the bytes of a file, a Pillow image, or an RGB array (H, W, 3) of uint8
        or of floats in 0..1. Of several faces in it, the largest and most central is answered. In
        a list, a photo that cannot be read gives a prediction with an `error`, and the others are
        answered.

        Raises:
            PhotoError: a single photo cannot be read.
            DetectorError: the face detector that the model was trained with cannot be had.
        """
        if isinstance(photos, PHOTO_TYPES) or not hasattr(photos, "__iter__"):
            one = cast("PhotoLike", photos)  # or whatever is refused as none
            framed: list[list[Framed | PhotoError]]
            framed = [[framer.frame(one)] for framer in self.framers.values()]
            return self._answers([_name(one, 0)], framed)[0]
        answers: list[Prediction] = []
        waiting = iter(photos)
        while chunk := list(islice(waiting, _BATCH)):
            names = [_name(photo, len(answers) + place) for place, photo in enumerate(chunk)]
            framed = [
                [_frame_or_error(framer, photo) for photo in chunk]
                for framer in self.framers.values()
            ]
            answers += self._answers(names, framed)
        return answers

    def predict_many(
        self, photos: Iterable[str | PathLike[str]], workers: int = -1
    ) -> Iterator[Prediction]:
        """Yield the answers for photo files in order, as they come; none is kept.

        Photos are decoded in `workers` processes, below 0 in one a core, a few batches ahead; where
        none can be started, in threads. A photo that cannot be read gives a prediction with an
        `error`.

        Raises:
            DetectorError: the face detector that the model was trained with cannot be had.
            WorkerError: a process was killed.
        """
        names = [str(photo) for photo in photos]
        refs = [PhotoRef(name) for name in names]
        return self.predict_files(refs, names, workers)

    def predict_files(
        self, photos: Sequence[PhotoRef], names: Sequence[str], workers: int
    ) -> Iterator[Prediction]:
        """Yield the answers for photo files in order, decoding in `workers` processes.

        Below 0 it is one a core. A batch or less is decoded here: processes take longer to start.
        """
        workers = process_count(workers) if len(photos) > _BATCH else 0
        starts = range(0, len(photos), _BATCH)
        work = [photos[start : start + _BATCH] for start in starts]
        results = [
            decode_in_order(work, framer, workers // len(self.framers))
            for framer in self.framers.values()
        ]
        for start, framed in zip(starts, zip(*results, strict=True), strict=True):
            yield from self._answers(names[start : start + _BATCH], framed)

    def predict_faces(self, photo: PhotoLike, most: int = 50) -> list[Prediction]:
        """Return an answer for each face in a photo, the largest and most central first.

        A photo without a face gives none; of more than `most` faces the others are left out.

        Raises:
            PhotoError: the photo cannot be read.
            DetectorError: the face detector that the model was trained with cannot be had.
            SettingsError: it was trained without one, on photos of one face.
        """
        frames = self.frame_faces(photo, most)[0]
        return self.answer_frames([_name(photo, 0)] * len(frames), frames)

    def frame_photo(self, photo: PhotoLike, box: Box | None = None) -> list[Framed]:
        """Return the frames, by each framer, of the face in a photo, or in a box of it.

        Raises: what `predict` raises.
        """
        image = decode_photo(photo)
        return [framer.frame(image, box, photo_name(photo)) for framer in self.framers.values()]

    def frame_faces(self, photo: PhotoLike, most: int) -> tuple[list[list[Framed]], int]:
        """Return for each face in a photo its frame by each framer, and how many faces there are.

        Raises: what `predict_faces` raises.
        """
        self.check_finds_faces()
        image = decode_photo(photo)
        first, *others = self.framers.values()
        faces, found = first.faces(image, most)
        return [
            [face, *(other.frame(image, face.box) for other in others)] for face in faces
        ], found

    def check_finds_faces(self) -> None:
        """Check that the model was trained with a face detector, and so can answer every face.

        Raises:
            SettingsError: it takes photos as they are.
        """
        first = next(iter(self.framers.values())).preprocess
        if first.detector == "none":
            raise SettingsError(
                "this model takes photos as they are (preprocess.detector=none), so it finds no "
                "faces: use a model trained with a detector, or give it cut out faces"
            )

    def frame_crop(self, photo: PhotoLike) -> list[Framed]:
        """Return the frames of a photo that is a cut out face already.

        Raises:
            PhotoError: the photo cannot be read.
        """
        image = decode_photo(photo)
        return [framer.crop(image) for framer in self.framers.values()]

    def answer_frames(
        self, names: Sequence[str], frames: Sequence[Sequence[Framed]]
    ) -> list[Prediction]:
        """Return the answers for faces, given the frames of each by each framer."""
        if not frames:
            return []
        batch = {
            key: np.stack([framed[place].pixels for framed in frames])
            for place, key in enumerate(self.framers)
        }
        decision = self.classifier.decision
        found = decision.calibrated(self.classifier.answer(batch, self.views))
        classes, unsure = decision.classes(found), decision.unsure(found)
        answers = []
        for place, (name, framed) in enumerate(zip(names, frames, strict=True)):
            probabilities = {
                task: {
                    str(word): float(p)
                    for word, p in zip(words, found.tasks[task][place], strict=True)
                }
                for task, words in TASKS.items()
            }
            codes = decode_class(classes[place : place + 1])
            answers.append(
                Prediction(
                    name,
                    int(classes[place]),
                    **{task: TASKS[task][int(code[0])] for task, code in codes.items()},
                    probabilities=probabilities,
                    classes=tuple(map(float, found.joint[place])),
                    unsure=bool(unsure[place]),
                    face=framed[0].box,
                    no_face=framed[0].missed,
                )
            )
        return answers

    def _answers(
        self, names: Sequence[str], framed: Sequence[Sequence[Framed | PhotoError]]
    ) -> list[Prediction]:
        """Return the answers for photos, given the frames of each of the framers."""
        answers = [Prediction(name) for name in names]
        good: dict[int, list[Framed]] = {}
        for number, frames in enumerate(zip(*framed, strict=True)):
            errors = [frame for frame in frames if isinstance(frame, PhotoError)]
            if errors:
                answers[number] = Prediction(names[number], error=str(errors[0]))
            else:
                good[number] = [frame for frame in frames if isinstance(frame, Framed)]
        made = self.answer_frames([names[number] for number in good], list(good.values()))
        for number, answer in zip(good, made, strict=True):
            answers[number] = answer
        return answers


def _frame_or_error(framer: Framer, photo: PhotoLike) -> Framed | PhotoError:
    try:
        return framer.frame(photo)
    except PhotoError as error:
        return error


def _name(photo: PhotoLike, place: int) -> str:
    return str(photo) if isinstance(photo, (str, PathLike)) else f"photo {place}"
