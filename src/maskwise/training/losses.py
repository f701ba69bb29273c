"""Cross-entropy over known labels, summed so that parts of a batch add up to the whole."""

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.config import LossSettings
from maskwise.data.targets import Codes, class_codes
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN
from maskwise.models.heads import JOINT, Logits

Targets = dict[str, torch.Tensor]


class Loss:
    """The weighted sum over tasks of the mean cross-entropy over the known labels of a batch.

    A process that computes a part of a batch divides by the number of known labels in the whole
    batch: the parts then sum to the loss of the batch, however it is cut.
    """

    def __init__(
        self,
        settings: LossSettings,
        codes: Codes,
        train_rows: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self._settings = settings
        self._task_weights = settings.task_weights.model_dump()
        self._codes = codes
        self._joint_codes = class_codes(codes)
        self._class_weights = {
            task: class_weights(codes[task][train_rows], len(words), settings.class_weights).to(
                device
            )
            for task, words in TASKS.items()
        }
        self._joint_weights = class_weights(
            self._joint_codes[train_rows], NUM_CLASSES, settings.class_weights
        ).to(device)
        self._device = device

    def __call__(
        self, logits: Logits, rows: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        """Return the part of the batch's loss that the photos `rows` of the `batch` add."""
        if JOINT in logits:
            return self._joint(logits[JOINT], rows, batch)
        total = torch.zeros((), device=self._device)
        for task, weight in self._task_weights.items():
            known = int((self._codes[task][batch] != UNKNOWN).sum())
            if weight and known:
                target = torch.from_numpy(self._codes[task][rows]).to(self._device)
                total = total + weight / known * torch.nn.functional.cross_entropy(
                    logits[task].float(),
                    target,
                    weight=self._class_weights[task],
                    ignore_index=UNKNOWN,
                    reduction="sum",
                    label_smoothing=self._settings.label_smoothing,
                )
        # a batch without any known label still needs a gradient, of zero
        return total + sum(0.0 * output.sum() for output in logits.values())

    def _joint(
        self, logits: torch.Tensor, rows: NDArray[np.int64], batch: NDArray[np.int64]
    ) -> torch.Tensor:
        """Return the negative log of the probability of all classes that the labels allow.

        With three known labels that is the cross-entropy of one class; with none it is 0.
        """
        known = int(self._any_known(batch).sum())
        allowed = allowed_classes({task: self._codes[task][rows] for task in TASKS})
        target = torch.from_numpy(allowed).to(self._device)
        log_p = torch.log_softmax(logits.float(), dim=1)
        each = -torch.logsumexp(log_p.masked_fill(~target, -torch.inf), dim=1)
        smoothing = self._settings.label_smoothing
        each = (1 - smoothing) * each - smoothing * log_p.mean(dim=1)
        joint = torch.from_numpy(self._joint_codes[rows]).to(self._device)
        weight = torch.where(joint == UNKNOWN, 1.0, self._joint_weights[joint.clamp(min=0)])
        counted = torch.from_numpy(self._any_known(rows)).to(self._device)
        return (each * weight * counted).sum() / max(known, 1)

    def _any_known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        each = [self._codes[task][rows] != UNKNOWN for task in TASKS]
        known: NDArray[np.bool_] = np.any(each, axis=0)
        return known


def allowed_classes(codes: Codes) -> NDArray[np.bool_]:
    """Return (N, 18): whether a class agrees with the known labels of each photo."""
    grids = np.meshgrid(*[np.arange(len(words)) for words in TASKS.values()], indexing="ij")
    agrees = [
        (codes[task][:, None] == UNKNOWN) | (codes[task][:, None] == grid.ravel()[None, :])
        for task, grid in zip(TASKS, grids, strict=True)
    ]
    allowed: NDArray[np.bool_] = np.logical_and.reduce(agrees)
    return allowed


def class_weights(codes: NDArray[np.int64], classes: int, kind: str) -> torch.Tensor:
    """Return a weight per class, with a mean of 1 over the photos; absent classes weigh 1."""
    counts = np.bincount(codes[codes != UNKNOWN], minlength=classes).astype(np.float64)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0)
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    weights = np.where(counts > 0, weights / (mean or 1), 1)
    return torch.from_numpy(weights.astype(np.float32))
