r"""Makes soft targets for knowledge distillation: what heads predict for people they never saw.

    python -m benchmarks.shipped.teacher runs/shipped/train.csv runs/shipped/faces.safetensors \
        --out runs/shipped/teacher.csv

A network that is trained on faces learns by heart how old each of them is; its heads alone, on
weights that have seen other faces (`face_weights.py`), cannot, and tell ages of new faces better.
Such heads see the pooled maps of the last three layers, of the photo and of its mirror image. The
training people are cut into folds, and those of each are answered by heads of the others, a mean
of several: so what is taught of a face does not know its label, and says how sure one can be.

Answered are gender and age group, of bare faces; a face with a drawn mask is taught what was said
of it without. `distill.teacher` takes the file.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score

from benchmarks.commands import maskwise
from maskwise.config import LossSettings, ModelSettings, Settings, TaskWeights
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.manifest import photo_ids, read_manifest
from maskwise.data.targets import known_ages, task_codes
from maskwise.evaluation.tables import write_probabilities
from maskwise.labels import TASKS
from maskwise.models.heads import Heads
from maskwise.models.outputs import task_log_probabilities
from maskwise.models.probabilities import Probabilities, task_product
from maskwise.settings import load_settings
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.loss import Loss
from maskwise.transforms.network_input import network_input, to_planes
from maskwise.transforms.preprocess import Preprocess

BACKBONE: Final = "mobilenetv1_100"
RECIPE: Final = Path(__file__).with_name("recipe.yaml")
SIZE: Final = ["preprocess.height=160", "preprocess.width=160"]
FOLDS: Final = 5
TAUGHT: Final = ("gender", "age_group")
LAYERS: Final = 3
"""Last layers of the network whose maps heads see."""
MODEL: Final = ModelSettings(
    tasks=TAUGHT, pooled_stages=LAYERS, hidden=256, dropout=0.5, age="distribution"
)
LOSS: Final = LossSettings(class_weights="sqrt", task_weights=TaskWeights(mask=0))
EPOCHS, BATCH, RATE, DECAY = 8, 256, 1e-3, 0.02
MEMBERS: Final = 3
"""Heads of each fold, of seeds of their own."""
Features = NDArray[np.float32]
"""(2, N, channels): of photos, and of their mirror images."""
_NUMBER: Final = re.compile(r"(\d*)\.jpg$")


def training_faces(manifest: Path, folder: Path) -> pl.DataFrame:
    """Return the bare training faces of known gender and age group, cut into folds by people."""
    frame = read_manifest(manifest)
    known = pl.col("gender").is_not_null() & pl.col("age_group").is_not_null()
    bare = frame.filter(pl.col("fold") == "train", pl.col("mask") == "not_wear", known)
    faces = folder / "taught.csv"
    bare.with_columns(fold=None).write_csv(faces)
    maskwise("data", "split", faces, "--folds", FOLDS, "--seed", 0)
    return read_manifest(faces)


def pooled_maps(frame: pl.DataFrame, weights: Path) -> Features:
    """Return what the last layers of a network see in the photos of a manifest."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    network = timm.create_model(BACKBONE, num_classes=0)
    network.load_state_dict(load_file(weights), strict=False)
    network.eval().to(device, memory_format=torch.channels_last)
    settings = load_settings(RECIPE, SIZE)
    preprocess = Preprocess(**settings.preprocess.model_dump())
    frames = open_frames(photo_refs(frame), Framer(preprocess), settings.cache)
    rows = np.array_split(np.arange(len(frame)), -(-len(frame) // BATCH))
    parts = []
    for batch in frames.batches(rows):
        photos = network_input(to_planes(torch.from_numpy(batch).to(device)), preprocess)
        with torch.inference_mode():
            both = torch.cat([photos, photos.flip(3)])
            found = _last_maps(network, both.contiguous(memory_format=torch.channels_last))
        parts.append(found.reshape(2, len(batch), -1).cpu().numpy())
    return np.concatenate(parts, axis=1)


def _last_maps(network: Any, photos: torch.Tensor) -> torch.Tensor:
    blocks = [block for stage in network.blocks for block in stage]
    values, found = network.bn1(network.conv_stem(photos)), []
    for block in blocks:
        values = block(values)
        found.append(values.mean(dim=(2, 3)))
    return torch.cat(found[-LAYERS:], dim=1)


def train_heads(features: Features, labels: Labels, seed: int) -> Heads:
    """Train heads on features (2, N, channels), of photos as they are and mirrored alike."""
    torch.manual_seed(seed)
    settings = Settings(model=MODEL, loss=LOSS)
    count = features.shape[1]
    heads = Heads(features.shape[2], MODEL, settings.labels.task_boundaries)
    loss = Loss(settings, labels.codes, np.arange(count), torch.device("cpu"))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=DECAY)
    steps = -(-count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * steps)
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(count), steps):
            seen = torch.from_numpy(features[rng.integers(0, 2, len(rows)), rows])
            known = Labels.of(labels.codes, labels.ages, rows)
            optimizer.zero_grad()
            value: Any = loss(heads(seen), known, known)
            value.backward()
            optimizer.step()
            schedule.step()
    return heads.eval()


