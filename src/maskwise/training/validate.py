"""Validation: every photo answered once, whatever the number of processes."""

import time
from typing import Final

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image

from maskwise.config import Settings
from maskwise.data.batches import DeviceFrames, Rows
from maskwise.data.sheets import Tile
from maskwise.evaluation.scores import validation_scores
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.inference import model_probabilities
from maskwise.models.network import Network
from maskwise.models.probabilities import Probabilities, empty_probabilities
from maskwise.training.data import TrainingData
from maskwise.transforms.network_input import middle
from maskwise.transforms.preprocess import Preprocess

_BATCH: Final = 128


class Validator:
    """Answers and scores the validation photos of a run."""

    def __init__(
        self,
        settings: Settings,
        preprocess: Preprocess,
        data: TrainingData,
        reader: DeviceFrames,
        accelerator: Accelerator,
    ) -> None:
        self._settings = settings
        self._preprocess = preprocess
        self._data = data
        self._reader = reader
        self._accelerator = accelerator
        self._last: Probabilities | None = None

    def score(self, model: Network) -> dict[str, float]:
        """Return the figures of a model over all validation photos, of all processes.

        Raises:
            FloatingPointError: the weights give no numbers.
        """
        start = time.perf_counter()
        whole = self._answers(model)
        if not np.isfinite(whole.joint).all():
            raise FloatingPointError
        self._last = whole
        rows, data = self._data.val_rows, self._data
        codes = {task: values[rows] for task, values in data.task_codes.items()}
        figures = validation_scores(codes, whole.joint, whole.tasks, self._settings.trained_tasks)
        errors = np.abs(whole.ages - data.ages[rows])
        if np.isfinite(errors).any():
            figures["age_mean_absolute_error"] = float(np.nanmean(errors))
        return {**figures, "val_seconds": round(time.perf_counter() - start, 2)}

    def worst_mistakes(self, count: int) -> list[Tile]:
        """Return pictures of the most confident wrong answers of the last scoring, of any task."""
        if self._last is None:
            return []
        rows, wrong = self._data.val_rows, []
        for task, words in TASKS.items():
            truth = self._data.task_codes[task][rows]
            answers = self._last.tasks[task].argmax(axis=1)
            sure = self._last.tasks[task].max(axis=1)
            wrong += [
                (float(sure[place]), place, f"{words[truth[place]]}, not {words[answers[place]]}")
                for place in np.flatnonzero((truth != UNKNOWN) & (truth != answers)).tolist()
            ]
        worst = sorted(wrong, reverse=True)[:count]
        if not worst:
            return []
        places = rows[[place for _, place, _ in worst]]
        frames = next(iter(self._reader.batches([places])))
        pixels = middle(frames, self._preprocess.spare).cpu().numpy()
        return [
            (Image.fromarray(picture[..., :3]), f"{text} {sure:.2f}")
            for picture, (sure, _, text) in zip(pixels, worst, strict=True)
        ]

    def _answers(self, model: Network) -> Probabilities:
        rows = self._data.val_rows
        place, count = self._accelerator.process_index, self._accelerator.num_processes
        mine = np.arange(len(rows))[place::count]
        chunks = np.array_split(mine, max(1, -(-len(mine) // _BATCH)))
        chunks = [chunk for chunk in chunks if len(chunk)]
        answers = model_probabilities(
            model,
            self._reader.batches([rows[chunk] for chunk in chunks]),
            self._preprocess,
            self._settings.train.amp,
        )
        return assembled(len(rows), gather_object(list(zip(chunks, answers, strict=True))))


def assembled(count: int, pieces: list[tuple[Rows, Probabilities]]) -> Probabilities:
    """Put the pieces of all processes into one; each photo must come exactly once."""
    whole = empty_probabilities(count)
    times = np.zeros(count, dtype=np.int64)
    for rows, piece in pieces:
        whole.joint[rows] = piece.joint
        whole.ages[rows] = piece.ages
        for task, values in piece.tasks.items():
            whole.tasks[task][rows] = values
        times[rows] += 1
    if not (times == 1).all():
        raise RuntimeError(f"{int((times != 1).sum())} photos were not answered exactly once")
    return whole
