"""The state of a training run in one file, replaced as a whole.

`last/training.safetensors` holds the tensors of model, weight average and optimizer; its metadata
holds the counters as JSON. One file cannot be half old and half new.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from maskwise.errors import RunError
from maskwise.models.tensors import write_tensors

FILE: Final = "training.safetensors"
_MODEL, _AVERAGE, _OPTIMIZER = "model/", "average/", "optimizer/"


@dataclass
class Progress:
    """The counters of a run. A step is one optimizer step."""

    epoch: int = 0
    """Epochs finished."""
    epoch_step: int = 0
    """Steps taken in the epoch under way."""
    step: int = 0
    """Steps taken in all."""
    loss_sum: float = 0.0
    """Sum of the losses of the steps of the epoch under way."""
    best_score: float | None = None
    best_epoch: int = 0
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    """Figures of each finished epoch."""
    scaler: dict[str, Any] | None = None
    """State of the fp16 loss scaler."""


_PROGRESS: Final = TypeAdapter(Progress)


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: dict[str, torch.Tensor],
    average: dict[str, torch.Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the training state to a folder atomically.

    Raises:
        StorageError: the disk is full; the earlier checkpoint is still there.
    """
    tensors = {_MODEL + key: value for key, value in model.items()}
    tensors |= {_AVERAGE + key: value for key, value in (average or {}).items()}
    # some optimizers count their steps in plain numbers
    state = {
        f"{number}/{key}": value
        for number, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    tensors |= {_OPTIMIZER + k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    numbers = {key: v for key, v in state.items() if not isinstance(v, torch.Tensor)}
    metadata = {
        "progress": json.dumps(asdict(progress)),
        "optimizer": json.dumps({"numbers": numbers, "entries": len(state)}),
    }
    write_tensors(folder / FILE, tensors, metadata)


def load_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    average: torch.nn.Module | None,
    optimizer: torch.optim.Optimizer,
) -> Progress | None:
    """Load the training state into model, average and optimizer; None where there is none.

    Raises:
        RunError: the file is damaged or belongs to another model.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            progress = _PROGRESS.validate_json(metadata["progress"])
            plain = json.loads(metadata["optimizer"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        model.load_state_dict(_below(tensors, _MODEL))
        if average is not None:
            average.load_state_dict(_below(tensors, _AVERAGE))
        if len(progress.history) != progress.epoch or progress.best_epoch > progress.epoch:
            raise ValueError("its counters contradict each other")  # noqa: TRY301
        entries = plain["numbers"] | _below(tensors, _OPTIMIZER)
        if len(entries) != plain["entries"]:
            raise ValueError("a part of the optimizer's state is missing")  # noqa: TRY301
        _load_optimizer(optimizer, entries)
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} cannot be resumed: {error}; start a new run in another folder"
        ) from error
    return progress


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, entries: dict[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in entries.items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
