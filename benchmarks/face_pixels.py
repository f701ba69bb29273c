"""Measures how many pixels of a face a network needs, on features that are not trained further.

    python -m benchmarks.face_pixels all_age_faces.csv runs/shipped/faces.safetensors

Faces are cut out with several margins and resized to several sizes; the pooled features of a
network that knows faces (`benchmarks.shipped.face_weights`) go into a logistic regression,
cross-validated over people. The table states how high the face stands in the network's input, and
how many genders and age groups (balanced) are predicted correctly.
"""

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.shipped.face_weights import STATISTICS
from benchmarks.shipped.file_weights import BACKBONE
from maskwise.config import CacheSettings, LabelSettings, PreprocessSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.manifest import read_manifest
from maskwise.data.targets import task_codes
from maskwise.labels import UNKNOWN
from maskwise.transforms.network_input import middle, network_input, to_planes
from maskwise.transforms.preprocess import Preprocess

FRAMES: Final = (
    # margin, width, height
    (0.3, 160, 160), (0.1, 160, 160), (0.1, 136, 168), (0.0, 160, 160), (0.3, 224, 224),
)  # fmt: skip
FOLDS, BATCH, INVERSE_PENALTY = 5, 50, 1e-3


def features(frame: pl.DataFrame, network: Any, preprocess: Preprocess) -> NDArray[np.float32]:
    """Return the pooled features of each row's face: (N, channels)."""
    frames = open_frames(photo_refs(frame), Framer(preprocess), CacheSettings())
    rows = np.array_split(np.arange(len(frame)), -(-len(frame) // BATCH))
    parts = []
    with torch.inference_mode():
        for pixels in frames.batches(rows):
            planes = to_planes(middle(torch.from_numpy(pixels), preprocess.spare))
            parts.append(network(network_input(planes, preprocess)).numpy())
    return np.concatenate(parts)


def predicted(
    values: NDArray[np.float32], codes: NDArray[np.int64], people: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the predictions of a logistic regression that never saw the person."""
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=400, class_weight="balanced")
    model = make_pipeline(StandardScaler(), regression)
    found: NDArray[np.int64] = cross_val_predict(
        model, values, codes, groups=people, cv=GroupKFold(FOLDS)
    )
    return found


def sample(manifest: Path, photos: int) -> pl.DataFrame:
    """Return some rows with both labels."""
    frame = read_manifest(manifest)
    codes = task_codes(frame, LabelSettings())
    known = np.flatnonzero((codes["gender"] != UNKNOWN) & (codes["age_group"] != UNKNOWN))
    return frame[np.sort(np.random.default_rng(0).permutation(known)[:photos])]


def measure(
    frame: pl.DataFrame, network: Any, margin: float, width: int, height: int
) -> tuple[float, float]:
    """Return the share of correct genders, and the balanced accuracy of age groups."""
    settings = PreprocessSettings(width=width, height=height, margin=margin, edge="slide")
    preprocess = Preprocess.from_settings(settings, *STATISTICS)
    values = features(frame, network.eval(), preprocess)
    people = frame["person"].to_numpy()
    codes = task_codes(frame, LabelSettings())
    gender, age = codes["gender"], codes["age_group"]
    right = float((predicted(values, gender, people) == gender).mean())
    return right, float(balanced_accuracy_score(age, predicted(values, age, people)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--photos", type=int, default=2500)
    own = parser.parse_args()
    frame = sample(own.manifest, own.photos)
    network: Any = timm.create_model(BACKBONE, num_classes=0)
    network.load_state_dict(load_file(own.weights))
    print("| Margin | Input | Face, pixels high | Gender | Age group, balanced |")
    print("|---|---|---|---|---|")
    for margin, width, height in FRAMES:
        gender, age = measure(frame, network, margin, width, height)
        pixels = round(height / (1 + 2 * margin))
        print(f"| {margin} | {width}x{height} | {pixels} | {gender:.3f} | {age:.3f} |", flush=True)


if __name__ == "__main__":
    main()
