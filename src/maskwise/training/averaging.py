"""Averages of trained models: of a run's last epochs, or of several runs (model soups)."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.config import AugmentSettings, CacheSettings, LabelSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import Frames, FrameSource, photo_refs
from maskwise.data.framing import Framer
from maskwise.data.inputs import labelled_manifest
from maskwise.data.split import TEST
from maskwise.data.targets import Codes, answered_codes
from maskwise.errors import ManifestError, MaskwiseError, RunError, SettingsError, listed
from maskwise.evaluation.scores import validation_scores
from maskwise.models.averaging import estimate_statistics, mean_weights
from maskwise.models.bundle import WEIGHTS, ModelInfo, load_bundle, save_bundle
from maskwise.models.classifier import joined_sources
from maskwise.models.inference import answer_frames, choose_device
from maskwise.models.network import Network
from maskwise.storage import replacing_folder
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.network_input import network_input

Rows = NDArray[np.int64]
EPOCHS: Final = "epochs"
"""Folder of a run's last models, while it goes on."""
SWA: Final = "swa"
"""Folder of their mean."""
_BATCH: Final = 64
_PHOTOS: Final = 10_000
"""Training photos that statistics are estimated from, at most."""


@dataclass(frozen=True)
class Averaged:
    """What an average was made of, and what it is worth."""

    folder: str
    members: dict[str, float]
    """Score of each on the validating people."""
    used: list[str]
    """Those that are in it, in the order in which they were taken."""
    metrics: dict[str, float]
    """Of the average; `score` is what members were taken by."""


