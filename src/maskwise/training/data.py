"""The photos and labels of a run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskwise.data.batches import Rows, epoch_steps
from maskwise.data.frames import FrameSource
from maskwise.data.sampling import Sampler
from maskwise.data.targets import AgeRanges, Ages, Codes


@dataclass(frozen=True)
class TrainingData:
    """Frames and labels by row number, and which rows do what."""

    frames: FrameSource
    train_codes: Codes
    """What training is told."""
    train_ages: Ages
    """Likewise, in years."""
    train_age_ranges: AgeRanges
    """Likewise, first and last year, where the age itself is unknown."""
    task_codes: Codes
    """What validation is scored by."""
    ages: Ages
    train_rows: Rows
    """Each once; `sampler` says how often they come."""
    val_rows: Rows
    sampler: Sampler
    batch_size: int
    taught: NDArray[np.float32] | None = None
    """(N, 18) probabilities of a teacher, NaN where it says nothing; None: there is none."""

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return epoch_steps(len(self.sampler), self.batch_size)
