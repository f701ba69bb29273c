"""A trained model that answers photos."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Self, overload

import numpy as np
import torch
from PIL import Image

from maskwise.data.frames import Frames, PhotoRef, decode_in_order
from maskwise.data.framing import Framed, Framer
from maskwise.errors import PhotoError
from maskwise.labels import TASKS, decode_class
from maskwise.models.bundle import ModelInfo, load_bundle
from maskwise.models.inference import Probabilities, choose_device, model_probabilities
from maskwise.models.network import Network
from maskwise.prediction.result import Prediction
from maskwise.transforms.decode import PhotoLike
from maskwise.transforms.preprocess import Preprocess

_BATCH = 64


class Predictor:
    """A trained model with its preprocessing."""

    def __init__(
        self,
        model: Network,
        info: ModelInfo,
        device: torch.device,
        detectors: Path | None = None,
    ) -> None:
        self.info = info
        self.preprocess: Preprocess = info.preprocess
        self.framer = Framer(info.preprocess, detectors)
        self._device = device
        self._model = model.to(device).to(memory_format=torch.channels_last)

    @classmethod
    def load(
        cls, path: str | Path, device: str = "auto", detectors: str | Path | None = None
    ) -> Self:
        """Load a run folder, or its `best/` or `last/`.

        `detectors` is the folder of the face detector's file, where it lies in no usual place.

        Raises:
            RunError: the folder holds no model, a damaged one, or one of another version.
            SettingsError: the device is not to be had.
        """
        model, info = load_bundle(Path(path))
        return cls(model, info, choose_device(device), Path(detectors) if detectors else None)

    @overload
    def predict(self, photos: PhotoLike) -> Prediction: ...  # type: ignore[overload-overlap] # str

    @overload
    def predict(self, photos: Sequence[PhotoLike]) -> list[Prediction]: ...

    def predict(self, photos: PhotoLike | Sequence[PhotoLike]) -> Prediction | list[Prediction]:
        """Return the answer for a photo, or one for each of a list.

        A photo is a path, the bytes of a file, a Pillow image, or an RGB array (H, W, 3) of uint8
        or of floats in 0..1. Of several faces in it, the largest and most central is answered. In
        a list, a photo that cannot be read gives a prediction with an `error`, and the others are
        answered.

        Raises:
            PhotoError: a single photo cannot be read.
            DetectorError: the face detector that the model was trained with cannot be had.
        """
        if isinstance(photos, (str, bytes, PathLike, Image.Image, np.ndarray)):
            return self._answers([_name(photos, 0)], [self.framer.frame(photos)])[0]
        answers: list[Prediction] = []
        for start in range(0, len(photos), _BATCH):
            chunk = photos[start : start + _BATCH]
            names = [_name(photo, start + place) for place, photo in enumerate(chunk)]
            answers += self._answers(names, [self._frame_or_error(photo) for photo in chunk])
        return answers

    def predict_files(
        self, photos: Sequence[PhotoRef], names: Sequence[str], workers: int
    ) -> Iterator[Prediction]:
        """Yield the answers for photo files in order, decoding in `workers` processes."""
        starts = range(0, len(photos), _BATCH)
        work = (photos[start : start + _BATCH] for start in starts)
        results = decode_in_order(work, self.framer, workers)
        for start, frames in zip(starts, results, strict=True):
            yield from self._answers(names[start : start + _BATCH], frames)

    def probabilities(self, batches: Iterable[Frames]) -> Probabilities:
        """Return the probabilities of batches of frames, uint8 (n, height, width, 3)."""
        tensors = (torch.from_numpy(batch).to(self._device) for batch in batches)
        return Probabilities.concatenate(model_probabilities(self._model, tensors, self.preprocess))

    def _frame_or_error(self, photo: PhotoLike) -> Framed | PhotoError:
        try:
            return self.framer.frame(photo)
        except PhotoError as error:
            return error

    def _answers(
        self, names: Sequence[str], frames: Sequence[Framed | PhotoError]
    ) -> list[Prediction]:
        good = [frame.pixels for frame in frames if not isinstance(frame, PhotoError)]
        found = self.probabilities([np.stack(good)]) if good else None
        answers, place = [], 0
        for name, frame in zip(names, frames, strict=True):
            if isinstance(frame, PhotoError) or found is None:
                answers.append(Prediction(name, error=str(frame)))
            else:
                answers.append(_prediction(name, frame, found, place))
                place += 1
        return answers


def _prediction(name: str, frame: Framed, found: Probabilities, place: int) -> Prediction:
    answer = int(found.joint[place].argmax())
    codes = decode_class(np.array([answer]))
    words = {task: TASKS[task][int(code[0])] for task, code in codes.items()}
    probabilities = {
        task: {str(word): float(p) for word, p in zip(names, found.tasks[task][place], strict=True)}
        for task, names in TASKS.items()
    }
    return Prediction(
        name,
        answer,
        **words,
        probabilities=probabilities,
        face=frame.box,
        no_face=frame.missed,
    )


def _name(photo: PhotoLike, place: int) -> str:
    return str(photo) if isinstance(photo, (str, PathLike)) else f"photo {place}"