@dataclass(frozen=True)
class Photos:
    """The photos that an average is fitted to and scored by; frames are in the models' way."""

    frames: FrameSource
    train: Rows
    val: Rows
    codes: Codes
    """Of the validating photos."""
    info: ModelInfo
    device: torch.device

    def fit_statistics(self, model: Network) -> None:
        """Estimate a model's statistics on photos changed as in its training."""
        # in any order but the manifest's: neighbours are alike, and their batches' variances small
        rows = np.random.default_rng(0).permutation(self.train)[:_PHOTOS]
        estimate_statistics(model, self._inputs(np.array_split(rows, -(-len(rows) // _BATCH))))

    def _inputs(self, batches: Sequence[Rows]) -> Iterator[torch.Tensor]:
        preprocess = self.info.preprocess
        change = Augment(self.info.augment or AugmentSettings(enabled=False), preprocess.spare)
        for rows, pixels in zip(batches, self.frames.batches(batches), strict=True):
            photos = change(torch.from_numpy(pixels).to(self.device), draw(rows, 0, 0))
            yield network_input(photos, preprocess).contiguous(memory_format=torch.channels_last)

    def figures(self, model: Network) -> dict[str, float]:
        """Return a model's figures on the validating people; none where there are none."""
        if not len(self.val):
            return {}
        part = _Part(self.frames, self.val)
        answers = answer_frames(model.eval(), part, self.info.preprocess, self.device)
        return validation_scores(self.codes, answers.joint, answers.tasks, self.info.model.tasks)


class _Part:
    """Some photos of a source."""

    def __init__(self, frames: FrameSource, rows: Rows) -> None:
        self.missed = frames.missed[rows]
        self._frames = frames
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, rows: Iterable[Rows]) -> Iterator[Frames]:
        return self._frames.batches(self._rows[batch] for batch in rows)


def average_models(
    paths: Sequence[Path],
    manifest: Path,
    out: Path,
    how: Literal["uniform", "greedy"],
    cache: CacheSettings,
    device: str = "auto",
) -> Averaged:
    """Write the mean of models of one architecture, with statistics of its own.

    uniform takes all; greedy takes them from the best on, each that does not lower the score on
    the validating people (Wortsman et al., 2022, 'Model soups', recipe 1).

    Raises:
        RunError: a model cannot be used, or is unlike the others, all problems at once; or the
            folder holds other things.
        ManifestError: the manifest is wrong, or nobody in it validates or trains.
        DetectorError: the face detector that the models were trained with cannot be had.
    """
    if out.is_dir() and any(out.iterdir()):
        raise RunError(f"--out {out}: the folder is not empty; name a new one")
    models = _alike(paths)
    info = models[0][1]
    photos = _photos(manifest, info, cache, choose_device(device))
    weights = {
        str(path): network.state_dict() for path, (network, _) in zip(paths, models, strict=True)
    }
    scratch = load_bundle(paths[0], partly=True)[0].to(photos.device)
    scores = {name: _scored(scratch, [state], photos)["score"] for name, state in weights.items()}
    used = list(weights)
    if how == "greedy":
        used = _greedy(scratch, weights, scores, photos)
    figures = _scored(scratch, [weights[name] for name in used], photos)
    origin = f"mean of {len(used)} models"
    seen = joined_sources(one.trained_on for _, one in models)
    sources = {name for _, one in models for name in one.data.get("sources", [])}
    data = {
        **info.data,
        "sources": sorted(sources),
        "seen_sources": None if seen is None else sorted(seen),
    }
    with replacing_folder(out.resolve()) as new:
        _save(new, scratch, info.model_copy(update={"data": data}), figures, origin)
    return Averaged(str(out), scores, used, figures)


def _alike(paths: Sequence[Path]) -> list[tuple[Network, ModelInfo]]:
    """Return models that may be averaged.

    Raises:
        RunError: one cannot be loaded, or is unlike the first; all problems at once.
        SettingsError: there are fewer than two, or one is named twice.
    """
    if len(paths) < 2:
        raise SettingsError(f"an average has two models or more, not {len(paths)}")
    twice = {str(path) for path in paths if paths.count(path) > 1}
    if twice:
        raise SettingsError(f"named twice: {', '.join(sorted(twice))}")
    found: list[tuple[Network, ModelInfo]] = []
    problems = []
    for path in paths:
        try:
            found.append(load_bundle(path, partly=True))
        except MaskwiseError as error:
            problems.append(str(error))
            continue
        first, info = found[0][1], found[-1][1]
        problems += [
            f"{path} differs from {paths[0]} in {name}"
            for name in ("model", "preprocess", "task_boundaries", "val_fold")
            if _without_origin(info, name) != _without_origin(first, name)
        ]
    if problems:
        raise RunError(f"these models have no mean:\n{listed(problems)}")
    return found


def _without_origin(info: ModelInfo, name: str) -> object:
    """Return a part of what a model is, without where its first weights came from."""
    value = getattr(info, name)
    return (
        value.model_copy(update={"pretrained": "", "pretrained_heads": False})
        if name == "model"
        else value
    )


def _photos(
    manifest: Path,
    info: ModelInfo,
    cache: CacheSettings,
    device: torch.device,
) -> Photos:
    frame = labelled_manifest(manifest, info.task_boundaries)
    folds = frame["fold"].fill_null("")
    val = np.flatnonzero((folds == info.val_fold).to_numpy())
    train = np.flatnonzero((~folds.is_in([info.val_fold, TEST])).to_numpy())
    if not len(val) or not len(train):
        raise ManifestError(
            f"{manifest} needs rows in the fold {info.val_fold}, which validated the models, and "
            "in others, which trained them"
        )
    labels = LabelSettings(
        task_boundaries=info.task_boundaries, train_boundaries=info.task_boundaries
    )
    codes = answered_codes(frame[val], labels, info.model.tasks)
    frames = open_frames(photo_refs(frame), Framer(info.preprocess), cache)
    return Photos(frames, train, val, codes, info, device)


def _scored(
    scratch: Network, states: Sequence[dict[str, torch.Tensor]], photos: Photos
) -> dict[str, float]:
    """Make a network the mean of weights; return its figures."""
    scratch.load_state_dict(mean_weights(states))
    if len(states) > 1:
        photos.fit_statistics(scratch)
    return photos.figures(scratch)


def _greedy(
    scratch: Network,
    weights: dict[str, dict[str, torch.Tensor]],
    scores: dict[str, float],
    photos: Photos,
) -> list[str]:
    order = sorted(weights, key=lambda name: -scores[name])
    used, best = order[:1], scores[order[0]]
    for name in order[1:]:
        score = _scored(scratch, [weights[other] for other in (*used, name)], photos)["score"]
        if score >= best:
            used, best = [*used, name], score
    return used


def _save(
    folder: Path, model: Network, info: ModelInfo, figures: dict[str, float], origin: str
) -> None:
    saved = info.model_copy(update={"metrics": figures, "pretrained": origin})
    save_bundle(folder, model.state_dict(), saved)


def average_epochs(run: Path, photos: Photos) -> None:
    """Write the mean of the models of a run's last epochs to `swa/`, once; remove them.

    Raises:
        RunError: they are missing or damaged.
        StorageError: the disk is full or the folder cannot be written.
    """
    if not (run / SWA / WEIGHTS).is_file():  # which are written last
        folders = sorted((run / EPOCHS).iterdir(), key=lambda folder: int(folder.name))
        networks = [load_bundle(folder, partly=True)[0] for folder in folders]
        states = [network.state_dict() for network in networks]
        # not the network that was trained: its batch norms may wait for other processes
        scratch = load_bundle(folders[0], partly=True)[0].to(photos.device)
        figures = _scored(scratch, states, photos)
        info = photos.info
        _save(run / SWA, scratch, info, figures, f"{info.pretrained}; mean of {len(states)} epochs")
    shutil.rmtree(run / EPOCHS, ignore_errors=True)
