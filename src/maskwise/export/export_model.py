"""Export of a model to one ONNX file, checked against the model itself."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from maskwise.config import CacheSettings, LabelSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.inputs import choose_fold, labelled_manifest
from maskwise.data.samples import write_samples
from maskwise.data.split import PSEUDO, TEST
from maskwise.data.targets import answered_codes, class_codes
from maskwise.errors import ManifestError, RunError, listed
from maskwise.evaluation.evaluate import answer_rows
from maskwise.export.check import LIMITS, Limits, check, compare, figures
from maskwise.export.graph import Answers, Networks, Tree, mirrored_tree, networks_of
from maskwise.export.int8 import to_int8
from maskwise.export.onnx_graph import inputs_of, join, to_onnx, with_metadata
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.classifier import Classifier
from maskwise.models.ensemble import load_classifier, model_digest
from maskwise.models.network_classifier import NetworkClassifier
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.onnx_file import (
    ABOUT,
    AGE,
    CLASSES,
    FRAMES,
    SEAL,
    UNSEALED,
    WEIGHT_BITS,
    OnnxInfo,
    Precision,
    seal,
)
from maskwise.models.views import Views
from maskwise.transforms.preprocess import Preprocess

_CALIBRATING: Final = 512
"""Training photos that the ranges of int8 values are found on."""
_BATCH: Final = 32
_BOTH: Final = "each photo and its mirror image"
_DRAWN: Final = 6
"""Drawn people that an export is checked on where no photos are named."""


@dataclass(frozen=True)
class Wanted:
    """What shall be written, and how near to the model it must be."""

    precision: Precision = "fp32"
    max_loss: float | None = None
    """Limit of the fall of macro-F1; None is that of the precision."""
    min_agreement: float | None = None
    mirror: bool = False
    """Whether answers are the mean of a photo's and its mirror image's."""

    @property
    def views(self) -> Views:
        """What the file does by itself, as views of the model."""
        return Views.named("flip" if self.mirror else "1")

    @property
    def limits(self) -> Limits:
        """The limits of the precision, but for those that are set."""
        asked = {"agreement": self.min_agreement, "loss": self.max_loss}
        given = {name: value for name, value in asked.items() if value is not None}
        return replace(LIMITS[self.precision], **given)


@dataclass(frozen=True)
class Exported:
    """What was written."""

    file: str
    bytes: int
    precision: Precision
    networks: int
    sha256: str
    checked_on: str
    checked: dict[str, Any]


def export_model(
    model: Path,
    out: Path,
    wanted: Wanted,
    on: Path | None = None,
    fold: str | None = None,
    cache: CacheSettings | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a model or an ensemble with its decision as one ONNX file.

    It is checked on the photos of a manifest `on` that the model left out (or of `fold`), else on
    drawn people; int8 takes its ranges from the manifest's training photos.

    Raises:
        RunError: the model cannot be exported, or the file answers too unlike it.
        ManifestError: the manifest is wrong, or int8 is asked for without one.
        DetectorError: the face detector that the model was trained with cannot be had.
        StorageError: the disk is full or the file cannot be written.
    """
    cache = cache or CacheSettings()
    if wanted.precision == "int8" and on is None:
        raise ManifestError("int8 takes its ranges from training photos: name their manifest, --on")
    classifier = load_classifier(model)
    members, tree = networks_of(classifier)
    preprocess = _one_frame(classifier)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        frame, name = _photos(classifier, on, fold, place)
        truth = _truth(frame, classifier)
        if wanted.max_loss is not None and (truth == UNKNOWN).all():
            raise ManifestError(
                f"--max-loss is of macro-F1 over the 18 classes, and no photo of {name} carries "
                "all three labels: leave it out, or name other photos, --on"
            )
        told("tracing")
        parts = _Parts(members, tree, classifier, wanted)
        if wanted.precision == "int8" and on:
            told("finding the ranges of int8")
            batches = training_frames(on, classifier, preprocess, cache)
            parts.networks = to_int8(parts.networks, batches, place)
        graph = join(parts.networks, parts.answers)
        info = _info(model, classifier, members, preprocess, wanted)
        file = OnnxClassifier(with_metadata(graph, _metadata(info)), out)
        told(f"checking on {len(frame)} photos")
        compared = compare(
            answer_rows(classifier, frame, cache, "cpu", views=wanted.views).probabilities,
            answer_rows(file, frame, cache, "cpu").probabilities,
            info.decision,
            truth,
        )
        check(compared, wanted.limits)
        info = info.model_copy(update={"checked": {"on": name, **figures(compared)}})
        digest = seal(with_metadata(graph, _metadata(info)), out)
    return Exported(
        str(out),
        out.stat().st_size,
        wanted.precision,
        len(members),
        digest,
        name,
        asdict(compared),
    )


