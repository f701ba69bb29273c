"""Models of every kind by path: a run folder, a model folder, an ensemble, an ONNX file."""

from pathlib import Path
from typing import Final

from maskwise.errors import RunError
from maskwise.models.classifier import Classifier
from maskwise.models.onnx_classifier import OnnxClassifier

SHIPPED: Final = Path(__file__).parent / "shipped" / "maskwise.onnx"
"""The model that comes with Maskwise."""
_MODEL_FILES: Final = (
    "model.json", "best/model.json", "last/model.json", "ensemble.json", "run.json", "folds.json",
)  # fmt: skip


def names_model(path: Path) -> bool:
    """Return whether a path is that of a model, not of photos: an ONNX file or a model's folder."""
    return path.suffix == ".onnx" or any((path / name).is_file() for name in _MODEL_FILES)


def open_classifier(
    path: Path, partly: bool = False, undecided: bool = False, threads: int = 0
) -> Classifier:
    """Load what answers photos, with its decision unless `undecided`.

    An ONNX file keeps `threads` busy, 0: one a core.

    Raises:
        RunError: there is none, it is damaged, or another version wrote it; it answers some of the
            tasks only, and not `partly` is asked for; or it is no ONNX file and torch is missing.
    """
    if path.suffix == ".onnx":
        return OnnxClassifier.load(path, threads)
    try:
        from maskwise.models.ensemble import load_classifier
    except ModuleNotFoundError as error:
        raise RunError(
            f"{path}: a folder is used with torch, and {error.name} is not installed: pip install "
            "'maskwise[train]', or name an ONNX file of maskwise export"
        ) from error
    return load_classifier(path, partly, undecided)
