"""A model folder: `model.safetensors`, `model.json` and a model card. Data only, no code."""

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file

from maskwise.config import AugmentSettings, Boundaries, ModelSettings
from maskwise.config.base import wrong_values
from maskwise.errors import RunError, listed
from maskwise.labels import TASKS, age_group_text
from maskwise.models.classifier import Sources
from maskwise.models.network import Network, build_network
from maskwise.models.outputs import LOG_VARIANCES
from maskwise.models.tensors import write_tensors
from maskwise.storage import write_json, write_text
from maskwise.transforms.network_input import input_channels
from maskwise.transforms.preprocess import Preprocess
from maskwise.version import __version__

FORMAT: Final = 1
WEIGHTS: Final = "model.safetensors"
_CARD: Final = """# Maskwise model

{backbone} with the {head} head, input {width}x{height}, Maskwise {version}.

From a photo of a face: is a mask worn (wear, incorrect, not_wear), gender (male, female), age
group ({groups}).

- First weights: {pretrained}
- Trained on {photos} photos of the sets {sources}; {validated} photos of other people validated it.
- Validation: {metrics}
- Weights inherit the terms of the photos that they were trained on; the licence of the code does
  not cover them.
- Gender and age group are guesses from looks. Do not decide about a person with them.
"""


class ModelInfo(BaseModel):
    """Everything beside the weights that is needed to use a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = FORMAT
    version: str = __version__
    model: ModelSettings
    labels: dict[str, list[str]] = {task: [*words] for task, words in TASKS.items()}
    task_boundaries: Boundaries
    preprocess: Preprocess
    mean_ages: tuple[float, float, float]
    """Mean training age of each group, in years."""
    pretrained: str
    """Where the first weights came from."""
    data: dict[str, Any] = {}
    """Photos, people and sources that it was trained and validated on."""
    metrics: dict[str, float] = {}
    val_fold: str = "val"
    """The fold of the manifest that validated it."""
    augment: AugmentSettings | None = None
    """The changes to training photos that random views draw from."""

    @property
    def trained_on(self) -> Sources:
        """The sources that it has seen, also through its pretrained weights and its teacher."""
        found = self.data.get("seen_sources", self.data.get("sources"))
        return None if found is None else frozenset(map(str, found))

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.labels != {task: [*words] for task, words in TASKS.items()}:
            raise ValueError("the labels are not those of this version")
        if self.task_boundaries[0] >= self.task_boundaries[1]:
            raise ValueError(f"task_boundaries must rise, not {self.task_boundaries}")
        return self


def save_bundle(folder: Path, weights: dict[str, torch.Tensor], info: ModelInfo) -> None:
    """Write a model folder; each file is replaced as a whole, the weights last.

    What only training uses of the weights is left out.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_json(folder / "model.json", info.model_dump(mode="json"))
    write_text(folder / "README.md", _card(info))
    used = {name: value for name, value in weights.items() if name != LOG_VARIANCES}
    write_tensors(folder / WEIGHTS, used)


def _card(info: ModelInfo) -> str:
    groups = ", ".join(age_group_text(word, info.task_boundaries) for word in TASKS["age_group"])
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in info.metrics.items())
    return _CARD.format(
        backbone=info.model.backbone,
        head=info.model.head,
        width=info.preprocess.width,
        height=info.preprocess.height,
        version=info.version,
        groups=groups,
        pretrained=info.pretrained,
        photos=info.data.get("train_photos", "?"),
        sources=", ".join(info.data.get("sources", [])) or "?",
        validated=info.data.get("val_photos", "?"),
        metrics=metrics or "none yet",
    )


def find_bundle(path: Path) -> Path:
    """Return the model folder meant by a run folder (its `best`) or a model folder.

    Raises:
        RunError: there is none.
    """
    for folder in (path, path / "best", path / "last"):
        if (folder / "model.json").is_file() and (folder / WEIGHTS).is_file():
            return folder
    what = "is no folder" if not path.is_dir() else "holds no finished model yet"
    raise RunError(f"{path} {what}; expected a run folder of `maskwise train`")


def load_bundle(path: Path, partly: bool = False) -> tuple[Network, ModelInfo]:
    """Load a model from a run or model folder.

    Raises:
        RunError: there is none, it is damaged, or another version wrote it; or it answers some of
            the tasks only, and not `partly` is asked for.
    """
    folder = find_bundle(path)
    info = read_info(folder)
    if len(info.model.tasks) < len(TASKS) and not partly:
        raise RunError(
            f"{folder} answers {' and '.join(info.model.tasks)} only, which evaluate can score; to "
            "answer photos, take a model of all tasks"
        )
    size = (info.preprocess.height, info.preprocess.width)
    channels = input_channels(info.preprocess)
    model = build_network(info.model, size, info.task_boundaries, channels)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{folder / WEIGHTS} is damaged: {reason}") from error
    return model.eval(), info


def read_info(folder: Path) -> ModelInfo:
    """Return what a model folder says beside its weights.

    Raises:
        RunError: it is damaged, or another version wrote it.
    """
    path = folder / "model.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise RunError(
            f"{path} has format {found!r}, this is Maskwise {__version__} with format {FORMAT}; "
            "use the Maskwise version that wrote it"
        )
    try:
        return ModelInfo.model_validate(values)
    except ValidationError as error:
        raise RunError(f"{path} is damaged:\n{listed(wrong_values(error))}") from error