class _Parts:
    """The two graphs of a model."""

    def __init__(
        self,
        members: list[NetworkClassifier],
        tree: Tree,
        classifier: Classifier,
        wanted: Wanted,
    ) -> None:
        networks = Networks(members, wanted.precision == "fp16", wanted.mirror).eval()
        names = networks.names()
        width, height = members[0].info.preprocess.frame_size
        frames = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        outputs = [f"network{number}/{name}" for number, own in enumerate(names) for name in own]
        with torch.inference_mode():
            values = inputs_of(networks(frames))
        self.networks = to_onnx(networks, [frames], [FRAMES], outputs)
        voting = mirrored_tree(tree) if wanted.mirror else tree
        answers = Answers(voting, names, classifier.decision)
        self.answers = to_onnx(answers, values, outputs, [*TASKS, CLASSES, AGE])


def _one_frame(classifier: Classifier) -> Preprocess:
    """Return the one way in which photos are framed.

    Raises:
        RunError: members of an ensemble differ in it.
    """
    preprocesses = list(classifier.preprocesses.values())
    if len(preprocesses) > 1:
        sizes = [f"{one.width}x{one.height}, margin {one.margin:g}" for one in preprocesses]
        raise RunError(
            "one ONNX file takes one frame of a photo, and the members of this ensemble take "
            f"{len(sizes)}; ensemble members of one crop, or teach one model by it (--teacher):\n"
            f"{listed(sizes)}"
        )
    return preprocesses[0]


def _photos(
    classifier: Classifier, on: Path | None, fold: str | None, place: Path
) -> tuple[pl.DataFrame, str]:
    """Return the rows that the file is checked on, and what they are called."""
    if on is None:
        write_samples(place / "drawn", people=_DRAWN, eval_people=_DRAWN)
        frame = labelled_manifest(place / "drawn" / "train", classifier.boundaries)
        return frame, f"{len(frame)} photos of drawn people"
    frame = labelled_manifest(on, classifier.boundaries)
    rows, name = choose_fold(frame, fold, classifier.val_fold)
    return rows, f"{on.name}, {name}"


def training_frames(
    on: Path,
    classifier: Classifier,
    preprocess: Preprocess,
    cache: CacheSettings,
) -> Iterator[NDArray[np.uint8]]:
    """Return frames of training photos from all over a manifest, in batches.

    Raises:
        ManifestError: it has none.
    """
    frame = labelled_manifest(on, classifier.boundaries)
    folds = pl.col("fold").fill_null("")
    frame = frame.filter(~folds.is_in([classifier.val_fold, TEST, PSEUDO]))
    if frame.is_empty():
        raise ManifestError(f"{on} has no training photos, from which int8 takes its ranges")
    rows = np.random.default_rng(0).permutation(len(frame))[:_CALIBRATING]
    chosen = frame[np.sort(rows)]
    frames = open_frames(photo_refs(chosen), Framer(preprocess), cache)
    order = np.random.default_rng(0).permutation(len(chosen))
    return frames.batches(np.array_split(order, -(-len(chosen) // _BATCH)))


def _truth(frame: pl.DataFrame, classifier: Classifier) -> NDArray[np.int64]:
    labels = LabelSettings(
        task_boundaries=classifier.boundaries, train_boundaries=classifier.boundaries
    )
    return class_codes(answered_codes(frame, labels, list(TASKS)))


def _info(
    model: Path,
    classifier: Classifier,
    members: list[NetworkClassifier],
    preprocess: Preprocess,
    wanted: Wanted,
) -> OnnxInfo:
    one = members[0].info if len(members) == 1 else None
    decision = classifier.decision.model_copy(
        update={"temperatures": dict.fromkeys(TASKS, 1.0), "prior": ()}
    )
    return OnnxInfo(
        precision=wanted.precision,
        weight_bits=WEIGHT_BITS if wanted.precision == "int8" else None,
        task_boundaries=classifier.boundaries,
        mean_ages=classifier.mean_ages,
        preprocess=preprocess,
        decision=decision,
        networks=classifier.networks * wanted.views.count,
        about={**classifier.about, **({"looks": _BOTH} if wanted.mirror else {})},
        source=model_digest(model),
        val_fold=classifier.val_fold,
        trained_on=None if classifier.trained_on is None else sorted(classifier.trained_on),
        metrics=one.metrics if one else {},
    )


def _metadata(info: OnnxInfo) -> dict[str, str]:
    return {ABOUT: info.model_dump_json(), SEAL: UNSEALED}
