"""Maskwise: mask wear, gender and age group from a photo of a face."""

from typing import TYPE_CHECKING

from maskwise.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from maskwise.prediction.predictor import Predictor

__all__ = ["__version__", "load"]


def load(path: "str | Path", device: str = "auto") -> "Predictor":
    """Load a trained model from a run folder, or from its `best/` or `last/` folder.

    Raises:
        RunError: the folder holds no model, a damaged one, or one of another version.
        SettingsError: the device is not to be had.
    """
    from maskwise.prediction.predictor import Predictor  # torch is imported here only

    return Predictor.load(path, device=device)
