"""Backbones whose features are pooled from several stages, not from the last map alone.

Earlier maps are more general: of frozen weights, heads that see them, too, tell ages better than
from the last map (docs/results-archive.md). Lin, Chen and Yan pool maps so (2014, 'Network in
Network', section 3.2); heads over several layers are of Hariharan et al., 2015, 'Hypercolumns'.
"""

from typing import Any

import torch
from torch import nn

from maskwise.errors import SettingsError


class _PooledStages(nn.Module):
    """Mixed into a backbone's class: features of its last stages, those of the last one first."""

    pooled_stages: int

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        last, earlier = last_map(self, photos)
        return pooled(self, last, earlier)


def pool_stages(backbone: nn.Module, stages: int) -> None:
    """Let a timm backbone give the pooled features of its last stages, in place.

    Raises:
        SettingsError: it does not give maps of its stages, or has fewer.
    """
    if not hasattr(backbone, "forward_intermediates"):
        raise SettingsError(
            "model.pooled_stages: this backbone gives no maps of its stages; take 1"
        )
    known = len(backbone.feature_info)  # type: ignore[arg-type]
    if stages > known:
        raise SettingsError(f"model.pooled_stages: the backbone has {known}, and {stages} are set")
    kind = type(backbone)
    # the class is swapped, not the module: names of weights stay as they are
    backbone.__class__ = type(kind.__name__, (_PooledStages, kind), {"pooled_stages": stages})


def earlier_channels(backbone: nn.Module) -> list[int]:
    """Return the channels of each pooled stage before the last, the earliest first."""
    stages = getattr(backbone, "pooled_stages", 1)
    info: Any = backbone.feature_info if stages > 1 else []
    return [info[place]["num_chs"] for place in range(len(info) - stages, len(info) - 1)]


def last_map(backbone: nn.Module, photos: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the last features before they are pooled, and earlier stages' pooled (N, channels)."""
    stages = getattr(backbone, "pooled_stages", 1)
    model: Any = backbone
    if stages == 1:
        return model.forward_features(photos), []
    last, maps = model.forward_intermediates(photos, indices=stages, output_fmt="NCHW")
    return last, [values.mean(dim=(2, 3)) for values in maps[:-1]]


def pooled(backbone: nn.Module, last: torch.Tensor, earlier: list[torch.Tensor]) -> torch.Tensor:
    """Return the features (N, channels) that heads see, from what `last_map` gives."""
    model: Any = backbone
    return torch.cat([model.forward_head(last, pre_logits=True), *earlier], dim=1)
