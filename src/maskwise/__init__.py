"""Maskwise: mask wear, gender and age group from a photo of a face."""

import os
from typing import TYPE_CHECKING

from maskwise.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from maskwise.prediction.predictor import Predictor

# ONNX Runtime from 1.29 on tells its makers of every model that is opened, unless this is set
# before it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["__version__", "load"]


def load(path: "str | Path | None" = None, device: str = "auto") -> "Predictor":
    """Load the model that comes with Maskwise, or one of yours by its path.

    That is a run folder, its `best/` or `last/` folder, an ensemble, or an ONNX file.

    Raises:
        RunError: there is no model, it is damaged, or another version wrote it.
        SettingsError: the device is not to be had.
    """
    from maskwise.prediction.predictor import Predictor

    return Predictor.load(path, device=device)
