"""Heads on pooled features, and the model that joins them to a backbone."""

from typing import Final

import torch
from torch import nn

from maskwise.config import ModelSettings
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.backbone import build_backbone, feature_count

JOINT: Final = "joint"
"""Name of the one output of the single head."""
Logits = dict[str, torch.Tensor]


class FaceModel(nn.Module):
    """A backbone and its heads.

    With the `multi` head the outputs are 'mask' (N, 3), 'gender' (N, 2) and 'age_group' (N, 3);
    with the `single` head 'joint' (N, 18).
    """

    def __init__(self, settings: ModelSettings, size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, size, settings.drop_path)
        features = feature_count(self.backbone)
        outputs = (
            {JOINT: NUM_CLASSES}
            if settings.head == "single"
            else {task: len(words) for task, words in TASKS.items()}
        )
        self.heads = nn.ModuleDict(
            {name: _head(features, classes, settings) for name, classes in outputs.items()}
        )

    def forward(self, photos: torch.Tensor) -> Logits:
        """Return logits by output name for normalised photos (N, 3, height, width)."""
        features = self.backbone(photos)
        return {name: head(features) for name, head in self.heads.items()}


def _head(features: int, classes: int, settings: ModelSettings) -> nn.Module:
    if not settings.hidden:
        return nn.Linear(features, classes)
    return nn.Sequential(
        nn.Linear(features, settings.hidden),
        nn.GELU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, classes),
    )


def task_log_probabilities(logits: Logits) -> Logits:
    """Return log probabilities per task: 'mask' (N, 3), 'gender' (N, 2), 'age_group' (N, 3).

    Those of the single head are sums over its classes.
    """
    if JOINT not in logits:
        return {task: torch.log_softmax(logits[task].float(), dim=1) for task in TASKS}
    cube = torch.log_softmax(logits[JOINT].float(), dim=1).view(-1, 3, 2, 3)
    return {
        "mask": torch.logsumexp(cube, dim=(2, 3)),
        "gender": torch.logsumexp(cube, dim=(1, 3)),
        "age_group": torch.logsumexp(cube, dim=(1, 2)),
    }


def joint_log_probabilities(logits: Logits) -> torch.Tensor:
    """Return log probabilities (N, 18) of the classes; heads apart count as independent."""
    if JOINT in logits:
        return torch.log_softmax(logits[JOINT].float(), dim=1)
    tasks = task_log_probabilities(logits)
    joint = (
        tasks["mask"][:, :, None, None]
        + tasks["gender"][:, None, :, None]
        + tasks["age_group"][:, None, None, :]
    )
    return joint.flatten(1)
