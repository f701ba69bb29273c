"""The optimizer and its schedule."""

import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from maskwise.config import OptimSettings
from maskwise.models.heads import FaceModel

_START_FACTOR: Final = 1 / 25


def build_optimizer(model: FaceModel, settings: OptimSettings) -> torch.optim.AdamW:
    """Return AdamW over four groups: backbone and heads, with and without weight decay.

    Vectors (biases, scales of norms) are not decayed. A rate factor of 0 freezes the backbone.
    """
    rates = {
        "backbone": settings.lr * settings.backbone_lr_factor,
        "heads": settings.lr,
    }
    if not settings.backbone_lr_factor:
        model.backbone.requires_grad_(requires_grad=False)
    groups: list[dict[str, Any]] = []
    for name, rate in rates.items():
        for decay, parameters in _by_decay(getattr(model, name), settings.weight_decay):
            groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def _by_decay(module: nn.Module, decay: float) -> Iterator[tuple[float, list[nn.Parameter]]]:
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim > 1]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    for value, parameters in ((decay, matrices), (0.0, vectors)):
        if parameters:
            yield value, parameters


def build_schedule(
    optimizer: torch.optim.Optimizer, settings: OptimSettings, steps: int, done: int = 0
) -> LambdaLR:
    """Return a one-cycle schedule over `steps` optimizer steps, `done` of them taken already."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return LambdaLR(optimizer, lambda step: one_cycle(step, steps, settings), last_epoch=done - 1)


def one_cycle(step: int, steps: int, settings: OptimSettings) -> float:
    """Return the rate before step `step` (from 0) as a share of the peak.

    A cosine rises from a 25th to 1 during the warm-up and another falls to `final_factor` at the
    last step (Smith & Topin, 2019, 'Super-Convergence', in the cosine form of fastai).
    """
    warm = settings.warmup_share * (steps - 1)
    if step < warm:
        return _cosine(_START_FACTOR, 1.0, step / warm)
    rest = (steps - 1) - warm
    return _cosine(1.0, settings.final_factor, min((step - warm) / rest, 1.0) if rest else 1.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