@torch.inference_mode()
def answers(heads: Sequence[Heads], features: Features) -> dict[str, NDArray[np.float32]]:
    """Return gender (N, 2) and age group (N, 3): means over heads, and over both images."""
    found = [
        task_log_probabilities(each(torch.from_numpy(image)))
        for each in heads
        for image in features
    ]
    return {
        task: torch.stack([one[task].exp() for one in found]).mean(dim=0).numpy() for task in TAUGHT
    }


def out_of_fold(frame: pl.DataFrame, features: Features) -> dict[str, NDArray[np.float32]]:
    """Return what heads of the other folds say of each face; print how often they are right."""
    codes, ages = task_codes(frame, Settings().labels), known_ages(frame)
    folds = frame["fold"].to_numpy()
    told = {task: np.empty((len(frame), len(TASKS[task])), np.float32) for task in TAUGHT}
    for fold in sorted(set(folds)):
        others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        labels = Labels.of(codes, ages, others)
        heads = [train_heads(features[:, others], labels, seed) for seed in range(MEMBERS)]
        for task, values in answers(heads, features[:, own]).items():
            told[task][own] = values
    for task, values in told.items():
        said = values.argmax(axis=1)
        balanced = balanced_accuracy_score(codes[task], said)
        print(f"{task}: right {(said == codes[task]).mean():.3f}, balanced {balanced:.3f}")
    return told


def face_key(photo: str) -> tuple[str, str]:
    """Return the folder of a drawn photo and the number of its face there."""
    path = Path(photo)
    found = _NUMBER.search(path.name)
    return str(path.parent), (found[1] if found else "") or "1"


def teach(
    manifest: Path, faces: pl.DataFrame, told: dict[str, NDArray[np.float32]], out: Path
) -> None:
    """Write what is taught of the training photos of these faces, with their masks as they are."""
    place = {face_key(photo): row for row, photo in enumerate(faces["photo"])}
    frame = read_manifest(manifest).filter(pl.col("fold") == "train")
    rows = np.array([place.get(face_key(photo), -1) for photo in frame["photo"]])
    taught = np.flatnonzero(rows >= 0)
    masks = task_codes(frame, Settings().labels)["mask"][taught]
    tasks = {task: values[rows[taught]] for task, values in told.items()}
    joint = task_product({"mask": np.eye(len(TASKS["mask"]), dtype=np.float32)[masks], **tasks})
    ids = photo_ids(frame[taught])
    write_probabilities(out, ids, Probabilities.of_joint(joint))
    print(f"{out}: {len(ids)} photos of {len(faces)} faces", flush=True)


def make_teacher(manifest: Path, weights: Path, out: Path) -> None:
    """Train heads on the faces of each fold's others, and write what they say."""
    faces = training_faces(manifest, out.parent)
    teach(manifest, faces, out_of_fold(faces, pooled_maps(faces, weights)), out)


def main(words: Sequence[str] | None = None) -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    make_teacher(options.manifest, options.weights, options.out)


if __name__ == "__main__":
    main()
