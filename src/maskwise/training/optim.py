"""The optimizer and its schedule."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from maskwise.config import OptimSettings
from maskwise.models.heads import FaceModel


def build_optimizer(model: FaceModel, settings: OptimSettings) -> torch.optim.AdamW:
    """Return AdamW over four groups: backbone and heads, with and without weight decay.

    Vectors (biases, scales of norms) are not decayed. A rate factor of 0 freezes the backbone.
    """
    rates = {
        "backbone": settings.lr * settings.backbone_lr_factor,
        "heads": settings.lr,
    }
    if not settings.backbone_lr_factor:
        model.backbone.requires_grad_(False)
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
) -> LRScheduler:
    """Return a one-cycle schedule over `steps` optimizer steps, `done` of them taken already.

    Cosine rise from a 25th of the peak and cosine fall, per step (Smith & Topin, 2019,
    'Super-Convergence', as fastai and torch do it).
    """
    schedule = OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        # the schedule also counts the step after the last
        total_steps=steps + 1,
        pct_start=settings.warmup_share,
        div_factor=25.0,
        final_div_factor=1 / (25.0 * max(settings.final_factor, 1e-8)),
        cycle_momentum=False,
    )
    for _ in range(done):
        optimizer._opt_called = True  # type: ignore[attr-defined] # torch warns otherwise
        schedule.step()
    return schedule
