"""The sources that a model has seen, also through its pretrained weights and its teacher."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from maskwise.config import BUNDLED, Settings
from maskwise.errors import RunError
from maskwise.models.bundle import find_bundle, read_info
from maskwise.models.classifier import Sources, joined_sources
from maskwise.models.ensemble import is_ensemble, read_ensemble
from maskwise.models.loading import SHIPPED
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.storage import write_json

_TEACHER: Final = "teacher.json"


def seen_sources(own: Iterable[str], settings: Settings, folder: Path | None = None) -> Sources:
    """Return the sources that a run sees: its own, and those behind its weights and its teacher.

    Weights that are no model of Maskwise (from timm, a package or a file of weights) have no
    sources. Those of a teacher's table of probabilities are not known.

    Args:
        own: The sources of the training photos.
        settings: The settings of the run.
        folder: The run folder, which may hold the sources of a teacher that is gone by now.

    Raises:
        RunError: The pretrained model or the teacher is damaged.
    """
    return joined_sources([frozenset(own), _pretrained(settings), _teacher(settings, folder)])


def keep_teacher_sources(folder: Path, settings: Settings) -> None:
    """Write the sources of the teacher into the run folder: a resumed run needs no teacher."""
    seen = _teacher(settings, None)
    write_json(folder / _TEACHER, {"trained_on": None if seen is None else sorted(seen)})


def model_sources(path: Path) -> Sources:
    """Return the sources that a run folder, a model folder, an ensemble or an ONNX file has seen.

    Raises:
        RunError: There is no model, or it is damaged.
    """
    if path.suffix == ".onnx":
        return OnnxClassifier.load(path).trained_on
    if is_ensemble(path):
        count = len(read_ensemble(path).members)
        return joined_sources(
            model_sources(path / "members" / str(number)) for number in range(count)
        )
    return read_info(find_bundle(path)).trained_on


def _pretrained(settings: Settings) -> Sources:
    if settings.model.pretrained == BUNDLED:
        return model_sources(SHIPPED)
    path = Path(settings.model.pretrained).expanduser()
    if settings.model.pretrained in ("none", "auto", "hub") or not path.is_dir():
        return frozenset()
    try:
        return model_sources(path)
    except RunError:  # a folder of weights without a model
        return frozenset()


def _teacher(settings: Settings, folder: Path | None) -> Sources:
    if not settings.distill.teacher:
        return frozenset()
    kept = None if folder is None else folder / _TEACHER
    if kept is not None and kept.is_file():
        try:
            found = json.loads(kept.read_text(encoding="utf-8"))["trained_on"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{kept} is damaged: {error}") from error
        return None if found is None else frozenset(found)
    path = Path(settings.distill.teacher).expanduser()
    # a run of an earlier version kept no sources, and its teacher may be gone
    gone = folder is not None and not path.exists()
    return None if path.suffix == ".csv" or gone else model_sources(path)
