"""Measures what makes a model right on sources that it never saw, one remedy at a time.

    python -m benchmarks.remedies runs/shipped/train.csv runs/shipped/test.csv \
        runs/faceres/faces.safetensors --out runs/remedies

takes the photos and the weights of `python -m benchmarks.shipped`. Each model is trained on
UTKFace, AFAD and street photos, of which AFAD alone has East Asian people and none of 60 and over:
the shortcut of docs/sources.md. Bare faces of All-Age-Faces and FairFace are predicted, which it
never saw, and those of other people of UTKFace beside them. Weights begin with those of a network
that knows faces. A model that is there already is not trained again.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.commands import maskwise
from benchmarks.shipped.__main__ import train
from maskwise.data.manifest import read_manifest, write_manifest

HELD_OUT: Final = (
    "all_age_faces", "fairface", "gender_masks", "walking_masks", "worn_wrong",
)  # fmt: skip
HOME: Final = "utkface"
FIGURES: Final = ("age", "60 and over", "gender")
SHORT: Final = (
    "preprocess.height=128", "preprocess.width=104", "train.epochs=1", "optim.lr=1.5e-3",
    "train.ema=0.99", "mix.cutmix=0", "mix.within_mask=false", "train.val_fold=none",
    f"train.leave_out_sources=[{','.join(HELD_OUT)}]", "train.repeat_sources={}",
)  # fmt: skip
GEOMETRY: Final = ("augment.flip=0.5", "augment.rotate=10", "augment.zoom=0.15")
LOOKS: Final = (
    "augment.brightness=0.25", "augment.contrast=0.25", "augment.saturation=0.3", "augment.hue=6",
    "augment.grey=0.05",
)  # fmt: skip
TIGHTNESS: Final = ("augment.zoom=0.35", "augment.shift=0.1")
BY_AGE: Final = ("train.sampling=even", "train.sample_by=source_age_group")
BY_BOTH: Final = ("train.sampling=even", "train.sample_by=source_gender_age_group")
QUALITY: Final = ("augment.blur=0.15", "augment.jpeg=0.2", "augment.noise=0.1")
PLAIN: Final = (
    "augment.shift=0", "augment.brightness=0", "augment.contrast=0", "augment.saturation=0",
    "augment.hue=0", "augment.grey=0", "augment.blur=0", "augment.jpeg=0", "augment.noise=0",
    "augment.erase=0",
)  # fmt: skip
REMEDIES: Final = {
    "nothing": (*PLAIN, *GEOMETRY),
    "nothing, another seed": (*PLAIN, *GEOMETRY, "train.seed=1"),
    "colours": (*PLAIN, *GEOMETRY, *LOOKS),
    "blur, JPEG, noise": (*PLAIN, *GEOMETRY, *QUALITY),
    "crops of varying tightness": (*PLAIN, *GEOMETRY, *TIGHTNESS),
    "all three": (*PLAIN, *GEOMETRY, *LOOKS, *QUALITY, *TIGHTNESS),
    "sources drawn evenly": (
        *PLAIN, *GEOMETRY, "train.sampling=even", "train.sample_by=source",
    ),
    "ages drawn evenly within sources": (*PLAIN, *GEOMETRY, *BY_AGE),
    "genders and ages drawn evenly within sources": (*PLAIN, *GEOMETRY, *BY_BOTH),
    "ages drawn evenly, crops vary": (*PLAIN, *GEOMETRY, *BY_AGE, *TIGHTNESS),
    "genders and ages drawn evenly, crops vary": (*PLAIN, *GEOMETRY, *BY_BOTH, *TIGHTNESS),
    "ages drawn by square roots": (
        *PLAIN, *GEOMETRY, "train.sampling=sqrt", "train.sample_by=source_age_group",
    ),
}  # fmt: skip
Table = dict[str, dict[str, Any]]
"""Remedy -> source -> task -> figures."""


def measure(
    manifest: Path, test: Path, weights: Path, out: Path, photos: int, names: list[str]
) -> Table:
    """Train a model with each remedy; return its figures by source."""
    found: Table = {}
    bare = bare_faces(test, out)
    for name in names:
        run = out / name.replace(",", "").replace(" ", "-")
        if not (run / "last" / "model.safetensors").exists():
            settings = [*SHORT, *REMEDIES[name], f"train.epoch_photos={photos}"]
            train(manifest, run, weights, settings)
        scores = run / "evaluation" / "evaluation.json"
        if not scores.exists():
            maskwise("evaluate", run / "last", bare, "--fold", "test", "--out", scores.parent)
        found[name] = json.loads(scores.read_text())["by_source"]["sources"]
    return found


def bare_faces(test: Path, out: Path) -> Path:
    """Write the manifest of the bare faces of the sources that are predicted; return it."""
    of_sources = pl.col("source").is_in([*HELD_OUT[:2], HOME])
    path = out / "test.csv"
    write_manifest(read_manifest(test).filter(of_sources & (pl.col("mask") == "not_wear")), path)
    return path


def print_table(found: Table) -> None:
    """Print balanced accuracies, and the recall of 60 and over, by remedy."""
    columns = [f"{name}: {figure}" for name in ("All-Age-Faces", "FairFace") for figure in FIGURES]
    print(f"| Remedy | {' | '.join(columns)} | UTKFace: age |")
    print("|---" * (len(columns) + 2) + "|")
    for name, own in found.items():
        cells = []
        for source in HELD_OUT[:2]:
            age = own[source]["age_group"]
            gender = own[source]["gender"]["balanced_accuracy"]
            cells += [age["balanced_accuracy"], age["recalls"]["old"], gender]
        cells.append(own[HOME]["age_group"]["balanced_accuracy"])
        print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")


def main() -> None:
    """Measure the remedies, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/remedies"))
    parser.add_argument("--photos", type=int, default=8000)
    parser.add_argument(
        "--only", nargs="+", choices=REMEDIES, default=[*REMEDIES], metavar="REMEDY"
    )
    own = parser.parse_args()
    print_table(measure(own.manifest, own.test, own.weights, own.out, own.photos, own.only))


if __name__ == "__main__":
    main()
