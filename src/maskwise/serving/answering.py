"""Photos in, answers out: framed by several threads, answered in batches as they come.

A batch is whatever has been framed while the last one was computed, so nobody waits for a batch to
fill, and the more photos come the more are answered at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Final, Self

from PIL import Image

from maskwise.data.framing import Framed
from maskwise.models.loading import SHIPPED, open_classifier
from maskwise.prediction.predictor import Predictor
from maskwise.prediction.result import Prediction
from maskwise.serving.metrics import Metrics
from maskwise.serving.problems import ProblemError, busy
from maskwise.serving.settings import ServeSettings
from maskwise.transforms.decode import decode_photo

_SMOOTHING: Final = 0.1
"""Weight of the newest photo in the mean time of one."""


@dataclass(frozen=True)
class Answered:
    """What was found in a photo."""

    size: tuple[int, int]
    """Width and height in pixels, upright."""
    faces: list[Prediction]
    left_out: int
    """Faces beyond the limit, which are not answered."""


@dataclass(frozen=True)
class _Job:
    photo: bytes
    whole: bool
    """Whether the photo is a cut out face."""
    answer: "Future[Answered]" = field(default_factory=Future)


@dataclass(frozen=True)
class _Framed:
    job: _Job
    size: tuple[int, int]
    frames: list[list[Framed]]
    left_out: int


def ready_predictor(settings: ServeSettings) -> Predictor:
    """Return the model that answers, once it has answered a blank photo.

    Raises:
        RunError: there is no model, or it is damaged.
        DetectorError: the face detector that it was trained with cannot be had.
    """
    classifier = open_classifier(settings.model or SHIPPED, threads=settings.process_threads)
    predictor = Predictor(classifier)
    predictor.predict(Image.new("RGB", (64, 64)))
    return predictor


class Answerer:
    """A model that answers many photos at a time, and refuses what it has no room for."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        """Load the model.

        Raises:
            RunError: there is no model, or it is damaged.
            DetectorError: the face detector that it was trained with cannot be had.
        """
        threads = settings.process_threads
        self.predictor = ready_predictor(settings)
        self._settings = settings
        self._metrics = metrics
        self._waiting = 0
        self._seconds = 0.02
        self._framing = ThreadPoolExecutor(threads, "framing")
        self._framed: SimpleQueue[_Framed | None] = SimpleQueue()
        self._answering = Thread(target=self._answer_batches, name="answering", daemon=True)
        self._answering.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Answer what has come in, then stop."""
        self._framing.shutdown()
        self._framed.put(None)
        self._answering.join()

    async def answer(self, photo: bytes, whole: bool = False) -> Answered:
        """Return the answers for the faces in a photo, or for a `whole` photo that is a face.

        It must be admitted before.

        Raises:
            PhotoError: the photo cannot be decoded, or has too many pixels.
            DetectorError: the face detector cannot be had.
        """
        job = _Job(photo, whole)
        started = time.perf_counter()
        self._framing.submit(self._frame, job)
        answered = await asyncio.wrap_future(job.answer)
        taken = (time.perf_counter() - started) / max(self._waiting, 1)
        self._seconds += _SMOOTHING * (taken - self._seconds)
        self._metrics.found(answered.faces)
        return answered

    def check_room(self, photos: int = 1) -> None:
        """Check that so many photos may wait.

        Raises:
            ProblemError: they may not; try again later.
        """
        if self._waiting + photos > self._settings.queue:
            raise busy(self._waiting * self._seconds)

    @asynccontextmanager
    async def admitted(self, photos: int) -> AsyncIterator[None]:
        """Keep room for some photos while a request with them is answered.

        Raises:
            ProblemError: there is none; try again later.
        """
        try:
            self.check_room(photos)
        except ProblemError:
            self._metrics.refused()
            raise
        self._wait(photos)
        try:
            yield
        finally:
            self._wait(-photos)

    def _wait(self, photos: int) -> None:
        self._waiting += photos
        self._metrics.queue(photos)

    def _frame(self, job: _Job) -> None:
        if not job.answer.set_running_or_notify_cancel():
            return  # whoever asked has gone, or has waited too long
        try:
            image = decode_photo(job.photo, int(self._settings.megapixels * 1e6))
            if job.whole:
                frames, found = [self.predictor.frame_crop(image)], 1
            else:
                frames, found = self.predictor.frame_faces(image, self._settings.faces)
            self._framed.put(_Framed(job, image.size, frames, found - len(frames)))
        except Exception as error:  # noqa: BLE001 # it belongs to whoever asked, not here
            job.answer.set_exception(error)

    def _answer_batches(self) -> None:
        while (first := self._framed.get()) is not None:
            batch = [first]
            while not self._framed.empty() and self._faces(batch) < self._settings.batch:
                following = self._framed.get()
                if following is None:
                    self._framed.put(None)
                    break
                batch.append(following)
            self._answer_batch(batch)

    def _answer_batch(self, batch: list[_Framed]) -> None:
        frames = [frames for framed in batch for frames in framed.frames]
        self._metrics.batch(len(frames))
        try:
            answers = iter(self.predictor.answer_frames([""] * len(frames), frames))
            for framed in batch:
                faces = [next(answers) for _ in framed.frames]
                framed.job.answer.set_result(Answered(framed.size, faces, framed.left_out))
        except Exception as error:  # noqa: BLE001 # likewise
            for framed in batch:
                if not framed.job.answer.done():
                    framed.job.answer.set_exception(error)

    @staticmethod
    def _faces(batch: list[_Framed]) -> int:
        return sum(len(framed.frames) for framed in batch)
