"""The networks: a backbone with its heads, or one such network for each task."""

from typing import Self

import torch
from torch import nn

from maskwise.config import Boundaries, ModelSettings
from maskwise.labels import TASK_BOUNDARIES, TASKS
from maskwise.models.backbone import build_backbone, feature_count
from maskwise.models.heads import Heads
from maskwise.models.outputs import LOG_VARIANCES, Outputs


class FaceModel(nn.Module):
    """A backbone and its heads; `outputs.py` says what it gives.

    With `dropout_samples` k it gives, in training, k answers for each photo: all photos, and all
    again (Inoue, 2019, 'Multi-Sample Dropout', section 3.1). With `uncertainty` it also gives
    learnt log variances of the three tasks. While `backbone_frozen` the backbone stays as it is.
    """

    def __init__(
        self,
        settings: ModelSettings,
        size: tuple[int, int],
        boundaries: Boundaries = TASK_BOUNDARIES,
        uncertainty: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(
            settings.backbone, size, settings.drop_path, channels, settings.pooled_stages
        )
        self.heads = Heads(feature_count(self.backbone), settings, boundaries)
        self.backbone_frozen = False
        self._samples = settings.dropout_samples
        self._still: list[nn.Module] = []
        self.log_variances = nn.Parameter(torch.zeros(len(TASKS))) if uncertainty else None

    def forward(self, photos: torch.Tensor) -> Outputs:
        """Return the outputs for normalised photos (N, channels, height, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.backbone_frozen):
            features = self.backbone(photos)
        if self.training and self._samples > 1:
            features = features.repeat(self._samples, 1)
        outputs: Outputs = self.heads(features)
        if self.log_variances is not None:
            # a weight itself as an output would be counted twice by data-parallel training
            outputs[LOG_VARIANCES] = self.log_variances.clone()
        return outputs

    def freeze(self, weights: list[str]) -> None:
        """Keep weights of the backbone, by name, and the statistics that belong to them."""
        for name in weights:
            self.backbone.get_parameter(name).requires_grad = False
        # weights of the backbone itself, such as position embeddings, have no module to freeze
        owners = {name.rpartition(".")[0] for name in weights} - {""}
        self._still = [self.backbone.get_submodule(name) for name in sorted(owners)]

    def train(self, mode: bool = True) -> Self:
        """Set training mode for everything that is not frozen."""
        super().train(mode)
        for module in [self.backbone] if self.backbone_frozen else self._still:
            module.eval()
        return self


class TaskModels(nn.Module):
    """A network for each task; together they answer like one."""

    def __init__(
        self,
        settings: ModelSettings,
        size: tuple[int, int],
        boundaries: Boundaries = TASK_BOUNDARIES,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict(
            {
                task: FaceModel(part_settings(settings, task), size, boundaries, channels=channels)
                for task in settings.tasks
            }
        )

    def forward(self, photos: torch.Tensor) -> Outputs:
        """Return the outputs for normalised photos (N, channels, height, width)."""
        return {name: value for part in self.tasks.values() for name, value in part(photos).items()}


Network = FaceModel | TaskModels


def part_settings(settings: ModelSettings, task: str) -> ModelSettings:
    """Return the settings of the network of one task among networks apart."""
    return settings.model_copy(update={"head": "multi", "tasks": (task,)})


def build_network(
    settings: ModelSettings,
    size: tuple[int, int],
    boundaries: Boundaries = TASK_BOUNDARIES,
    channels: int = 3,
) -> Network:
    """Return the network that settings describe, with random weights, as it answers photos.

    It takes photos (N, channels, height, width) of `size` (height, width).
    """
    if settings.head == "tasks":
        return TaskModels(settings, size, boundaries, channels)
    return FaceModel(settings, size, boundaries, channels=channels)
