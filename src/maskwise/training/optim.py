"""The optimizer: which weights it moves, at what rate, and which stay as they are."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from timm.models import group_parameters
from timm.optim import create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from maskwise.config import OptimSettings
from maskwise.errors import SettingsError
from maskwise.models.network import FaceModel

Group = dict[str, Any]
_TIMM_NAMES: Final = {"sgd": "momentum", "nesterov": "sgd"}
"""timm's sgd is Nesterov's."""


def build_optimizer(model: FaceModel, settings: OptimSettings) -> torch.optim.Optimizer:
    """Return the optimizer over groups of weights; those of the heads come last.

    Vectors (biases, scales of norms) and what a backbone asks for are not decayed. With
    `layer_decay` d, layer k of n has the rate d^(n - k) of the last (Bao et al., 2022, 'BEiT',
    appendix). A rate factor of 0 freezes the backbone. With `sam` the optimizer's `step` needs a
    closure that computes the gradients anew (Foret et al., 2021, algorithm 1).
    """
    if settings.backbone_lr_factor:
        stages = backbone_stages(model.backbone) if settings.frozen_stages else []
        model.freeze([name for stage in stages[: settings.frozen_stages] for name in stage])
    else:
        model.backbone.requires_grad_(requires_grad=False)
    groups = list(_groups(model, settings))

    def build(groups: list[Group], **_: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            groups,
            _TIMM_NAMES.get(settings.name, settings.name),
            lr=settings.lr,
            momentum=settings.momentum,
        )
        return optimizer

    if not settings.sam:
        return build(groups)
    from pytorch_optimizer import SAM

    sam: torch.optim.Optimizer = SAM(groups, build, rho=settings.sam)
    return sam


def _groups(model: FaceModel, settings: OptimSettings) -> Iterator[Group]:
    decay, backbone = settings.weight_decay, model.backbone
    undecayed: set[str] = getattr(backbone, "no_weight_decay", set)()
    if settings.layer_decay < 1:
        parts = param_groups_layer_decay(
            backbone, decay, undecayed, layer_decay=settings.layer_decay
        )
    else:
        parts = param_groups_weight_decay(backbone, decay, no_weight_decay_list=undecayed)
    rate = settings.lr * settings.backbone_lr_factor
    for part in parts:
        yield _group(part, rate * part.get("lr_scale", 1.0))
    for part in param_groups_weight_decay(model.heads, decay):
        yield _group(part, settings.lr)
    if model.log_variances is not None:
        yield _group({"params": [model.log_variances], "weight_decay": 0.0}, settings.lr)


def _group(part: Group, rate: float) -> Group:
    return {
        "params": part["params"],
        "weight_decay": part["weight_decay"],
        "lr": rate,
        "initial_lr": rate,
    }


def check_stages(model: FaceModel, settings: OptimSettings) -> None:
    """Check that a model's backbone has the stages that are to be frozen.

    Raises:
        SettingsError: it has not so many, or none that are told apart.
    """
    if not settings.frozen_stages:
        return
    if not hasattr(model.backbone, "group_matcher"):
        raise SettingsError("optim.frozen_stages: this backbone does not tell stages apart; take 0")
    count = len(backbone_stages(model.backbone))
    if settings.frozen_stages >= count:
        raise SettingsError(
            f"optim.frozen_stages: the backbone has {count} stages, so {count - 1} at most; to "
            "freeze it whole, set optim.backbone_lr_factor=0"
        )


def backbone_stages(backbone: nn.Module) -> list[list[str]]:
    """Return the names of the weights of each stage, from the photo on; the stem is the first."""
    matcher = backbone.group_matcher(coarse=True)  # type: ignore[operator]
    return list(group_parameters(backbone, matcher, reverse=False).values())


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to its peak times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
