"""Photos in, answers out: framed by several threads, answered in batches as they come.

A batch is whatever has been framed while the last one was computed, so nobody waits for a batch to
fill, and the more photos come the more are answered at once.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Queue
from threading import Lock, Thread
from typing import Final, Self

from PIL import Image

from maskwise.data.framing import Framed
from maskwise.errors import PhotoError, SettingsError
from maskwise.models.loading import SHIPPED, open_classifier
from maskwise.prediction.predictor import Predictor
from maskwise.prediction.result import Prediction
from maskwise.serving.metrics import Metrics
from maskwise.serving.problems import ProblemError, busy
from maskwise.serving.settings import ServeSettings
from maskwise.transforms.decode import USUAL_FORMATS, decode_photo, photo_size

_SMOOTHING: Final = 0.05
"""Weight of the newest photo in the mean time of one."""
_READY: Final = 2
"""Batches of framed photos that may wait to be answered; then framing waits, too."""
_LARGE: Final = 8_000_000
"""Pixels of a photo of which only one is worked on at a time: it takes some hundred megabytes."""
_STUCK: Final = 2
"""Times `seconds` after which a thread that decodes one photo counts as lost to others."""


@dataclass(frozen=True)
class Answered:
    """What was found in a photo."""

    size: tuple[int, int]
    """Width and height in pixels, upright."""
    faces: list[Prediction]
    left_out: int
    """Faces beyond the limit, which are not answered."""


@dataclass(eq=False)
class _Job:
    photo: bytes
    whole: bool
    """Whether the photo is a cut out face."""
    answer: "Future[Answered]" = field(default_factory=Future)
    begun: bool = False
    """Whether work on it has begun."""
    given_up: bool = False
    """Whether whoever asked has gone: what is left of the work is not done."""


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


def check_finds_faces(answerer: "Answerer") -> None:
    """Check that the model looks for faces.

    Raises:
        ProblemError: it takes photos as they are.
    """
    try:
        answerer.predictor.check_finds_faces()
    except SettingsError as error:
        detail = f"{error} (POST /v1/classify)"
        raise ProblemError(HTTPStatus.NOT_IMPLEMENTED, detail) from error


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
        self._lock = Lock()
        self._waiting = 0
        self._running: dict[_Job, float] = {}
        """Photos that are being framed, and since when."""
        self._framing_seconds = self._answering_seconds = 0.01
        self._most_pixels = int(settings.megapixels * 1e6)
        self._large = ThreadPoolExecutor(1, "large")
        self._framing = ThreadPoolExecutor(threads, "framing")
        self._framed: Queue[_Framed | None] = Queue(_READY * settings.batch)
        self._answering = Thread(target=self._answer_batches, name="answering", daemon=True)
        self._answering.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what is being done, then stop; requests have been answered before."""
        self._framing.shutdown(cancel_futures=True)
        self._large.shutdown(cancel_futures=True)
        self._framed.put(None)
        self._answering.join()

    async def answer(
        self, photos: Sequence[bytes], whole: bool = False
    ) -> list[Answered | PhotoError]:
        """Return what is found in each photo, or in `whole` photos that are faces.

        A photo has its place until work on it has really ended, also if nobody waits for it.

        Raises:
            ProblemError: there is no room for them, or they took too long; try again later.
            DetectorError: the face detector cannot be had.
        """
        self.admit(len(photos))
        jobs = [_Job(photo, whole) for photo in photos]
        for job in jobs:
            self._take_place(1)
            job.answer.add_done_callback(lambda _: self._take_place(-1))
            self._framing.submit(self._frame, job)
        found = await self._answers_of(jobs)
        for one in found:
            if isinstance(one, Answered):
                self._metrics.found(one.faces)
        return found

    async def _answers_of(self, jobs: Sequence[_Job]) -> list[Answered | PhotoError]:
        """Wait for jobs as long as is set, and not so long where none has begun.

        Raises:
            ProblemError: They took too long; try again later.
        """
        loop = asyncio.get_running_loop()
        late = asyncio.timeout(self._settings.seconds)

        def check() -> None:
            if not jobs[0].begun:
                self._metrics.refused()
                late.reschedule(loop.time())

        checking = loop.call_later(self._settings.max_wait, check)
        try:
            async with late:
                return await asyncio.gather(*map(_answer_of, jobs))
        except TimeoutError as error:
            raise busy(self._expected_wait()) from error
        finally:
            checking.cancel()
            for job in jobs:
                job.given_up = True
                if not job.begun:
                    job.photo = b""  # it may lie in a queue for a while

    def _expected_wait(self) -> float:
        """Return the seconds after which work on another photo would begin."""
        framing = self._framing_seconds / self._settings.process_threads
        return self._waiting * max(framing, self._answering_seconds)

    def admit(self, photos: int = 1) -> None:
        """Check that there is room for so many photos of a request, and count it if not.

        Raises:
            ProblemError: there is none; try again later.
        """
        try:
            self.check_room(photos)
        except ProblemError:
            self._metrics.refused()
            raise

    def check_room(self, photos: int = 1) -> None:
        """Check that so many photos may wait, not for too long, and that threads take them.

        Raises:
            ProblemError: they may not; try again later.
        """
        expected = self._expected_wait()
        if self._waiting + photos > self._settings.queue or expected > self._settings.max_wait:
            raise busy(expected)
        late = time.monotonic() - _STUCK * self._settings.seconds
        stuck = sum(began < late for began in list(self._running.values()))
        if stuck >= self._settings.process_threads:
            raise busy(self._settings.seconds)

    def _take_place(self, photos: int) -> None:
        with self._lock:
            self._waiting += photos
        self._metrics.queue(photos)

    def _frame(self, job: _Job) -> None:
        if not job.answer.set_running_or_notify_cancel():
            return  # whoever asked has gone, or has waited too long
        try:
            width, height = photo_size(job.photo, self._most_pixels, USUAL_FORMATS)
        except Exception as error:  # noqa: BLE001 # it belongs to whoever asked, not here
            job.answer.set_exception(error)
            return
        if width * height > _LARGE:
            self._large.submit(self._work, job)
        else:
            self._work(job)

    def _work(self, job: _Job) -> None:
        if job.given_up:
            job.answer.set_exception(TimeoutError())
            return
        began = self._running[job] = time.monotonic()
        job.begun = True
        try:
            framed = self._framed_image(
                job, decode_photo(job.photo, self._most_pixels, USUAL_FORMATS)
            )
            self._framing_seconds = _smoothed(self._framing_seconds, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 # likewise
            job.answer.set_exception(error)
        else:
            self._framed.put(framed)
        finally:
            del self._running[job]

    def _framed_image(self, job: _Job, image: Image.Image) -> _Framed:
        if job.given_up:
            raise TimeoutError
        if job.whole:
            return _Framed(job, image.size, [self.predictor.frame_crop(image)], 0)
        frames, found = self.predictor.frame_faces(image, self._settings.faces)
        return _Framed(job, image.size, frames, found - len(frames))

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
        for framed in batch:
            if framed.job.given_up:
                framed.job.answer.set_exception(TimeoutError())
        batch = [framed for framed in batch if not framed.job.answer.done()]
        frames = [frames for framed in batch for frames in framed.frames]
        began = time.monotonic()
        try:
            answers = iter(self._answers(frames))
            for framed in batch:
                faces = [next(answers) for _ in framed.frames]
                framed.job.answer.set_result(Answered(framed.size, faces, framed.left_out))
        except Exception as error:  # noqa: BLE001 # likewise
            for framed in batch:
                if not framed.job.answer.done():
                    framed.job.answer.set_exception(error)
        taken = (time.monotonic() - began) / max(len(batch), 1)
        for _ in batch:
            self._answering_seconds = _smoothed(self._answering_seconds, taken)

    def _answers(self, frames: list[list[Framed]]) -> list[Prediction]:
        """Return the answers for faces, no more at once than is set: a photo may hold many."""
        answers = []
        for start in range(0, len(frames), self._settings.batch):
            part = frames[start : start + self._settings.batch]
            self._metrics.batch(len(part))
            answers += self.predictor.answer_frames([""] * len(part), part)
        return answers

    @staticmethod
    def _faces(batch: list[_Framed]) -> int:
        return sum(len(framed.frames) for framed in batch)


def _smoothed(mean: float, newest: float) -> float:
    return mean + _SMOOTHING * (newest - mean)


async def _answer_of(job: _Job) -> Answered | PhotoError:
    try:
        return await asyncio.wrap_future(job.answer)
    except PhotoError as error:
        return error
