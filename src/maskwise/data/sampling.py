"""Which photos an epoch holds, and how often, against imbalance."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskwise.config import SampleBy, TrainSettings
from maskwise.data.source_names import base_source
from maskwise.data.targets import Codes, class_codes
from maskwise.labels import TASKS, UNKNOWN
from maskwise.transforms.augment.numbers import Rows, numbered_rows

Sources = NDArray[np.object_]
"""(rows,) the set that each row of a manifest is from."""
_POWER: Final = {"even": 1.0, "sqrt": 0.5}


class Sampler:
    """Gives the photos of each epoch; they follow from seed and epoch alone."""

    def __init__(
        self, settings: TrainSettings, codes: Codes, sources: Sources, train_rows: Rows
    ) -> None:
        self._settings = settings
        self._rows = np.repeat(train_rows, _repeats(settings, codes, sources, train_rows))
        self._chances = (
            None if settings.sampling == "all" else _chances(settings, codes, sources, self._rows)
        )

    def __len__(self) -> int:
        """Return the photos of an epoch."""
        return self._settings.epoch_photos or len(self._rows)

    def epoch_rows(self, epoch: int) -> Rows:
        """Return the rows of an epoch, in no order: all, repeated as set, or drawn by class.

        Epochs of fewer photos than there are take turns, so that each comes before any comes again.
        A row that comes again has another number each time, of which `photo_rows` is the row; so
        its photo is changed in another way.
        """
        return numbered_rows(self._plain_rows(epoch))

    def _plain_rows(self, epoch: int) -> Rows:
        if self._chances is not None:
            generator = np.random.default_rng([self._settings.seed, epoch, 1])
            return generator.choice(self._rows, len(self), p=self._chances)
        if not self._settings.epoch_photos:
            return self._rows
        first, last = epoch * len(self), (epoch + 1) * len(self)
        passes = range(first // len(self._rows), -(-last // len(self._rows)))
        shuffled = np.concatenate([self._shuffled(number) for number in passes])
        start = first - passes[0] * len(self._rows)
        return shuffled[start : start + len(self)]

    def _shuffled(self, number: int) -> Rows:
        return np.random.default_rng([self._settings.seed, number, 2]).permutation(self._rows)


def _repeats(settings: TrainSettings, codes: Codes, sources: Sources, rows: Rows) -> Rows:
    """Return (N,) how often each photo stands in an epoch."""
    times = np.ones(len(rows), dtype=np.int64)
    for word, count in settings.repeat.items():
        task = next(task for task, words in TASKS.items() if word in words)
        labelled = codes[task][rows] == TASKS[task].index(word)
        times[labelled] = np.maximum(times[labelled], count)
    for name, count in settings.repeat_sources.items():
        within = sources[rows] == name
        times[within] = np.maximum(times[within], count)
    return times


def _chances(
    settings: TrainSettings, codes: Codes, sources: Sources, rows: Rows
) -> NDArray[np.float64]:
    """Return (N,) the chance of each row: its class's count to the power of -1 or -1/2.

    A photo without the label has the mean chance of those with it; within sources, photos without
    the label are a class of their source. A photo counts once in its class, but each of its N rows
    has its chance: of a photo that is repeated they add up.
    """
    classes = _sampled_classes(settings.sample_by, codes, sources)
    once = classes[np.unique(rows)]
    classes = classes[rows]
    known = classes != UNKNOWN
    counts = np.bincount(once[once != UNKNOWN], minlength=1).astype(np.float64)
    chances = np.ones(len(rows))
    if known.any():
        chances[known] = counts[classes[known]] ** -_POWER[settings.sampling]
        chances[~known] = chances[known].mean()
    chances /= chances.sum()
    return chances


def _sampled_classes(by: SampleBy, codes: Codes, sources: Sources) -> NDArray[np.int64]:
    """Return (rows,) the class that sampling counts each row of a manifest to, or `UNKNOWN`."""
    if by == "joint":
        return class_codes(codes)
    if not by.startswith("source"):
        return codes[by]
    names = [base_source(str(name)) for name in sources]
    classes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    for task in TASKS:
        if task in by:
            classes = classes * (len(TASKS[task]) + 1) + codes[task] + 1
    return classes
