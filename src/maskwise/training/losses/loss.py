"""The loss of a batch: of all outputs, over what is known of their photos."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.config import Settings, Terms
from maskwise.data.targets import Codes, class_codes
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.outputs import (
    AGE,
    JOINT,
    LOG_VARIANCES,
    YEARS,
    Outputs,
    joint_log_probabilities,
)
from maskwise.models.probabilities import task_sums
from maskwise.training.losses.ages import range_loss, regression_loss, years_loss
from maskwise.training.losses.class_weights import class_weights
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.taught import taught_loss
from maskwise.training.losses.terms import TERMS, Scored


class Loss:
    """The weighted sum, over outputs, of means over the known labels of a batch.

    A process that computes a part of a batch divides by what is known in the whole batch: the
    parts then sum to the loss of the batch, however it is cut.
    """

    def __init__(
        self,
        settings: Settings,
        codes: Codes,
        train_rows: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self._settings = settings.loss
        self._distill = settings.distill
        self._samples = settings.model.dropout_samples
        self._cosine_scale = settings.model.cosine_scale
        self._device = device
        of_train = {task: codes[task][train_rows] for task in TASKS}
        sizes = {task: len(words) for task, words in TASKS.items()} | {JOINT: NUM_CLASSES}
        of_train[JOINT] = class_codes(of_train)
        self._class_weights = {
            output: class_weights(of_train[output], size, settings.loss, output).to(device)
            for output, size in sizes.items()
        }

    def __call__(self, outputs: Outputs, labels: Labels, batch: Labels) -> torch.Tensor:
        """Return the part of the batch's loss that some photos add.

        `outputs` and `labels` are of those photos, `batch` of the whole batch.
        """
        outputs = {name: output.float() for name, output in outputs.items()}
        copies = labels.repeated(self._samples, int(labels.photo.max(initial=-1)) + 1)
        # a batch without any known label still needs a gradient, of zero
        total = torch.stack([0.0 * output.sum() for output in outputs.values()]).sum()
        share = float(labels.weight.sum() / batch.weight.sum())
        for task, value in self._losses(outputs, copies, batch):
            known = task in TASKS and bool(batch.known(task).any())
            if LOG_VARIANCES in outputs and known:
                total = total + _uncertain(value, outputs[LOG_VARIANCES], task, share)
            else:
                total = total + value
        return total

    def _losses(
        self, outputs: Outputs, labels: Labels, batch: Labels
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the part's share of each task's loss, and of that of the 18 classes."""
        settings = self._settings
        if JOINT in outputs:
            yield JOINT, self._sum(JOINT, outputs[JOINT], settings.terms, labels, batch)
            yield JOINT, self._taught(JOINT, outputs[JOINT], labels, batch)
            yield "age_group", self._years(outputs, labels, batch)
            return
        for task, weight in settings.task_weights.model_dump().items():
            if not weight or task not in outputs:
                continue
            value = self._sum(task, outputs[task], settings.terms_of(task), labels, batch)
            value = value + self._taught(task, outputs[task], labels, batch)
            if task == "age_group":
                value = value + self._years(outputs, labels, batch)
            yield task, weight * value
        if settings.joint:
            joint = joint_log_probabilities(outputs)
            yield JOINT, self._sum(JOINT, joint, settings.joint, labels, batch)

    def _sum(
        self, output: str, scores: torch.Tensor, terms: Terms, labels: Labels, batch: Labels
    ) -> torch.Tensor:
        """Return the weighted sum of an output's losses, each a mean over the batch's labels."""
        known = float(batch.weight[batch.known(output)].sum())
        if not known:
            return 0.0 * scores.sum()
        allowed = torch.from_numpy(labels.allowed(output)).to(self._device)
        weight = labels.weight * self._own_share(labels)
        share = torch.from_numpy(weight * labels.known(output)).to(self._device)
        # a label known in part has no class whose weight it could take
        weights = torch.where(
            allowed.sum(dim=1) == 1, (allowed * self._class_weights[output]).sum(dim=1), 1.0
        )
        photo = torch.from_numpy(labels.photo).to(self._device)
        scored = Scored(scores[photo], allowed, share * weights, self._settings, self._cosine_scale)
        values = [weight * TERMS[term](scored) for term, weight in terms.items()]
        return torch.stack(values).sum() / known

    def _own_share(self, labels: Labels) -> NDArray[np.float32]:
        """Return (m,) the share of the loss that an entry's own labels have beside a teacher."""
        return np.where(labels.is_taught, 1 - self._distill.weight, 1.0).astype(np.float32)

    def _taught(
        self, output: str, scores: torch.Tensor, labels: Labels, batch: Labels
    ) -> torch.Tensor:
        """Return the teacher's share of an output's loss: a mean over all photos of the batch."""
        rows = np.flatnonzero(labels.is_taught)
        if labels.taught is None or not len(rows):
            return torch.zeros((), device=self._device)
        joint = labels.taught[rows]
        wanted = joint if output == JOINT else task_sums(joint)[output]
        photo = torch.from_numpy(labels.photo[rows]).to(self._device)
        weight = torch.from_numpy(labels.weight[rows]).to(self._device)
        each = taught_loss(
            scores[photo], torch.from_numpy(wanted).to(self._device), self._distill.temperature
        )
        return self._distill.weight * (each * weight).sum() / float(batch.weight.sum())

    def _years(self, outputs: Outputs, labels: Labels, batch: Labels) -> torch.Tensor:
        """Return the loss of ages and of ranges of ages, where a model predicts years.

        It is a mean over the photos of the batch that carry either.
        """
        total = torch.zeros((), device=self._device)
        in_batch = float(batch.weight[batch.has_age | batch.has_age_range].sum())
        if not in_batch:
            return total
        settings = self._settings
        for known, values, loss in (
            (labels.has_age, labels.ages, partial(years_loss, sigma=settings.age_sigma)),
            (labels.has_age_range, labels.age_ranges, range_loss),
        ):
            photo = torch.from_numpy(labels.photo[known]).to(self._device)
            ages = torch.from_numpy(values[known]).to(self._device)
            own = (labels.weight * self._own_share(labels))[known]
            weight = torch.from_numpy(own).to(self._device) / in_batch
            if YEARS in outputs:
                each = loss(outputs[YEARS][photo], ages)
                total = total + settings.age_distribution * (each * weight).sum()
            if AGE in outputs:
                each = regression_loss(outputs[AGE][photo], ages)
                total = total + settings.age_regression * (each * weight).sum()
        return total


def _uncertain(
    value: torch.Tensor, log_variances: torch.Tensor, task: str, share: float
) -> torch.Tensor:
    """Return exp(-s) L + s / 2 with s the learnt log variance of a task.

    Kendall, Gal & Cipolla, 2018, 'Multi-Task Learning Using Uncertainty', equation 10. The second
    part belongs to the batch, so a part of the batch adds its `share` of it.
    """
    s = log_variances[list(TASKS).index(task)]
    return torch.exp(-s) * value + share * s / 2
